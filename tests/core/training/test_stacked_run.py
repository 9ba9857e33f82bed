import copy
import itertools
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks import build_model
from torchlane.core.options import ModelOptions, TrainingOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit, group_alike
from torchlane.core.training.members import Member, Outcome, make_members

CPU = torch.device("cpu")
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"name": "SGD", "arguments": {"weight_decay": 0.01}},
    "SGD with momentum": {"name": "SGD", "arguments": {"momentum": 0.9, "weight_decay": 0.01}},
    "Nesterov": {"name": "SGD", "arguments": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}},
    "Adam": {"name": "Adam", "arguments": {"weight_decay": 0.01}},
    "AdamW": {"name": "AdamW", "arguments": {"weight_decay": 0.1}},
}
MODEL = ModelOptions(widths=(24, 10), dropout=0.3, activation="GELU")


def make_parts(seed: int = 0, n_rows: int = 150, dtype: torch.dtype = torch.float32) -> tuple[TensorDataset, ...]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n_rows, 13, generator=generator, dtype=torch.float64)
    targets = features[:, :1].sin() + features[:, 1:2] * features[:, 2:3]
    targets += 0.3 * torch.randn(n_rows, 1, generator=generator, dtype=torch.float64)
    features, targets = features.to(dtype), targets.to(dtype)
    return TensorDataset(features[:-40], targets[:-40]), TensorDataset(features[-40:], targets[-40:])


def member(
    seed: int,
    model: ModelOptions = MODEL,
    parts: tuple[TensorDataset, ...] | None = None,
    task: str = "regression",
    **changes: Any,
) -> Member:
    options = TrainingOptions.model_validate({"epochs": 10, "batch_size": 16, "seed": seed, **changes})
    train, valid = parts if parts is not None else make_parts()
    dtype = train.tensors[0].dtype
    target = TargetEncoder.model_validate({"name": "y", "task": task})
    width = int(train.tensors[1].max()) + 1 if task == "multiclass" else 1

    def build() -> nn.Module:
        return build_model(model, train.tensors[0].shape[1], width).to(dtype)

    return make_members(build, train, valid, Objective.of(target, None), options, CPU)[0]


def train(*members: Member) -> list[Outcome]:
    return fit(copy.deepcopy(members), NoCheckpoints())


def distance(one: Outcome, other: Outcome) -> float:
    return max(float((one["weights"][name] - other["weights"][name]).abs().max()) for name in one["weights"])


def same_bits(one: Outcome, other: Outcome) -> bool:
    return all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize(
    ("batch_norm", "dtype", "tolerance"),
    [
        (False, torch.float64, 1e-8),
        (False, torch.float32, 1e-5),
        (True, torch.float64, 1e-8),  # in float32 a bias before batch norm has a gradient of rounding errors alone
    ],
)
def test_stacked_member_ends_where_it_ends_alone(optimizer, dtype, tolerance, batch_norm):
    parts = make_parts(dtype=dtype)
    model = MODEL.model_copy(update={"batch_norm": batch_norm})
    members = [
        member(seed, model, parts, optimizer=optimizer, learning_rate=rate, patience_epochs=3)
        for seed, rate in enumerate([0.001, 0.003, 0.01, 0.02])
    ]
    together = train(*members)
    for one, outcome in zip(members, together, strict=True):
        (alone,) = train(one)
        assert len(outcome["history"]) == len(alone["history"])
        assert distance(outcome, alone) < tolerance
        assert outcome["kept"]["valid_loss"] == pytest.approx(alone["kept"]["valid_loss"], abs=tolerance)


