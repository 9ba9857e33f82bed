from functools import partial
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted, plain_model
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.judging.diagnosis import diagnose
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks import build_model, describe_capacity
from torchlane.core.options import DiagnosisOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.history import mean_history
from torchlane.core.training.members import Outcome, make_members
from torchlane.core.training.observation import MEASURES, PROBE_ROWS, Observer
from torchlane.figures.layers import plot_layers

NUMBER = TargetEncoder(name="y", task="regression")
LABEL = TargetEncoder(name="y", task="multiclass", labels=("a", "b"), counts=(50, 50))
CPU = torch.device("cpu")
HEALTHY = {"epochs": 40, "batch_size": 16, "learning_rate": 0.01, "patience_epochs": None}


def watch(
    tensors: tuple[TensorDataset, TensorDataset],
    model: dict[str, Any],
    target: TargetEncoder = NUMBER,
    change: Any = None,
    diagnosis: dict[str, Any] | None = None,
    **training: Any,
) -> tuple[dict[str, Any], list[Outcome]]:
    """Train on tensors, the network altered by `change` at first, and diagnose."""
    options = fitted({**HEALTHY, **training})
    width = 1 if target is NUMBER else 2

    def build() -> nn.Module:
        network = build_model(plain_model(**model), 3, width)
        if change is not None:
            with torch.no_grad():
                change(network)
        return network

    objective = Objective.of(target, options.loss)
    members = make_members(build, *tensors, objective, options, CPU)
    observer = Observer(DiagnosisOptions.model_validate(diagnosis or {}))
    observer.begin(members[0])
    outcomes = fit(members, NoCheckpoints(), observer=observer)
    return diagnose(observer, mean_history(outcomes), target, describe_capacity(members[0].model)), outcomes


def names(report: dict[str, Any]) -> set[str]:
    return {each["name"] for each in report["findings"]}


@pytest.fixture
def labelled(toy_tensors) -> tuple[TensorDataset, TensorDataset]:
    return tuple(
        TensorDataset(features, (features[:, 0] > features[:, 1]).long())
        for features, _ in (t.tensors for t in toy_tensors)
    )


@pytest.mark.parametrize("activation", ["GELU", "ReLU", "Tanh"])
def test_healthy_trainings_give_no_finding(toy_tensors, labelled, activation):
    for tensors, target in ((toy_tensors, NUMBER), (labelled, LABEL)):
        report, _ = watch(tensors, {"widths": [16, 16], "activation": activation}, target)
        assert names(report) == set()
        assert report["overfit_one_batch"]["fitted"]
        assert report["capacity"].endswith("parameters")


def test_ten_sigmoid_layers_learn_no_batch_by_heart_and_their_gradients_vanish(labelled):
    report, _ = watch(labelled, {"widths": [8] * 10, "activation": "Sigmoid"}, LABEL)
    assert {"overfit_one_batch", "vanishing_gradients"} <= names(report)
    finding = next(each for each in report["findings"] if each["name"] == "vanishing_gradients")
    assert "the first layer's norm is" in finding["finding"]
    assert finding["remedies"][0].startswith("ReLU or GELU")


def test_learning_rate_of_100_is_too_high(labelled):
    report, _ = watch(labelled, {"widths": [16]}, LABEL, learning_rate=100, optimizer={"name": "Adam"})
    assert "learning_rate_too_high" in names(report)
    with pytest.raises(ValueError, match="at learning rate 100: most often the rate is too high"):
        watch(labelled, {"widths": [16]}, LABEL, learning_rate=100, optimizer={"name": "SGD"})


@pytest.mark.parametrize(("size", "found"), [(1.0, {"learning_rate_too_high"}), (0.001, set())])
def test_losses_that_rise_count_unless_they_are_next_to_nothing(toy_tensors, size, found):
    training = fitted(HEALTHY)
    observer = Observer(DiagnosisOptions(overfit_steps=0))
    objective = Objective.of(NUMBER, training.loss)
    build = partial(build_model, plain_model(widths=[16]), 3, 1)
    observer.begin(make_members(build, *toy_tensors, objective, training, CPU)[0])
    losses = [observer.start_loss * size * factor for factor in (1.0, 2.0, 1.0, 2.0, 1.0, 2.0)]
    history = pd.DataFrame({"train_loss": losses, "train_r2_score": 0.9, "valid_r2_score": 0.9})
    assert names(diagnose(observer, history, NUMBER, "")) == found


