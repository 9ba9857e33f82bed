import copy
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.core.fitted import fitted
from torchlane.core.options import FittedTraining
from torchlane.core.training import joined
from torchlane.core.training.joined import ELEMENTWISE, Joined
from torchlane.core.training.optimizers import Schedule
from torchlane.core.training.stepping import Stepper

ARGUMENTS = {
    "Adam": [{"weight_decay": 0.01}, {"amsgrad": True}, {"maximize": True, "betas": (0.5, 0.9), "eps": 1e-3}],
    "AdamW": [{}, {"weight_decay": 0.3}],
    "SGD": [{}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}],
    "RMSprop": [{"centered": True, "momentum": 0.5}],
}
CHOICES = [(name, arguments) for name in sorted(ELEMENTWISE) for arguments in ARGUMENTS.get(name, [{}])]


class Branching(nn.Module):
    """A network whose second layer takes part in some steps only."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 5), nn.Linear(5, 5)
        self.n_steps = 0

    def forward(self, features):
        self.n_steps += 1
        hidden = self.first(features).relu()
        return (self.second(hidden) if self.n_steps % 3 else hidden).sum(1, keepdim=True)


class Tied(nn.Module):
    """A network with two parameters in the same memory."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight.data = self.first.weight.data

    def forward(self, features):
        return self.second(self.first(features)).sum(1, keepdim=True)


def options(name="Adam", arguments=None, **changes) -> FittedTraining:
    optimizer = {"name": name, "arguments": arguments or {}}
    return fitted({"learning_rate": 0.01, "optimizer": optimizer, **changes})


def batches(n_steps):
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(7, 3, generator=generator), torch.randn(7, 1, generator=generator)) for _ in range(n_steps)]


def take_plain_steps(model, name, arguments, n_steps):
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.01, **arguments)
    for features, targets in batches(n_steps):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(features), targets).backward()
        optimizer.step()
    return optimizer


def network(widths=(5, 13)):
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(n, m), nn.Tanh()) for n, m in zip((3, *widths), (*widths, 1), strict=True)]
    return nn.Sequential(*layers)


def is_joined(stepper):
    return isinstance(stepper._updates, Joined) and stepper._updates._is_joined


def same(model, other):
    return all(map(torch.equal, model.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize(("name", "arguments"), CHOICES, ids=str)
def test_joined_parameters_take_the_steps_of_torch_to_the_bit_and_resume(name, arguments):
    plain, ours = network(), network()
    optimizer = take_plain_steps(plain, name, arguments, 6)
    stepper = Stepper(ours, nn.MSELoss(), options(name, arguments))
    steps = batches(6)
    for features, targets in steps[:3]:
        stepper.step(features, targets)
    state, resumed = copy.deepcopy(stepper.state_dict()), copy.deepcopy(ours)
    again = Stepper(resumed, nn.MSELoss(), options(name, arguments))
    again.load_state_dict(state)
    for each in (stepper, again):
        for features, targets in steps[3:]:
            each.step(features, targets)
        assert is_joined(each)
    assert same(plain, ours)
    assert same(plain, resumed)
    found, expected = stepper.state_dict()["optimizer"], optimizer.state_dict()
    assert found["param_groups"] == expected["param_groups"]
    assert found["state"].keys() == expected["state"].keys()
    for number, values in expected["state"].items():
        for key, value in values.items():
            assert torch.equal(torch.as_tensor(found["state"][number][key]), torch.as_tensor(value)), key


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.sampled_from(CHOICES))
def test_layers_of_any_width_have_the_bits_of_torch(widths, choice):
    plain, ours = network(tuple(widths)), network(tuple(widths))
    take_plain_steps(plain, *choice, 3)
    stepper = Stepper(ours, nn.MSELoss(), options(*choice))
    for features, targets in batches(3):
        stepper.step(features, targets)
    assert same(plain, ours)


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_parameter_without_a_gradient_is_skipped_in_this_step_as_by_torch(name):
    torch.manual_seed(0)
    plain = Branching()
    ours = copy.deepcopy(plain)
    take_plain_steps(plain, name, {"weight_decay": 0.1}, 8)
    stepper = Stepper(ours, nn.MSELoss(), options(name, {"weight_decay": 0.1}))
    assert is_joined(stepper)
    for features, targets in batches(8):
        stepper.step(features, targets)
    assert not is_joined(stepper)
    assert same(plain, ours)


def test_networks_that_cannot_be_views_of_one_tensor_are_left_as_they_are():
    frozen, mixed, tied = network(), network().double(), Tied()
    frozen[0][0].weight.requires_grad_(False)
    mixed[0].float()
    for model in (frozen, mixed, tied):
        memory = [each.data_ptr() for each in model.parameters()]
        stepper = Stepper(model, nn.MSELoss(), options())
        assert not isinstance(stepper._updates, Joined)
        assert memory == [each.data_ptr() for each in model.parameters()]


def test_where_a_processor_gives_other_bits_each_parameter_is_stepped_on_its_own(monkeypatch):
    monkeypatch.setattr(joined, "_has_same_bits", lambda chosen: False)
    assert not isinstance(Stepper(network(), nn.MSELoss(), options())._updates, Joined)
    assert isinstance(Stepper(network(), nn.MSELoss(), options(exact=False))._updates, Joined)


def test_a_trial_notices_other_bits(monkeypatch):
    def inexact(optimizer, numbers):
        return lambda self: numbers.add_(numbers.grad, alpha=-0.01)

    chosen = options("SGD", {"momentum": 0.5}).optimizer.model_dump_json()
    joined._has_same_bits.cache_clear()
    monkeypatch.setattr(joined, "make_lean_step", inexact)
    assert not joined._has_same_bits(chosen)
    joined._has_same_bits.cache_clear()


def test_schedulers_see_the_steps_of_joined_parameters():
    chosen = options(scheduler={"name": "StepLR", "arguments": {"step_size": 1, "gamma": 0.5}})
    stepper = Stepper(network(), nn.MSELoss(), chosen)
    schedule = Schedule(stepper.optimizer, chosen.scheduler, 3, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch warns if a scheduler steps before its optimizer
        for features, targets in batches(3):
            stepper.step(features, targets)
            schedule.after_epoch(1.0)
    assert schedule.learning_rate == 0.01 / 8