ACTIVATIONS = ["GELU", "ReLU", "Tanh", "PReLU", "SiLU", "Sigmoid", "ELU", "Softplus", None]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_of_a_member_do_not_depend_on_its_company(activation, dtype):
    parts = make_parts(dtype=dtype)
    model = MODEL.model_copy(update={"activation": activation, "batch_norm": True})
    changes = {"epochs": 4, "clip_norm": 1.0}
    probe = member(7, model, parts, **changes)
    company = [member(seed, model, parts, learning_rate=0.001 * seed, **changes) for seed in range(1, 12)]
    with_twin = train(probe, probe)[0]
    for others in ([company[0]], company[1:3], company):
        assert same_bits(train(probe, *others)[0], with_twin)
        assert same_bits(train(*others, probe)[-1], with_twin)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_are_stacked_as_well(task):
    features = make_parts(dtype=torch.float64)[0].tensors[0]
    targets = features[:, 0].round().clamp(-1, 1).long() + 1 if task == "multiclass" else (features[:, :1] > 0).double()
    parts = (TensorDataset(features[:70], targets[:70]), TensorDataset(features[70:], targets[70:]))
    members = [member(seed, MODEL, parts, task, learning_rate=0.01) for seed in range(3)]
    for one, outcome in zip(members, train(*members), strict=True):
        (alone,) = train(one)
        assert distance(outcome, alone) < 1e-8
        for name, value in outcome["kept"].items():
            assert name == "seconds" or value == pytest.approx(alone["kept"][name], abs=1e-8)


def test_members_may_have_rows_options_and_dropout_of_their_own():
    different = [make_parts(seed, 120 + 7 * seed, torch.float64) for seed in range(3)]
    models = [MODEL.model_copy(update={"dropout": rate}) for rate in (0.0, 0.2, 0.5)]
    settings = [
        {"epochs": 4, "optimizer": {"name": "AdamW", "arguments": {"weight_decay": 0.3}}},
        {"epochs": 9, "optimizer": {"name": "AdamW", "arguments": {"betas": (0.8, 0.99)}}},
        {"epochs": 7, "patience_epochs": 1, "learning_rate": 0.05},
    ]
    members = [
        member(seed, model, parts, **changes)
        for seed, (model, parts, changes) in enumerate(zip(models, different, settings, strict=True))
    ]
    for one, outcome in zip(members, train(*members), strict=True):
        (alone,) = train(one)
        assert len(outcome["history"]) == len(alone["history"])
        assert distance(outcome, alone) < 1e-8


SCHEDULERS = [
    {"name": "OneCycleLR", "step": "batch"},
    {"name": "CosineAnnealingLR"},
    {"name": "ReduceLROnPlateau", "arguments": {"patience": 0}},
]


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda each: each["name"])
def test_each_member_follows_its_own_schedule(scheduler):
    parts = make_parts(dtype=torch.float64)
    members = [
        member(seed, MODEL, parts, scheduler=scheduler, learning_rate=0.005 * (seed + 1), optimizer={"name": "SGD"})
        for seed in range(3)
    ]
    for one, outcome in zip(members, train(*members), strict=True):
        (alone,) = train(one)
        rates = [line["learning_rate"] for line in alone["history"]]
        assert [line["learning_rate"] for line in outcome["history"]] == pytest.approx(rates)
        assert distance(outcome, alone) < 1e-8


BY_BATCH = [
    {"name": "OneCycleLR", "step": "batch"},
    {"name": "CosineAnnealingLR", "step": "batch"},
    {"name": "CyclicLR", "step": "batch", "arguments": {"base_lr": 1e-4, "max_lr": 0.02, "step_size_up": 3}},
]


@pytest.mark.parametrize("scheduler", BY_BATCH, ids=lambda each: each["name"])
@pytest.mark.parametrize("optimizer", ["SGD with momentum", "AdamW"])
def test_schedules_by_batch_part_members_that_begin_with_the_same_rate(scheduler, optimizer):
    changes = {"scheduler": scheduler, "learning_rate": 0.01, "optimizer": OPTIMIZERS[optimizer]}
    members = [
        member(seed, MODEL, make_parts(seed, n_rows, torch.float64), epochs=epochs, **changes)
        for seed, (n_rows, epochs) in enumerate([(150, 3), (150, 6), (90, 3)])
    ]
    for one, outcome in zip(members, train(*members), strict=True):
        assert distance(outcome, train(one)[0]) < 1e-8


