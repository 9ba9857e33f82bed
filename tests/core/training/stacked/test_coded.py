"""Stacks of networks that take codes."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted, plain_model
from tests.core.training.stacked.members import CPU, distance, same_bits, train
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.layers.layout import NUMBER, Layout
from torchlane.core.networks import build_model
from torchlane.core.options import ModelOptions
from torchlane.core.stacks.functional import FunctionalProgram
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.grouping import plan_groups
from torchlane.core.training.members import Member, Outcome, make_members
from torchlane.core.training.stacked import lazy, stack

MODEL = plain_model(widths=(24, 10), dropout=0.3)
LEVELS = 40


def layout_of(n_levels: int = LEVELS, *, second: bool = True) -> Layout:
    """Two numbers and one or two columns of codes; the last two codes of each have no feature."""
    columns, codes = [0, *[1] * n_levels, 2], [NUMBER, *range(n_levels), NUMBER]
    n_codes = {1: LEVELS + 2}
    if second:
        columns, codes, n_codes = [*columns, 3, 3], [*codes, 0, 1], {**n_codes, 3: 4}
    return Layout(4 if second else 3, np.array(columns), np.array(codes), n_codes)


def make_parts(layout: Layout, dtype: torch.dtype, n_rows: int = 150) -> tuple[TensorDataset, ...]:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(n_rows, layout.n_columns, generator=generator, dtype=torch.float64)
    for column, n_codes in layout.n_codes.items():
        rows[:, column] = torch.randint(n_codes, (n_rows,), generator=generator).double()
    targets = rows[:, :1].sin() + (rows[:, 1:2] % 5) / 5 + 0.3 * torch.randn(n_rows, 1, generator=generator).double()
    rows, targets = rows.to(dtype), targets.to(dtype)
    return TensorDataset(rows[:-40], targets[:-40]), TensorDataset(rows[-40:], targets[-40:])


def member(
    seed: int, layout: Layout, dtype: torch.dtype = torch.float64, model: ModelOptions = MODEL, **changes
) -> Member:
    options = fitted({"epochs": 8, "batch_size": 16, "seed": seed, **changes})
    parts = make_parts(layout, dtype)

    def build() -> nn.Module:
        return build_model(model, layout.n_columns, 1, layout).to(dtype)

    objective = Objective.of(TargetEncoder(name="y", task="regression"), None)
    return make_members(build, *parts, objective, options, CPU)[0]


@pytest.fixture(params=["all rows", "rows looked up"])
def rows_stepped(request, monkeypatch):
    """Steps on the whole table, or on the rows that a batch looks up."""
    monkeypatch.setattr(stack, "LARGE_TABLE", 1 if request.param == "rows looked up" else 1_000_000)


EPS = {"eps": 1e-15}  # so small that it counts beside no gradient
OPTIMIZERS = {
    "SGD": {"name": "SGD", "arguments": {"momentum": 0.9, "weight_decay": 0.01}},
    "Adam": {"name": "Adam", "arguments": EPS},
    "Adam with decay": {"name": "Adam", "arguments": {"weight_decay": 0.01}},
    "AdamW": {"name": "AdamW", "arguments": {"weight_decay": 0.1, "betas": (0.8, 0.99), **EPS}},
    "AdamW with jumping moments": {"name": "AdamW", "arguments": {"betas": (0.9, 0.8), **EPS}},
}
SCHEDULES = {
    "constant": None,
    "by epoch": {"name": "StepLR", "arguments": {"step_size": 2, "gamma": 0.5}},
    "by batch, betas too": {"name": "OneCycleLR", "step": "batch"},
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-7), (torch.float32, 2e-5)])
def test_stacked_member_ends_where_it_ends_alone(rows_stepped, optimizer, schedule, dtype, tolerance):
    layout = layout_of()
    changes = {"optimizer": optimizer, "scheduler": schedule, "patience_epochs": 3}
    members = [
        member(seed, layout, dtype, learning_rate=rate, **changes) for seed, rate in enumerate([0.001, 0.004, 0.01])
    ]
    for one, outcome in zip(members, train(*members), strict=True):
        (alone,) = train(one)
        assert len(outcome["history"]) == len(alone["history"])
        assert distance(outcome, alone) < tolerance


def test_members_may_differ_in_their_levels_and_columns(rows_stepped):
    layouts = [layout_of(), layout_of(LEVELS - 7), layout_of(3, second=False)]
    optimizer = {"name": "AdamW", "arguments": EPS}
    members = [member(seed, layout, optimizer=optimizer) for seed, layout in enumerate(layouts)]
    together = train(*members)
    for one, outcome in zip(members, together, strict=True):
        assert distance(outcome, train(one)[0]) < 1e-7
    assert outcome["weights"]["linear_1.weight"].shape == (24, 5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_of_a_member_do_not_depend_on_its_company(rows_stepped, dtype):
    make = partial(member, layout=layout_of(), dtype=dtype, epochs=4)
    probe, company = make(7), [make(seed, learning_rate=0.001 * seed) for seed in range(1, 6)]
    with_twin = train(probe, probe)[0]
    for others in ([company[0]], company[1:3], company):
        assert same_bits(train(probe, *others)[0], with_twin)
        assert same_bits(train(*others, probe)[-1], with_twin)


def test_rows_of_long_pauses_are_as_if_each_step_had_moved_them(monkeypatch):
    """A level that comes once, then not for more steps than are counted at a time, ends as with steps on all rows."""
    layout = layout_of(second=False)
    optimizer = {"name": "AdamW", "arguments": EPS}
    seldom = [member(seed, layout, optimizer=optimizer, epochs=30, patience_epochs=None) for seed in range(2)]
    for one in seldom:
        one.train.tensors[0][:, 1] %= 7
        one.train.tensors[0][3, 1] = 33

    def trained(rows: int) -> list[Outcome]:
        monkeypatch.setattr(stack, "LARGE_TABLE", rows)
        return train(*seldom)

    monkeypatch.setattr(lazy, "MOST_STEPS", 5)
    every, few = trained(1_000_000), trained(1)
    assert max(map(distance, every, few)) < 1e-9
    monkeypatch.setattr(lazy, "MOST_STEPS", 4096)
    assert max(map(distance, every, trained(1))) < 1e-9
    moved = every[0]["weights"]["linear_1.weight"] - seldom[0].model.get_parameter("linear_1.weight")
    assert bool(moved.any())


def test_eps_beside_small_gradients_shifts_rows_by_little():
    """Where rows are looked up, `eps` is that of a mean push: the weights differ by a part of one step at most."""
    members = [member(seed, layout_of(second=False), learning_rate=0.01, patience_epochs=None) for seed in range(3)]
    every = train(*members)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "LARGE_TABLE", 1)
        few = train(*members)
    assert 0 < max(map(distance, every, few)) < 0.001 * 0.01


def test_perceptrons_whose_activation_is_no_program_of_ours_are_stacked_too():
    model = MODEL.model_copy(update={"activation": "Tanhshrink", "batch_norm": True})
    members = [member(seed, layout_of(), model=model, epochs=3) for seed in range(3)]
    ((indices, program),) = plan_groups(members)
    assert len(indices) == 3 and type(program) is FunctionalProgram
    for one, outcome in zip(members, train(*members), strict=True):
        assert distance(outcome, train(one)[0]) < 1e-9