def test_learning_rate_of_a_millionth_is_too_low(toy_tensors):
    report, _ = watch(toy_tensors, {"widths": [16]}, learning_rate=1e-6)
    assert {"learning_rate_too_low", "underfitting"} <= names(report)
    assert "learning_rate_too_high" not in names(report)


def test_biases_that_are_all_negative_kill_relus(toy_tensors):
    report, _ = watch(
        toy_tensors, {"widths": [16], "activation": "ReLU"}, change=lambda network: network.linear_1.bias.fill_(-100)
    )
    assert "dying_relus" in names(report)
    assert "100% of activation_1" in str(report["findings"])


@pytest.mark.parametrize("activation", ["Sigmoid", "Tanh"])
def test_weights_that_are_far_too_large_saturate(toy_tensors, activation):
    report, _ = watch(
        toy_tensors,
        {"widths": [16], "activation": activation},
        change=lambda network: network.linear_1.weight.mul_(1e4),
    )
    assert "saturation" in names(report)


def test_gradients_that_grow_from_layer_to_layer_explode(toy_tensors):
    def enlarge(network: nn.Module) -> None:
        for number in range(1, 7):
            network.get_submodule(f"linear_{number}").weight.mul_(20)

    report, _ = watch(
        toy_tensors,
        {"widths": [8] * 6, "activation": "ReLU"},
        change=enlarge,
        optimizer={"name": "SGD"},
        learning_rate=1e-15,
    )
    assert "exploding_gradients" in names(report)


def test_shuffled_labels_are_learned_by_heart_and_nothing_carries_over(labelled):
    order = torch.randperm(70, generator=torch.Generator().manual_seed(1))
    features, targets = labelled[0].tensors
    shuffled = (TensorDataset(features, targets[order]), labelled[1])
    report, _ = watch(shuffled, {"widths": [64, 64]}, LABEL, epochs=80)
    assert names(report) == {"overfitting"}
    assert report["findings"][0]["remedies"] == (
        "more data, or augmentation", "more dropout", "more weight_decay", "a smaller network",
    )  # fmt: skip


def test_a_network_that_cannot_see_its_features_underfits(toy_tensors):
    blind = tuple(TensorDataset(torch.randn(len(t), 3) * 1e-6, t.tensors[1]) for t in toy_tensors)
    report, _ = watch(blind, {"widths": [4]}, epochs=5, learning_rate=1e-4)
    assert "underfitting" in names(report)


def test_watching_changes_no_bit_of_the_training(toy_tensors):
    model = {"widths": [16, 8], "dropout": 0.3, "batch_norm": True, "activation": "ReLU"}
    _, watched = watch(toy_tensors, model, members=2)
    report, alone = watch(toy_tensors, model, members=2, diagnosis={"enabled": False})
    for one, other in zip(watched, alone, strict=True):
        assert all(torch.equal(one["weights"][key], tensor) for key, tensor in other["weights"].items())
    assert report == {"enabled": False, "capacity": report["capacity"], "findings": []}


def test_every_layer_is_measured_before_training_and_after_epochs(toy_tensors):
    report, _ = watch(
        toy_tensors, {"widths": [16], "activation": "ReLU"}, batch_size=1, epochs=3
    )  # 70 batches an epoch
    lines = report["layers"]
    assert [(line["epoch"], line["layer"]) for line in lines] == [
        (epoch, layer) for epoch in (0, 1, 2) for layer in ("linear_1", "activation_1", "head")
    ]
    assert set(lines[0]) == {"epoch", "layer", *MEASURES}
    assert lines[0]["gradient_norm"] > 0
    assert lines[0]["update_ratio"] is None
    assert lines[3]["update_ratio"] > 0
    assert 0 <= lines[1]["dead_share"] < 1


def test_short_epochs_are_looked_at_now_and_then(toy_tensors):
    report, _ = watch(toy_tensors, {"widths": [4]}, epochs=30, batch_size=16)  # 5 batches an epoch, a look in 24
    assert sorted({line["epoch"] for line in report["layers"]}) == [0, 1, 24]


def test_gradient_norm_is_that_of_the_fixed_batch(toy_tensors):
    train, valid = toy_tensors
    report, _ = watch((train, valid), {"widths": []}, epochs=1, diagnosis={"overfit_steps": 0})
    assert report["overfit_one_batch"] is None
    torch.manual_seed(0)
    model = build_model(plain_model(widths=()), 3, 1)
    rows = torch.randperm(70, generator=torch.Generator().manual_seed(0))[:PROBE_ROWS]
    nn.functional.mse_loss(model(train.tensors[0][rows]), train.tensors[1][rows]).backward()
    assert report["layers"][0]["gradient_norm"] == pytest.approx(float(model.head.weight.grad.norm()), rel=1e-5)