class Residual(nn.Module):
    """A network that is no plain sequence, with batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(13, 13)
        self.norm = nn.BatchNorm1d(13)
        self.dropout = nn.Dropout(0.2)
        self.again = nn.Dropout(0.4)
        self.head = nn.Linear(13, 1)

    def forward(self, features):
        hidden = self.dropout(torch.relu(self.norm(self.first(features))))
        return self.head(self.again(features + hidden))


class Convolutional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(1, 4, 3)
        self.head = nn.Linear(44, 1)

    def forward(self, features):
        return self.head(torch.relu(self.convolution(features[:, None])).flatten(1))


def with_network(network: type[nn.Module], seeds: range) -> list[Member]:
    parts = make_parts(dtype=torch.float64)
    options = TrainingOptions(epochs=5, batch_size=16, members=len(seeds), seed=seeds[0])
    objective = Objective.of(TargetEncoder(name="y", task="regression"), None)
    return make_members(lambda: network().double(), *parts, objective, options, CPU)


@pytest.mark.parametrize("network", [Residual, Convolutional])
def test_other_networks_are_stacked_through_functional_calls(network, caplog):
    members = with_network(network, range(3))
    with caplog.at_level("INFO"):
        together = train(*members)
    assert "one after another" not in caplog.text
    for one, outcome in zip(members, together, strict=True):
        (alone,) = train(one)
        assert distance(outcome, alone) < 1e-8


class Crossed(nn.Module):
    """Dropout layers that are not called in the order in which they are made, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.spare, self.late, self.early = nn.Dropout(0.9), nn.Dropout(0.1), nn.Dropout(0.6)
        self.hidden, self.head = nn.Linear(13, 6), nn.Linear(6, 1)

    def forward(self, features):
        return self.head(self.late(torch.tanh(self.hidden(self.early(features)))))


class Partly(nn.Module):
    """A layer that is frozen, and one that is used twice under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.hidden, self.head = nn.Linear(13, 13), nn.Linear(13, 13), nn.Linear(13, 1)
        self.frozen.requires_grad_(False)
        self.again = nn.Linear(13, 13)
        self.again.weight = self.hidden.weight

    def forward(self, features):
        return self.head(torch.tanh(self.again(torch.tanh(self.hidden(self.frozen(features))))))


class Heads(nn.Module):
    """Dropout on a tensor that has heads beside the rows."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.head = nn.Dropout(0.5), nn.Linear(12, 1)

    def forward(self, features):
        by_head = self.dropout(features[:, :12].reshape(len(features) * 3, 4))
        return self.head(by_head.reshape(len(features), 12))


@pytest.mark.parametrize("network", [Crossed, Partly, Heads])
def test_unusual_networks_are_stacked_and_give_what_they_give_alone(network, caplog):
    members = with_network(network, range(3))
    with caplog.at_level("INFO"):
        together = train(*members)
    assert "one after another" not in caplog.text
    for one, outcome in zip(members, together, strict=True):
        assert distance(outcome, train(one)[0]) < 1e-8


class Transposed(nn.Module):
    """Dropout on a tensor that does not lie in memory in the order of its dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.head = nn.Dropout(0.5), nn.Linear(12, 1)

    def forward(self, features):
        return self.head(self.dropout(features[:, :12].reshape(-1, 3, 4).transpose(1, 2)).flatten(1))


class Half(nn.Module):
    """Parameters of two types."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(13, 1)

    def double(self):
        super().double()
        self.scale = nn.Parameter(torch.ones(1))
        return self

    def forward(self, features):
        return self.head(features * self.scale)


class Doubled(nn.Dropout):
    def forward(self, features):
        return 2 * features


class WithDoubled(nn.Module):
    """A layer derived from dropout that does something else."""

    def __init__(self) -> None:
        super().__init__()
        self.doubled, self.head = Doubled(0.5), nn.Linear(13, 1)

    def forward(self, features):
        return self.head(self.doubled(features))


@pytest.mark.parametrize("network", [Transposed, Half, WithDoubled])
def test_networks_give_what_they_give_alone_whether_stacked_or_not(network):
    members = with_network(network, range(2))
    for one, outcome in zip(members, train(*members), strict=True):
        assert distance(outcome, train(one)[0]) < 1e-8


def test_dropout_in_different_places_is_stacked():
    def build(*rates: float) -> nn.Module:
        layers = [
            nn.Linear(13, 6),
            nn.Tanh(),
            nn.Dropout(rates[0]),
            nn.Linear(6, 4),
            nn.Dropout(rates[1]),
            nn.Linear(4, 1),
        ]
        return nn.Sequential(*(layer for layer in layers if getattr(layer, "p", 1)))

    members = []
    for seed, rates in enumerate([(0.5, 0.0), (0.0, 0.0), (0.0, 0.3)]):
        one = with_network(lambda rates=rates: build(*rates), range(seed, seed + 1))[0]
        members.append(one)
    assert group_alike([with_names(one) for one in members]) == [[0, 1, 2]]
    for one, outcome in zip(members, train(*map(with_names, members)), strict=True):
        (alone,) = train(with_names(one))
        assert distance(outcome, alone) < 1e-8


