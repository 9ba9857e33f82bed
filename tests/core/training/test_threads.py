from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.machine import threads
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.options import DiagnosisOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.adaptation import Adaptation, ParameterGroup
from torchlane.core.training.fit import fit
from torchlane.core.training.members import make_members
from torchlane.core.training.observation import Observer
from torchlane.core.transfer import prefix
from torchlane.core.transfer.prefix import cut_prefix

IMAGES, TABLE = (48, 1, 28, 28), (48, 40)


def convolutional() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(784, 1))


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(40, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(40, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.1), nn.Linear(128, 1))


def train(build, shape, **options):
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(shape, generator=generator)
    data = TensorDataset(features, features.flatten(1).mean(1, keepdim=True))
    chosen = fitted(**{"batch_size": 16, "epochs": 2, "patience_epochs": None, "device": "cpu", **options})
    objective = Objective.of(TargetEncoder(name="y", task="regression"), chosen.loss)
    members = make_members(build, data, data, objective, chosen, torch.device("cpu"))
    return fit(members, NoCheckpoints(), quiet=True)


def same_bits(outcomes, others):
    return all(
        torch.equal(tensor, other["weights"][name])
        for one, other in zip(outcomes, others, strict=True)
        for name, tensor in one["weights"].items()
    )


@pytest.fixture
def machine_of(monkeypatch):
    """A function that makes torch take so many threads, as on a machine with as many cores."""
    for name in threads.CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    ("build", "shape"),
    [(convolutional, IMAGES), (perceptron, TABLE), (normed, TABLE)],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_narrow_training_has_the_same_bits_whatever_the_number_of_cores(machine_of, build, shape, members, exact):
    trained = []
    for cores in (1, 2, 4):
        machine_of(cores)
        trained.append(train(build, shape, members=members, exact=exact))
        assert torch.get_num_threads() == cores
    assert {outcome["threads"] for outcomes in trained for outcome in outcomes} == {1}
    assert same_bits(trained[0], trained[1])
    assert same_bits(trained[0], trained[2])


@pytest.mark.parametrize(
    ("widths", "rows"), [((40, 64, 64), 16), ((120, 128, 128), 64), ((784, 100), 48), ((378, 128, 128), 256)]
)
def test_stacked_perceptrons_have_the_same_bits_on_any_number_of_threads(widths, rows):
    def build() -> nn.Module:
        layers = [layer for pair in pairwise(widths) for layer in (nn.Linear(*pair), nn.GELU())]
        return nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    trained = [
        train(build, (2 * rows, widths[0]), members=4, batch_size=rows, epochs=1, threads=count) for count in (1, 2, 4)
    ]
    assert [outcomes[0]["threads"] for outcomes in trained] == [1, 2, 4]
    assert same_bits(trained[0], trained[1])
    assert same_bits(trained[0], trained[2])


def test_wide_steps_take_the_threads_of_torch_and_more_members_make_a_step_wider(machine_of, monkeypatch):
    machine_of(2)
    of_one = train(perceptron, TABLE)[0]
    assert of_one["threads"] == 1
    monkeypatch.setattr(threads, "WIDE_STEP", 500_000)  # a step of one member is some 244,000 multiply-adds
    assert train(perceptron, TABLE)[0]["threads"] == 1
    assert train(perceptron, TABLE, members=3)[0]["threads"] == 2
    assert train(perceptron, TABLE, members=3, stacked=False)[0]["threads"] == 1


def test_watching_and_frozen_layers_take_one_thread_where_they_are_narrow(machine_of, monkeypatch):
    seen = []
    forward = nn.Linear.forward

    def recording(self, features):
        if len(features) > 1:  # not the row by which operations are counted
            seen.append(torch.get_num_threads())
        return forward(self, features)

    machine_of(2)
    monkeypatch.setattr(nn.Linear, "forward", recording)
    features = torch.rand(48, 40)
    data = TensorDataset(features, features.mean(1, keepdim=True))
    chosen = fitted(batch_size=16, epochs=1, device="cpu")
    objective = Objective.of(TargetEncoder(name="y", task="regression"), chosen.loss)
    (member,) = make_members(perceptron, data, data, objective, chosen, torch.device("cpu"))
    observer = Observer(DiagnosisOptions(overfit_steps=3))
    observer.begin(member)
    assert set(seen) == {1}
    seen.clear()
    frozen = replace(member, adaptation=Adaptation((ParameterGroup(("4.weight", "4.bias")),), {}))
    monkeypatch.setattr(prefix, "_bytes_of", lambda member, first: 0)
    assert len(cut_prefix([frozen])[0].model) == 1
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2
