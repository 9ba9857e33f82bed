"""Every loss that options allow trains members, stacked or alone, in the exact and the free mode."""

import itertools
from typing import Any, Literal, get_args

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.core.fitted import fitted
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.options import LossOptions, TaskName
from torchlane.core.tasks.objectives import Objective
from torchlane.core.tasks.tasks import TASKS
from torchlane.core.training.fit import fit
from torchlane.core.training.members import Outcome, make_members

CPU = torch.device("cpu")
Scaling = Literal["none", "min_max", "z_score"]  # of the target
N_TRAIN, N_VALID = 21, 9  # batches of 8: the last is not whole
LABELS = ["a", "b", "c"]
WEIGHTS: tuple[Any, ...] = (None, "balanced", {"a": 0.5, "b": 4.0})
CASES: list[tuple[TaskName, dict[str, Any], Scaling]] = [
    *(("regression", {"name": name}, scaling) for name in TASKS["regression"].losses for scaling in get_args(Scaling)),
    *(("binary", {"class_weights": weights}, "none") for weights in WEIGHTS),
    *(
        ("multiclass", {"class_weights": weights, "label_smoothing": smoothing}, "none")
        for weights, smoothing in itertools.product(WEIGHTS, (0.0, 0.1))
    ),
]
EVERY_CASE = pytest.mark.parametrize(("task", "loss", "scaling"), CASES, ids=[f"{each}" for each in CASES])


def make_lesson(
    task: TaskName, loss: dict[str, Any], scaling: Scaling
) -> tuple[TensorDataset, TensorDataset, Objective]:
    """Train, valid and what makes small: float64, so that rounding hides nothing."""
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(N_TRAIN + N_VALID, 4, generator=generator, dtype=torch.float64)
    noisy = features[:, 0] + 0.5 * torch.randn(len(features), generator=generator, dtype=torch.float64)
    kinds = torch.bucketize(noisy, torch.tensor([0.0, 0.8] if task == "multiclass" else [0.4], dtype=torch.float64))
    values = pd.Series(1000 * noisy.numpy() if task == "regression" else [LABELS[kind] for kind in kinds], name="y")
    target = TargetEncoder.fit(values[:N_TRAIN], task, scaling)
    encoded = torch.from_numpy(target.encode(values))
    targets = encoded.double() if encoded.is_floating_point() else encoded
    train = TensorDataset(features[:N_TRAIN], targets[:N_TRAIN])
    valid = TensorDataset(features[N_TRAIN:], targets[N_TRAIN:])
    return train, valid, Objective.of(target, LossOptions.model_validate(loss))


def train(lesson: tuple[TensorDataset, TensorDataset, Objective], first: int = 0, **changes: Any) -> list[Outcome]:
    """Train the members from the `first` on."""
    train, valid, objective = lesson
    settings = {"epochs": 3, "batch_size": 8, "learning_rate": 0.05, "patience_epochs": None, **changes}
    options = fitted(settings)
    width = len(objective.target.labels) if objective.target.task == "multiclass" else 1

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, width)).double()

    return fit(make_members(build, train, valid, objective, options, CPU)[first:], NoCheckpoints())


def distance(one: Outcome, other: Outcome) -> float:
    return max(float((one["weights"][name] - other["weights"][name]).abs().max()) for name in one["weights"])


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "free"])
@EVERY_CASE
def test_every_loss_trains_one_member_and_sixteen_which_end_where_each_ends_alone(task, loss, scaling, exact):
    lesson = make_lesson(task, loss, scaling)
    together = train(lesson, members=16, exact=exact)
    alone = train(lesson, members=16, exact=exact, stacked=False)
    for one, other in zip(together, alone, strict=True):
        size = max(1.0, *(float(tensor.abs().max()) for tensor in other["weights"].values()))
        assert distance(one, other) < 1e-8 * size
        for name in ("train_loss", "valid_loss"):
            assert one["kept"][name] == pytest.approx(other["kept"][name], rel=1e-8)
    (single,) = train(lesson, members=1, exact=exact)
    assert distance(single, alone[0]) == 0


@EVERY_CASE
def test_bits_of_a_member_do_not_depend_on_its_company_whatever_the_loss(task, loss, scaling):
    lesson = make_lesson(task, loss, scaling)
    of_five, of_pair = train(lesson, members=5), train(lesson, first=3, members=5)
    assert distance(of_five[3], of_pair[0]) == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_exact_loop_has_the_bits_of_the_plain_one_with_weights_and_smoothing(smoothing):
    dataset, valid, objective = make_lesson(
        "multiclass", {"class_weights": WEIGHTS[2], "label_smoothing": smoothing}, "none"
    )
    (outcome,) = train((dataset, TensorDataset(*valid[:0]), objective))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    weights = torch.tensor([0.5, 4.0, 1.0], dtype=torch.float64)
    criterion = nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    for _ in range(3):
        for features, targets in DataLoader(dataset, batch_size=8, shuffle=True):
            optimizer.zero_grad()
            criterion(model(features), targets).backward()
            optimizer.step()
    for name, tensor in model.state_dict().items():
        assert torch.equal(outcome["weights"][name], tensor), name
