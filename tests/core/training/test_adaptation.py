"""Members that were trained before: frozen parameters, groups, thawing, pull, frozen batch norms."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted, plain_model
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks import build_model
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.adaptation import Adaptation, ParameterGroup
from torchlane.core.training.batches import Batches
from torchlane.core.training.fit import fit
from torchlane.core.training.members import Member, Outcome, make_members
from torchlane.core.transfer.prefix import cut_prefix, restored

CPU = torch.device("cpu")
HEAD, SECOND, FIRST = (
    ("head.weight", "head.bias"),
    ("linear_2.weight", "linear_2.bias", "batch_norm_2.weight", "batch_norm_2.bias"),
    ("linear_1.weight", "linear_1.bias", "batch_norm_1.weight", "batch_norm_1.bias"),
)
NORMS = ("batch_norm_1", "batch_norm_2")


def make_adaptation(frozen: int = 0, thaw: int = 0, pull: float = 0.0) -> Adaptation:
    """Freeze the first `frozen` layers; the others start one by one from the head, each at half the rate of the last."""
    layers = [HEAD, SECOND, FIRST][: 3 - frozen]
    groups = tuple(ParameterGroup(names, 0.5**depth, 1 + thaw * depth, pull) for depth, names in enumerate(layers))
    norms = {name: None if number < frozen else 1 + thaw * (2 - number) for number, name in enumerate(NORMS)}
    return Adaptation(groups, {name: first for name, first in norms.items() if first != 1})


def make_networks(adaptation: Adaptation, count: int = 3, dropout: float = 0.0, **changes) -> list[Member]:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(90, 5, generator=generator, dtype=torch.float64)
    targets = features[:, :1].sin() + features[:, 1:2]
    parts = TensorDataset(features[:60], targets[:60]), TensorDataset(features[60:], targets[60:])
    settings = {"epochs": 6, "batch_size": 16, "learning_rate": 0.01, "patience_epochs": None, "members": count}
    options = fitted({**settings, **changes})
    model = plain_model(widths=(12, 8), batch_norm=True, dropout=dropout)
    objective = Objective.of(TargetEncoder(name="y", task="regression"), None)
    members = make_members(lambda: build_model(model, 5, 1).double(), *parts, objective, options, CPU)
    for member in members:
        member.adaptation = adaptation
    return members


def train(members: list[Member]) -> list[Outcome]:
    return fit(copy.deepcopy(members), NoCheckpoints())


def moved(member: Member, outcome: Outcome) -> set[str]:
    before = member.model.state_dict()
    return {name for name, tensor in outcome["weights"].items() if not torch.equal(tensor, before[name])}


@pytest.mark.parametrize("stacked", [False, True])
def test_frozen_layers_keep_weights_and_statistics_and_the_others_move(stacked):
    members = make_networks(make_adaptation(frozen=1), stacked=stacked)
    for member, outcome in zip(members, train(members), strict=True):
        statistics = {f"batch_norm_2.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
        assert moved(member, outcome) == {*HEAD, *SECOND, *statistics}


@pytest.mark.parametrize("stacked", [False, True])
def test_layers_join_in_when_their_epoch_has_come(stacked):
    def names(epochs: int) -> set[str]:
        members = make_networks(make_adaptation(thaw=2), epochs=epochs, stacked=stacked)
        return {name for name in moved(members[0], train(members)[0]) if name.endswith(("weight", "bias"))}

    assert names(2) == {*HEAD}
    assert names(4) == {*HEAD, *SECOND}
    assert names(5) == {*HEAD, *SECOND, *FIRST}


@pytest.mark.parametrize(
    ("adaptation", "changes"),
    [
        (make_adaptation(), {}),
        (make_adaptation(frozen=2), {"dropout": 0.3}),
        (make_adaptation(frozen=1, thaw=2), {"clip_norm": 0.5}),
        (make_adaptation(thaw=1, pull=0.3), {"optimizer": {"name": "SGD", "arguments": {"momentum": 0.9}}}),
        (make_adaptation(thaw=1, pull=0.3), {"clip_norm": 0.1}),
        (make_adaptation(), {"scheduler": {"name": "OneCycleLR", "step": "batch"}}),
    ],
    ids=["rates", "frozen", "thawing and clipped", "pulled", "pulled and clipped", "cycle of rates"],
)
def test_stacked_members_end_where_the_plain_loop_ends(adaptation, changes):
    together = train(make_networks(adaptation, **changes))
    alone = train(make_networks(adaptation, **changes, stacked=False))
    for one, other in zip(together, alone, strict=True):
        for name, tensor in one["weights"].items():
            torch.testing.assert_close(tensor, other["weights"][name], rtol=0, atol=1e-7)  # a bias before a norm drifts
        assert one["kept"]["valid_loss"] == pytest.approx(other["kept"]["valid_loss"], abs=1e-8)


def test_members_with_rates_and_pulls_of_their_own_do_not_change_each_other():
    each = make_networks(make_adaptation(pull=0.2), count=1) + make_networks(make_adaptation(), count=1, seed=5)
    together = train(each)
    for member, outcome in zip(each, together, strict=True):
        twin = train([member, member])[0]
        assert all(torch.equal(outcome["weights"][name], tensor) for name, tensor in twin["weights"].items())


def test_pull_is_the_gradient_of_the_penalty_and_rates_are_a_group_each():
    adaptation = make_adaptation(pull=0.7)
    (member,) = make_networks(adaptation, count=1, optimizer={"name": "SGD"}, epochs=2)
    member.valid = TensorDataset(*(tensor[:0] for tensor in member.valid.tensors))  # so that the last weights stay
    plain, random = copy.deepcopy(member.model).train(), copy.deepcopy(member.random)
    start = {name: parameter.detach().clone() for name, parameter in plain.named_parameters()}
    rates = {name: 0.01 * group.rate for group in adaptation.groups for name in group.names}
    with random.in_use():
        for features, targets in (batch for _ in range(2) for batch in Batches(member.train, 16)):
            named = dict(plain.named_parameters())
            penalty = sum((parameter - start[name]).square().sum() for name, parameter in named.items())
            loss = nn.functional.mse_loss(plain(features), targets) + 0.7 / 2 * penalty
            gradients = torch.autograd.grad(loss, list(named.values()))
            with torch.no_grad():
                for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
                    parameter -= rates[name] * gradient
    (outcome,) = train([member])
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(outcome["weights"][name], parameter.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize(("frozen", "stacked"), [(1, True), (1, False), (2, True)])
def test_outputs_of_frozen_first_layers_computed_once_lead_to_the_same_weights(frozen, stacked, dropout):
    members = make_networks(make_adaptation(frozen=frozen), dropout=dropout, stacked=stacked)
    cut = cut_prefix(copy.deepcopy(members))
    layers = [name for name, _ in cut[0].model.named_children()]
    assert "linear_1" not in layers and "head" in layers
    # Dropout draws anew each time, so with it only what stands before the first dropout is computed once.
    assert ("linear_2" in layers) == (frozen == 1 or dropout > 0)
    for member, whole, once in zip(members, train(members), train(cut), strict=True):
        weights = restored(once["weights"], member.model.state_dict())
        assert list(weights) == list(whole["weights"])
        for name, tensor in weights.items():
            torch.testing.assert_close(tensor, whole["weights"][name], rtol=0, atol=1e-10)


def test_nothing_is_computed_once_where_the_first_layer_trains_or_its_statistics_move():
    for adaptation in (make_adaptation(), Adaptation((ParameterGroup(HEAD),), {})):
        members = make_networks(adaptation)
        layers = [name for name, _ in cut_prefix(members)[0].model.named_children()]
        assert "batch_norm_1" in layers


def test_frozen_parameters_take_no_gradient():
    (member,) = make_networks(make_adaptation(frozen=2), count=1)
    fit([member], NoCheckpoints())
    parameters = dict(member.model.named_parameters())
    assert {name for name, parameter in parameters.items() if parameter.grad is not None} == set(HEAD)


@pytest.mark.parametrize("stacked", [False, True])
def test_weights_at_the_start_are_kept_where_no_epoch_is_better_on_valid(stacked):
    members = make_networks(make_adaptation(), stacked=stacked)
    for member in members:  # what train teaches is wrong on valid
        with torch.no_grad():
            outputs = member.model.eval()(member.valid.tensors[0])
        member.valid = TensorDataset(member.valid.tensors[0], outputs.clone())
    for member, outcome in zip(members, train(members), strict=True):
        assert outcome["kept"]["epoch"] == 0
        assert outcome["kept"]["valid_loss"] < 1e-20
        assert [line["epoch"] for line in outcome["history"]] == list(range(7))
        assert not moved(member, outcome)


def test_history_starts_with_the_parent_in_both_loops():
    lines = [
        [outcome["history"][0] for outcome in train(make_networks(make_adaptation(), stacked=stacked))]
        for stacked in (True, False)
    ]
    for one, other in zip(*lines, strict=True):
        assert one["epoch"] == 0
        assert one == pytest.approx(other, abs=1e-10)