class Dropping(nn.Module):
    """Dropout in every way that a network may have it."""

    def __init__(self, rate: float):
        super().__init__()
        self.cells = nn.LSTM(1, 4, num_layers=2, dropout=rate, batch_first=True)
        self.attention = nn.MultiheadAttention(4, 2, dropout=rate, batch_first=True)
        self.dropout, self.alpha, self.head = nn.Dropout(rate), nn.AlphaDropout(rate), nn.Linear(4, 1)

    def forward(self, features):
        steps, _ = self.cells(features[..., None])
        attended, _ = self.attention(steps, steps, steps)
        return self.head(self.alpha(self.dropout(attended.mean(1))))


def test_the_probe_and_the_batch_learned_by_heart_have_no_dropout(toy_tensors):
    def look(build, rate: float):
        torch.manual_seed(0)
        observer = Observer(DiagnosisOptions(overfit_steps=20))
        options = fitted(members=1)
        observer.begin(*make_members(lambda: build(rate), *toy_tensors, Objective.of(NUMBER), options, CPU))
        return observer.start_loss, observer.overfit, observer.lines

    def perceptron(rate: float) -> nn.Module:
        layers = [nn.Linear(3, 8), nn.ReLU(), nn.Dropout(rate), nn.Linear(8, 1)]
        return nn.Sequential(*layers)

    for build in (Dropping, perceptron):
        assert look(build, 0.8) == look(build, 0.0)


def test_figure_of_a_training_has_a_line_for_each_of_its_layers(toy_tensors):
    report, _ = watch(toy_tensors, {"widths": [8], "activation": "ReLU"}, learning_rate=1e-6)
    figure = plot_layers(report, "toy rows")
    assert {trace.name for trace in figure.data} == {"linear_1", "activation_1", "head"}


def test_probe_counts_the_weights_of_rows(toy_tensors):
    train, valid = toy_tensors
    weights = torch.zeros(len(train), dtype=torch.float64)
    weights[:PROBE_ROWS] = 2.0
    starts = {}
    for name, parts in {
        "weighted": (TensorDataset(*train.tensors, weights), TensorDataset(*valid.tensors, torch.ones(len(valid)))),
        "fewer": (TensorDataset(*(each[:PROBE_ROWS] for each in train.tensors)), valid),
        "all": toy_tensors,
    }.items():
        observer = Observer(DiagnosisOptions(overfit_steps=0))
        options = fitted(HEALTHY)
        build = partial(build_model, plain_model(widths=[16]), 3, 1)
        member = make_members(build, *parts, Objective.of(NUMBER, None), options, CPU)[0]
        observer.begin(member)
        with torch.no_grad():
            outputs = member.model(parts[0].tensors[0])
        starts[name] = observer.start_loss, outputs, parts[0].tensors
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:PROBE_ROWS]
    _, outputs, (_, targets, weights) = starts["weighted"]
    relative = (weights / weights.mean())[order]
    expected = ((outputs - targets).square().flatten()[order] * relative).mean()
    assert starts["weighted"][0] == pytest.approx(float(expected), rel=1e-5)
    assert starts["weighted"][0] != pytest.approx(starts["all"][0], rel=1e-3)


@pytest.mark.parametrize(("weights", "found"), [((), set()), ((5.0, 95.0), {"underfitting"})])
def test_constant_that_a_score_is_held_against_is_that_of_weighted_labels(toy_tensors, weights, found):
    observer = Observer(DiagnosisOptions(overfit_steps=0))
    training = fitted(HEALTHY)
    build = partial(build_model, plain_model(widths=[16]), 3, 1)
    observer.begin(make_members(build, *toy_tensors, Objective.of(NUMBER, training.loss), training, CPU)[0])
    constant = observer.constant_loss  # so that the score alone tells
    scores = {"train_loss": [constant], "train_accuracy_score": 0.95, "valid_accuracy_score": 0.95}
    history = pd.DataFrame(scores)  # 0.95 is a good score where half of the rows have a label, and that of the constant
    target = LABEL.model_copy(update={"weights": weights})
    assert names(diagnose(observer, history, target, "")) == found
