"""Findings on data that are small, rare, constant, equal or perfect: what should be found, and nothing else."""

from collections.abc import Callable

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted, plain_model
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.judging.diagnosis import diagnose
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks import build_model
from torchlane.core.options import DiagnosisOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.history import mean_history
from torchlane.core.training.members import make_members
from torchlane.core.training.observation import PROBE_ROWS, Observer

CPU = torch.device("cpu")
RELU = {"widths": [16], "activation": "ReLU"}


def drawn(n_rows: int = 200, n_features: int = 4) -> Tensor:
    return torch.randn(n_rows, n_features, generator=torch.Generator().manual_seed(1))


def noise(n_rows: int = 200) -> Tensor:
    return torch.randn(n_rows, 1, generator=torch.Generator().manual_seed(2))


def some_positive(n_positive: int, n_rows: int = 200) -> Tensor:
    return (torch.arange(n_rows)[:, None] % (n_rows // n_positive) == 7).float()


def found(features: Tensor, targets: Tensor, task: str, model: dict, **training) -> tuple[list[dict], dict]:
    """Train on four fifths of the rows, and diagnose."""
    cut = max(1, len(features) * 4 // 5)
    parts = [TensorDataset(features[which], targets[which]) for which in (slice(cut), slice(cut, None))]
    target = TargetEncoder(name="y", task=task)
    if task != "regression":
        counts = torch.bincount(targets[:cut].flatten().long(), minlength=2).tolist()
        target = TargetEncoder(name="y", task=task, labels=("a", "b"), counts=counts)
    options = fitted({"epochs": 40, "learning_rate": 0.005, "batch_size": 32, **training})
    objective = Objective.of(target, options.loss)
    width = objective.task.width(len(target.labels))
    members = make_members(
        lambda: build_model(plain_model(**model), features.shape[1], width),
        *parts, objective, options, CPU,
    )  # fmt: skip
    observer = Observer(DiagnosisOptions())
    observer.begin(members[0])
    history = mean_history(fit(members, NoCheckpoints(), observer=observer, quiet=True))
    report = diagnose(observer, history, target, "")
    return report["findings"], report["overfit_one_batch"]


X = drawn()
SITUATIONS: dict[str, tuple[Callable[[], tuple[Tensor, Tensor]], str, dict, set[str]]] = {
    # what the rows are: rows, task, network, findings expected beside still_improving
    "one class in the batch": (lambda: (X, (X[:, :1] > 2.4).float()), "binary", {}, set()),
    "few of a class, told": (lambda: (X, (X[:, 0] > 1.8).long()), "multiclass", {}, set()),
    "rare and noise, learned by heart": (lambda: (X[:, :1], some_positive(4)), "binary", {}, {"underfitting"}),
    "equal rows, other labels": (
        lambda: (torch.ones(200, 3), (noise() > 0).float()), "binary", {}, {"indistinct_rows"},
    ),
    "two kinds of rows, other labels": (
        lambda: (X[:, :1].sign(), (noise() > 0).float()), "binary", RELU, {"indistinct_rows"},
    ),
    "features all 0, three layers": (
        lambda: (torch.zeros(200, 3), noise()), "regression", {**RELU, "widths": [8, 8, 8]}, {"indistinct_rows"},
    ),
    "constant target": (lambda: (X, torch.zeros(200, 1)), "regression", {}, set()),
    "three rows": (lambda: (X[:3], X[:3, :1]), "regression", RELU, set()),
    "twenty rows of noise": (lambda: (X[:20], noise(20)), "regression", {}, set()),
    "perfect line": (lambda: (X, 2 * X[:, :1]), "regression", {}, set()),
    "perfect step": (lambda: (X, (X[:, :1] > 0).float()), "binary", {}, set()),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_finding_fits_the_rows(situation):
    rows, task, model, expected = SITUATIONS[situation]
    findings, _ = found(*rows(), task, model)
    assert {each["name"] for each in findings} - {"still_improving"} == expected


def test_network_is_not_blamed_for_rows_that_none_learns_by_heart_so_fast():
    column, labels = X[:, :1], (noise() > 0).float()
    _, batch = found(column, labels, "binary", {"widths": [64, 64]}, epochs=1)
    assert batch["fitted"] is None and batch["loss"] > 0.25 * batch["constant_loss"]
    findings, batch = found(drawn(200, 20), labels, "binary", {"widths": [8] * 10, "activation": "Sigmoid"}, epochs=1)
    assert batch["fitted"] is False
    assert "overfit_one_batch" in {each["name"] for each in findings}


def test_unscaled_target_is_named_as_what_keeps_the_network_from_learning():
    findings, _ = found(X, 1e5 + 1e4 * X[:, :1], "regression", {}, epochs=1)
    said = next(each["finding"] for each in findings if each["name"] == "overfit_one_batch")
    assert said.endswith("the target is not scaled") and "e+" not in said


def test_large_targets_that_the_fixed_batch_lacks_are_no_divergence():
    fixed = torch.randperm(160, generator=torch.Generator().manual_seed(0))[:PROBE_ROWS]
    targets = 3 * noise()
    targets[fixed] /= 100
    findings, _ = found(X, targets, "regression", {"widths": [4]}, patience_epochs=None, epochs=5)
    assert "learning_rate_too_high" not in {each["name"] for each in findings}


def watched(
    epochs: int, patience: int | None, losses: list[float], ran: list[int], kept: int | None = None
) -> list[dict]:
    """The findings on valid losses of our own; all members keep their weights of epoch `kept`, or of their last."""
    observer = Observer(DiagnosisOptions())
    observer.training = fitted(epochs=epochs, patience_epochs=patience)
    observer.start_loss = observer.constant_loss = 1.0
    history = pd.DataFrame({"train_loss": 0.1, "valid_loss": losses, "train_r2_score": 0.9, "valid_r2_score": 0.9})
    history["members"] = [sum(each > epoch for each in ran) for epoch in range(len(losses))]
    ends = [kept or each for each in ran]
    history["members_kept"] = [ends.count(epoch) for epoch in range(1, len(losses) + 1)]
    return diagnose(observer, history, TargetEncoder(name="y", task="regression"), "")["findings"]


FALLING = [1 - 0.02 * epoch for epoch in range(40)]


def test_training_that_was_still_improving_when_its_epochs_ended_is_found_with_the_numbers():
    (finding,) = watched(40, 20, FALLING, [40, 40, 22])
    assert finding["name"] == "still_improving"
    assert "all 40 epochs ran (of 2 of 3 members)" in finding["finding"]
    assert "its loss fell from 0.3 to 0.22 in the last 4 epochs" in finding["finding"]
    assert finding["remedies"][0] == "training.epochs: 80"
    (short,) = watched(3, 20, [1.0, 0.9, 0.8], [3])
    assert short["finding"].endswith("its loss fell from 0.9 to 0.8 in the last epoch")


@pytest.mark.parametrize(
    ("epochs", "patience", "losses", "ran"),
    [
        (200, 20, FALLING, [40]),  # ended early
        (40, None, FALLING, [40]),  # the number was chosen
        (40, 20, FALLING, [40, 21, 21]),  # most members ended early
        (40, 20, [*FALLING[:-4], 0.3, 0.3, 0.3, 0.3], [40]),  # flat in the end
        (40, 20, [1e-4 * loss for loss in FALLING], [40]),  # next to nothing is left
        (40, 20, [float("nan")] * 40, [40]),  # no valid
        (1, 20, [0.5], [1]),
    ],
)
def test_training_that_ended_as_it_should_is_not_said_to_be_still_improving(epochs, patience, losses, ran):
    assert watched(epochs, patience, losses, ran) == []


def test_members_whose_joint_prediction_was_best_before_were_not_still_improving():
    assert watched(40, 20, FALLING, [40] * 3, kept=36) == []
    assert len(watched(40, 20, FALLING, [40] * 3, kept=37)) == 1
