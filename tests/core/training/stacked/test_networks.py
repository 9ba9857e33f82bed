import itertools
from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted
from tests.core.training.stacked.members import CPU, distance, make_parts, same_bits, train
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.grouping import group_alike
from torchlane.core.training.members import Member, make_members


class Residual(nn.Module):
    """A network that is not a sequence of layers, with batch norm and dropout."""

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
    options = fitted(epochs=5, batch_size=16, members=len(seeds), seed=seeds[0])
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
    """Dropout layers that are used in another order than they are defined, and one that is never used."""

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
    """Dropout on a tensor whose first dimension holds rows and heads."""

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
    """Dropout on a tensor that is not contiguous."""

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
    """A subclass of dropout that computes something else."""

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
    """Name the layers, since their positions depend on the dropout layers."""
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
    options = fitted(epochs=5, batch_size=16, members=3)
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
