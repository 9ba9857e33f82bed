"""Batch norm cannot normalise one row, so a single row left over joins the previous batch."""

import copy
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.core.fitted import fitted, plain_model
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.machine.threads import threads_for, torch_threads
from torchlane.core.networks import build_model
from torchlane.core.options import DiagnosisOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.adaptation import Adaptation, ParameterGroup
from torchlane.core.training.fit import fit
from torchlane.core.training.members import Member, make_members
from torchlane.core.training.norms import smallest_batch
from torchlane.core.training.observation import Observer
from torchlane.core.training.plain_run import Stepper
from torchlane.core.training.stacked.stack import Stack

CPU = torch.device("cpu")
NUMBER = TargetEncoder(name="y", task="regression")


def perceptron(batch_norm: bool = True) -> nn.Module:
    return build_model(plain_model(widths=(4,), activation="Tanh", batch_norm=batch_norm), 3, 1).double()


def pixels(side: int) -> nn.Module:
    """A network whose batch norm has side * side pixels for each channel and image."""
    layers = [nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 2, 3 - side), nn.BatchNorm2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(2 * side * side, 1)).double()


class Functional(nn.Module):
    """A user's network that calls batch norm as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.head(nn.functional.batch_norm(features, None, None, training=self.training or len(features) > 1))


def make(build: Any, n_rows: int, n_features: int = 3, task: Any = "regression", **training: Any) -> list[Member]:
    generator = torch.Generator().manual_seed(n_rows)
    features = torch.randn(n_rows + 4, n_features, generator=generator, dtype=torch.float64)
    targets = features[:, :1].sin() if task == "regression" else (features[:, :1] > 0).double()
    train, valid = (TensorDataset(features[part], targets[part]) for part in (slice(n_rows), slice(n_rows, None)))
    settings = {"epochs": 2, "optimizer": {"name": "SGD"}, "learning_rate": 0.02, "members": 1, **training}
    target = TargetEncoder(name="y", task=task, labels=() if task == "regression" else ("a", "b"), counts=())
    options = fitted(settings)
    return make_members(build, train, valid, Objective.of(target), options, CPU)


def train(members: list[Member]) -> list[dict[str, Tensor]]:
    return [outcome["weights"] for outcome in fit(copy.deepcopy(members), NoCheckpoints())]


@settings(deadline=None, max_examples=30)
@given(
    n_rows=st.integers(1, 26),
    batch_size=st.integers(1, 13),
    n_members=st.integers(1, 3),
    batch_norm=st.booleans(),
    exact=st.booleans(),
)
def test_each_row_is_seen_once_an_epoch_and_stacked_members_end_where_they_end_alone(
    n_rows, batch_size, n_members, batch_norm, exact
):
    members = make(lambda: perceptron(batch_norm), n_rows, batch_size=batch_size, members=n_members, exact=exact)
    if batch_norm and 1 in (n_rows, batch_size):
        with pytest.raises(ValueError, match="batch norm needs at least 2 rows in a batch of training, and "):
            train(members)
        return
    seen: list[float] = []
    sizes: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        for kind in (Stepper, Stack):
            patch.setattr(kind, "step", record(kind.step, seen, sizes))
        together = train(members)
    rows = members[0].train.tensors[0][:, 0].tolist()
    assert Counter(seen) == Counter(rows * 2 * n_members)
    assert not batch_norm or min(sizes) > 1
    for member, weights in zip(members, together, strict=True):
        (alone,) = train([member])
        for name, tensor in alone.items():
            torch.testing.assert_close(weights[name], tensor, rtol=1e-8, atol=1e-8)


def record(step: Any, seen: list[float], sizes: list[int]) -> Any:
    def recorded(self: Any, features: Tensor, *rest: Any) -> Any:
        seen.extend(features[..., 0].flatten().tolist())
        sizes.append(features.shape[-2])
        return step(self, features, *rest)

    return recorded


@pytest.mark.parametrize(
    ("build", "n_features", "last"),
    [(lambda: perceptron(False), 3, [4, 1]), (lambda: pixels(2), 4, [4, 1]), (perceptron, 3, [5])],
    ids=["without batch norm", "batch norm over pixels", "batch norm over rows"],
)
def test_exact_loop_is_the_plain_one_with_the_last_row_alone_where_the_network_takes_it(build, n_features, last):
    (member,) = make(build, 13, n_features, batch_size=4, epochs=1)
    (weights,) = train([member])
    torch.manual_seed(0)
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    ((features, targets),) = DataLoader(member.train, batch_size=13, shuffle=True)  # draws the order of one epoch
    sizes = [4, 4, *last]
    with torch_threads(threads_for(lambda: 0)):  # as many as narrow steps take: the bits of batch norm depend on it
        for some, of_some in zip(features.split(sizes), targets.split(sizes), strict=True):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(some), of_some).backward()
            optimizer.step()
    for name, tensor in model.state_dict().items():
        assert torch.equal(weights[name], tensor), name


@pytest.mark.parametrize(
    ("build", "n_features", "expected"),
    [
        (perceptron, 3, 2),
        (lambda: pixels(1), 4, 2),
        (lambda: pixels(2), 4, 1),
        (Functional, 3, 2),
        (lambda: nn.Sequential(nn.SyncBatchNorm(3), nn.Linear(3, 1)), 3, 2),
        (lambda: nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.Linear(3, 1)), 3, 2),
        (lambda: nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 1)), 3, 1),
    ],
)
def test_every_network_is_asked_whether_it_takes_one_row(build, n_features, expected):
    model = build().double()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    features = torch.randn(9, n_features, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert smallest_batch(model, features, fitted(batch_size=4)) == expected
    assert smallest_batch(model, features, fitted(batch_size=5)) == 1  # none is left over
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert model.training


def test_batch_norm_that_fine_tuning_keeps_still_takes_one_row():
    model = perceptron()
    norms = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm1d)]
    group = ParameterGroup(tuple(name for name, _ in model.named_parameters()))
    features = torch.randn(9, 3, dtype=torch.float64)
    for first_epoch, expected in ((None, 1), (1, 2), (3, 2), (4, 1)):
        adaptation = Adaptation((group,), dict.fromkeys(norms, first_epoch))
        assert smallest_batch(model, features, fitted(batch_size=4, epochs=3), adaptation) == expected


@pytest.mark.parametrize(("first_epoch", "sizes"), [(None, {4, 1}), (2, {4, 5})])
def test_fine_tuned_members_with_one_row_left_over_end_where_they_end_alone(first_epoch, sizes):
    group = ParameterGroup(tuple(name for name, _ in perceptron().named_parameters()))
    norms = [name for name, module in perceptron().named_modules() if isinstance(module, nn.BatchNorm1d)]
    adaptation = Adaptation((group,), dict.fromkeys(norms, first_epoch))
    members = [replace(each, adaptation=adaptation) for each in make(perceptron, 9, batch_size=4, members=3, epochs=3)]
    assert set(members[0].batch_sizes) == sizes
    for member, weights in zip(members, train(members), strict=True):
        (alone,) = train([member])
        for name, tensor in alone.items():
            torch.testing.assert_close(weights[name], tensor, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "message"),
    [
        (6, 1, "training, and training.batch_size is 1; set it to 2 or more, or take batch norm out of the network"),
        (1, 4, "training, and train has 1 row; give more rows, or take batch norm out of the network"),
    ],
)
def test_batches_too_small_for_batch_norm_are_refused_before_training(n_rows, batch_size, message):
    members = make(perceptron, n_rows, batch_size=batch_size, members=2)
    before = copy.deepcopy(members[0].model.state_dict())
    with pytest.raises(ValueError, match=message):
        fit(members, NoCheckpoints())
    with pytest.raises(ValueError, match=message):
        Observer(DiagnosisOptions()).begin(members[0])
    assert all(torch.equal(tensor, before[name]) for name, tensor in members[0].model.state_dict().items())


def test_fine_tuning_in_batches_of_one_row_names_its_own_option_and_way_out():
    group = ParameterGroup(tuple(name for name, _ in perceptron().named_parameters()))
    (member,) = make(perceptron, 9, batch_size=1)
    message = r"fine_tuning.batch_size is 1; set it to 2 or more, or freeze the layers that .* \(fine_tuning.freeze\)"
    with pytest.raises(ValueError, match=message):
        fit([replace(member, adaptation=Adaptation((group,), {}))], NoCheckpoints())


def test_instance_norm_of_one_pixel_is_refused_by_name():
    def build() -> nn.Module:
        return nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.InstanceNorm2d(1), nn.MaxPool2d(2), nn.Flatten()).append(
            nn.Sequential(nn.Unflatten(1, (1, 1, 1)), nn.InstanceNorm2d(1), nn.Flatten(), nn.Linear(1, 1)).double()
        )

    with pytest.raises(ValueError, match=r"instance norm of the network .* one pixel there: .*; give larger images"):
        fit(make(build, 8, 4, batch_size=4), NoCheckpoints())


def test_that_a_row_joins_another_batch_is_said_once(caplog):
    caplog.set_level("INFO")
    train(make(perceptron, 9, batch_size=4, members=3))
    assert caplog.text.count("joins the last whole batch: 2 batches, the last of 5 rows") == 1
    caplog.clear()
    train(make(lambda: perceptron(False), 9, batch_size=4, members=3))
    assert "joins" not in caplog.text


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_a_batch_learned_by_heart_needs_two_rows_that_differ(task):
    (member,) = make(perceptron, 6, task=task, batch_size=3)
    member.train.tensors[0][:] = 1.0
    observer = Observer(DiagnosisOptions(overfit_steps=5))
    observer.begin(member)
    assert observer.overfit is not None
    assert (observer.overfit["rows"], observer.overfit["fitted"]) == (1, None)