def with_names(one: Member) -> Member:
    """Name the layers that have weights, since positions differ with the dropout."""
    number = itertools.count()
    layers = [
        (f"{type(layer).__name__.lower()}_{next(number)}", layer)
        for layer in one.model
        if type(layer) is not nn.Dropout
    ]
    names = {layer: name for name, layer in layers}
    named = OrderedDict((names.get(layer, f"dropout_{place}"), layer) for place, layer in enumerate(one.model))
    return replace(one, model=nn.Sequential(named))


class OfImages(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.dropout, self.head = nn.Linear(9, 6), nn.Dropout(0.4), nn.Linear(6, 1)

    def forward(self, images):
        return self.head(self.dropout(self.hidden(images.double().flatten(1) / 255).relu()))


def test_dropout_of_networks_on_uint8_images_is_stacked(caplog):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (70, 1, 3, 3), dtype=torch.uint8, generator=generator)
    parts = [TensorDataset(part, part.double().mean((1, 2, 3))[:, None] / 255) for part in (images[:50], images[50:])]
    options = TrainingOptions(epochs=5, batch_size=16, members=3)
    objective = Objective.of(TargetEncoder(name="y", task="regression"), None)
    members = make_members(lambda: OfImages().double(), *parts, objective, options, CPU)
    with caplog.at_level("INFO"):
        together = train(*members)
    assert "one after another" not in caplog.text
    for one, outcome in zip(members, together, strict=True):
        assert distance(outcome, train(one)[0]) < 1e-8


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(1, 3, batch_first=True)
        self.head = nn.Linear(3, 1)

    def forward(self, features):
        return self.head(self.cells(features[..., None])[0][:, -1])


class Random(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(13, 1)

    def forward(self, features):
        return self.layer(nn.functional.dropout(features, 0.1, self.training))


class Unused(Random):
    def __init__(self) -> None:
        super().__init__()
        self.spare = nn.Parameter(torch.ones(2))

    def forward(self, features):
        return self.layer(features)


@pytest.mark.parametrize("network", [Recurrent, Random, Unused])
def test_networks_that_cannot_be_stacked_are_trained_one_after_another(network, caplog):
    members = with_network(network, range(2))
    with caplog.at_level("INFO"):
        together = train(*members)
    assert "training: 2 members one after another, since they cannot be stacked: " in caplog.text
    for one, outcome in zip(members, together, strict=True):
        assert same_bits(outcome, train(one)[0])


def test_optimizers_without_a_stacked_step_train_members_one_after_another(caplog):
    members = [member(seed, optimizer={"name": "NAdam"}) for seed in range(2)]
    with caplog.at_level("INFO"):
        together = train(*members)
    assert "optimizer NAdam with these arguments is not stacked; SGD, Adam and AdamW are" in caplog.text
    assert same_bits(together[1], train(members[1])[0])


def test_stacked_false_gives_each_member_the_bits_of_the_plain_loop():
    members = [member(seed, stacked=False) for seed in range(2)]
    assert same_bits(train(*members)[1], train(members[1])[0])


def test_a_member_that_fails_leaves_and_the_others_go_on_where_asked():
    members = [member(seed, learning_rate=rate, optimizer={"name": "SGD"}) for seed, rate in enumerate([0.01, 1e12])]
    with pytest.raises(ValueError, match="the training loss is (nan|inf) after epoch"):
        train(*members)
    sound, failed = fit(copy.deepcopy(members), NoCheckpoints(), keep_going=True)
    assert sound["error"] == "" and len(sound["history"]) == 10
    assert "learning rate 1e+12" in failed["error"]
    assert same_bits(sound, train(members[0], members[0])[0])


def test_members_stop_when_told_to():
    members = [member(seed) for seed in range(3)]
    outcomes = fit(
        copy.deepcopy(members),
        NoCheckpoints(),
        stop=lambda epoch, kept: {1} if epoch == 4 else set(),
    )
    assert [len(outcome["history"]) for outcome in outcomes] == [10, 4, 10]
