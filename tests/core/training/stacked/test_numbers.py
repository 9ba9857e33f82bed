"""Stacks of perceptrons that embed numbers."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from tests.core.fitted import plain_model
from tests.core.training.stacked import test_coded
from tests.core.training.stacked.members import distance, make_parts, same_bits, train
from tests.core.training.stacked.members import member as plain_member
from tests.core.training.test_saving import Losing, Memory
from torchlane.core.stacks.functional import FunctionalProgram
from torchlane.core.stacks.perceptrons import PerceptronProgram
from torchlane.core.training.fit import fit
from torchlane.core.training.grouping import plan_groups
from torchlane.core.training.members import Member
from torchlane.core.training.stacked import stack

KINDS = {
    "piecewise linear": {"kind": "piecewise_linear"},
    "few bins": {"kind": "piecewise_linear", "bins": 3, "width": 5},
    "periodic": {"kind": "periodic", "frequencies": 7, "width": 5},
}
by_kind = pytest.mark.parametrize("numbers", KINDS.values(), ids=KINDS)
by_codes = pytest.mark.parametrize("coded", [False, True], ids=["numbers alone", "numbers and codes"])


def member(seed: int, numbers: dict, coded: bool, dtype: torch.dtype = torch.float64, **changes) -> Member:
    model = plain_model(widths=(24, 10), dropout=0.3, numbers=numbers)
    if not coded:
        return plain_member(seed, model, make_parts(dtype=dtype), **changes)
    layout = replace(test_coded.layout_of(), measured=np.array([0, 2]))
    return test_coded.member(seed, layout, dtype, model, **changes)


@pytest.fixture(params=["all rows", "rows looked up"])
def rows_stepped(request, monkeypatch):
    """Steps on the whole table of weights, or on the rows that a batch looks up."""
    monkeypatch.setattr(stack, "LARGE_TABLE", 1 if request.param == "rows looked up" else 1_000_000)


@by_kind
@by_codes
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 3e-4)])
def test_stacked_member_ends_where_it_ends_alone(rows_stepped, numbers, coded, dtype, tolerance):
    changes = {"optimizer": {"name": "AdamW", "arguments": test_coded.EPS}} if coded else {}
    changes |= {"epochs": 5}
    rates = [0.001, 0.004, 0.01]
    members = [member(seed, numbers, coded, dtype, learning_rate=rate, **changes) for seed, rate in enumerate(rates)]
    ((indices, program),) = plan_groups(members)
    assert len(indices) == 3 and type(program) is PerceptronProgram
    for one, outcome in zip(members, train(*members), strict=True):
        alone = train(one)[0]
        assert distance(outcome, alone) < tolerance
        moved = alone["weights"]["numbers.weight"] - one.model.state_dict()["numbers.weight"]
        assert float(moved.abs().max()) > 1e-3
        for name in {"numbers.edges"} & set(alone["weights"]):
            assert torch.equal(outcome["weights"][name], one.model.get_buffer(name))


@by_kind
@by_codes
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_of_a_member_do_not_depend_on_its_company(rows_stepped, numbers, coded, dtype):
    make = partial(member, numbers=numbers, coded=coded, dtype=dtype, epochs=3)
    probe, company = make(7), [make(seed, learning_rate=0.001 * seed) for seed in range(1, 5)]
    with_twin = train(probe, probe)[0]
    for others in ([company[0]], company):
        assert same_bits(train(probe, *others)[0], with_twin)
        assert same_bits(train(*others, probe)[-1], with_twin)


def test_members_that_embed_other_columns_or_in_another_way_are_no_stack():
    alike = [member(seed, KINDS["few bins"], False) for seed in range(2)]
    others = [member(seed, {**KINDS["few bins"], "bins": 4}, False) for seed in range(2)]
    plain = [member(seed, {"kind": "plain"}, False) for seed in range(2)]
    assert [indices for indices, _ in plan_groups([*alike, *others, *plain])] == [[0, 1], [2, 3], [4, 5]]
    layout = test_coded.layout_of()
    model = plain_model(numbers=KINDS["few bins"])
    coded = [
        test_coded.member(0, replace(layout, measured=np.array(columns)), model=model) for columns in ([0], [2], [0])
    ]
    assert [indices for indices, _ in plan_groups(coded)] == [[0, 2], [1]]


def test_all_members_learn_their_bins_from_the_rows_of_train_alone():
    train_part, valid = make_parts()
    valid.tensors[0].add_(1000)
    one = plain_member(3, plain_model(numbers={"kind": "piecewise_linear", "bins": 4}), (train_part, valid))
    edges = one.model.get_buffer("numbers.edges")
    assert edges.shape == (13, 5)
    assert torch.equal(edges[:, 0], train_part.tensors[0].min(0).values)
    assert torch.equal(edges[:, -1], train_part.tensors[0].max(0).values)
    assert torch.equal(edges[:, 2], train_part.tensors[0].quantile(0.5, dim=0))


@by_kind
def test_networks_whose_activation_is_no_program_of_ours_are_stacked_too(numbers):
    layout = replace(test_coded.layout_of(), measured=np.array([0, 2]))
    model = plain_model(widths=(6,), activation="Tanhshrink", numbers=numbers)
    members = [test_coded.member(seed, layout, model=model, epochs=2) for seed in range(2)]
    ((indices, program),) = plan_groups(members)
    assert len(indices) == 2 and type(program) is FunctionalProgram
    for one, outcome in zip(members, train(*members), strict=True):
        assert distance(outcome, train(one)[0]) < 1e-9


@by_kind
@pytest.mark.parametrize("stacked", [True, False])
def test_training_that_was_cut_off_ends_with_the_same_bits(numbers, stacked):
    def members() -> list[Member]:
        changes = {"stacked": stacked, "checkpoint_minutes": 0, "epochs": 4}
        return [member(seed, numbers, True, torch.float32, **changes) for seed in range(2)]

    expected, checkpoints = fit(members(), Memory()), Losing(2)
    with pytest.raises(KeyboardInterrupt):
        fit(members(), checkpoints)
    checkpoints._left = None
    for one, other in zip(fit(members(), checkpoints), expected, strict=True):
        assert same_bits(one, other)
