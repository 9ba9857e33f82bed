"""Perceptrons that share weights while they train."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.core.fitted import plain_model
from torchlane.core.layers.coded import rows_at_once
from torchlane.core.layers.layout import NUMBER, Layout
from torchlane.core.layers.numbers import learn_numbers
from torchlane.core.networks.perceptron import build_perceptron
from torchlane.core.options import ModelOptions
from torchlane.core.stacks.branches import BranchDropout
from torchlane.core.stacks.by_column import ColumnLinear
from torchlane.core.stacks.shared import SharedPerceptrons, draw_scales


@st.composite
def layouts(draw):
    """Draw a layout of a few columns of numbers and codes, some of them without features."""
    columns, codes, n_codes = [], [], {}
    for column in range(draw(st.integers(1, 5))):
        if draw(st.booleans()):
            columns.append(column)
            codes.append(NUMBER)
        else:
            n_codes[column] = draw(st.integers(1, 4))
            known = draw(st.sets(st.integers(0, n_codes[column] - 1), min_size=1))
            columns += [column] * len(known)
            codes += sorted(known)
    measured = [place for place in range(column + 1) if place not in n_codes and draw(st.booleans())]
    return Layout(column + 1, np.array(columns), np.array(codes), n_codes, measured=np.array(measured, dtype=np.int64))


def rows_for(layout, n_rows, generator):
    rows = torch.randn(n_rows, layout.n_columns, generator=generator)
    for column, n_codes in layout.n_codes.items():
        rows[:, column] = torch.randint(n_codes, (n_rows,), generator=generator).float()
    return rows


def make(options, layout, n_branches, kind, *, leading=()):
    shape = [layout.n_columns]
    models = [
        nn.Sequential(
            OrderedDict(
                [
                    *((str(place), each) for place, each in enumerate(leading)),
                    *build_perceptron(options, shape, 2, layout).named_children(),
                ]
            )
        )
        for _ in range(n_branches)
    ]
    learn_numbers(models, rows_for(layout, 20, torch.Generator().manual_seed(0)))
    shared = SharedPerceptrons(models, torch.stack([draw_scales(each) for each in models]), kind)
    with torch.no_grad():
        for parameter in shared.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return models, shared


@settings(max_examples=60, deadline=None)
@given(
    layout=layouts(),
    widths=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    n_branches=st.integers(1, 4),
    n_rows=st.integers(1, 40),
    kind=st.sampled_from(["tabm", "tabm_mini", "columns"]),
    numbers=st.sampled_from(["plain", "bins", "piecewise_linear", "periodic"]),
    activation=st.sampled_from(["GELU", "PReLU", None]),
    batch_norm=st.booleans(),
    seed=st.integers(0, 9),
)
def test_an_unfolded_branch_is_a_perceptron_with_the_outputs_of_the_branch(
    layout, widths, n_branches, n_rows, kind, numbers, activation, batch_norm, seed
):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    options = ModelOptions(
        widths=tuple(widths), activation=activation, batch_norm=batch_norm, dropout=0.3, numbers=numbers
    )
    models, shared = make(options, layout, n_branches, kind)
    shared(rows_for(layout, 30, generator))  # gives batch norms statistics of their own
    rows = rows_for(layout, n_rows, generator)
    outputs = shared.eval()(rows)
    assert outputs.shape == (n_branches, n_rows, 2)
    for branch, model in enumerate(models):
        model.load_state_dict(shared.unfolded(branch))
        torch.testing.assert_close(model.eval()(rows), outputs[branch], rtol=1e-4, atol=1e-5)


class Counting(nn.Module):
    """Twice the columns, with a weight; counts the rows that it sees."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0]))
        self.seen = 0

    def forward(self, rows):
        self.seen += len(rows)
        return torch.cat([rows * self.weight, rows], dim=1)[:, : rows.shape[1]]


def test_layers_before_the_first_linear_one_see_a_row_once_and_are_copied_to_each_member():
    layout = Layout(3, np.arange(3), np.full(3, NUMBER), {})
    models, shared = make(plain_model(widths=(4,)), layout, 3, "tabm", leading=[Counting()])
    rows = torch.randn(7, 3)
    outputs = shared(rows)
    assert shared.layers[0].seen == 7
    for branch, model in enumerate(models):
        model.load_state_dict(shared.unfolded(branch))
        torch.testing.assert_close(model(rows), outputs[branch], rtol=1e-4, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(layout=layouts(), n_branches=st.integers(2, 4), seed=st.integers(0, 9))
def test_scaling_columns_is_tabm_whose_scales_of_a_column_are_equal(layout, n_branches, seed):
    torch.manual_seed(seed)
    options = plain_model(widths=(5, 4), numbers="bins")
    models, by_column = make(options, layout, n_branches, "columns")
    first, plain = next(layer for layer in by_column.layers if isinstance(layer, ColumnLinear)), by_column.state_dict()
    scales = first.r[:, first.groups].detach()
    tabm = SharedPerceptrons(models, scales, "tabm")
    place = [*by_column.layers].index(first)
    tabm.load_state_dict({**plain, f"layers.{place}.r": scales}, strict=True)
    rows = rows_for(layout, 9, torch.Generator().manual_seed(seed))
    torch.testing.assert_close(by_column(rows), tabm(rows), rtol=1e-4, atol=1e-5)


def test_the_first_half_of_the_branches_begins_without_bins_and_the_others_with_them():
    layout = Layout(2, np.arange(2), np.full(2, NUMBER), {}, measured=np.arange(2))
    models = [build_perceptron(ModelOptions(widths=(4,), numbers="bins"), [2], 1, layout) for _ in range(4)]
    shared = SharedPerceptrons(models, torch.stack([draw_scales(each) for each in models]), "columns")
    first = shared.layers[1]
    of_bins = torch.stack([first.r[:, group] for group in first.together])
    assert of_bins.abs().tolist() == [[0, 0, 1, 1]] * 2
    assert int((first.r != 0).sum()) == 3 * 4


@settings(max_examples=40, deadline=None)
@given(
    layout=layouts(),
    numbers=st.sampled_from(["plain", "bins", "piecewise_linear", "periodic"]),
    seed=st.integers(0, 9),
)
def test_a_branch_starts_with_one_sign_for_all_that_is_made_of_a_column(layout, numbers, seed):
    torch.manual_seed(seed)
    model = build_perceptron(plain_model(widths=(2,), numbers=numbers), [layout.n_columns], 1, layout)
    of_branches = torch.stack([draw_scales(model) for _ in range(200)])
    assert set(of_branches.unique().tolist()) == {-1.0, 1.0}
    others = layout.columns[~layout.of_measured] if numbers != "plain" else layout.columns
    blocks = [] if numbers == "plain" else np.repeat(layout.measured, 17 if numbers == "bins" else 16)
    columns = torch.from_numpy(np.concatenate([others, blocks]).astype(np.int64))
    alike = (of_branches[:, :, None] == of_branches[:, None]).all(0)
    assert torch.equal(alike, columns[:, None] == columns)


def test_fewer_rows_pass_at_once_through_a_layer_that_multiplies_each_column_by_itself():
    columns, codes = np.array([0, 1, 2, 3, 3]), np.array([NUMBER] * 3 + [0, 1])
    layout = Layout(4, columns, codes, {3: 2}, measured=np.array([0, 2]))
    models = [build_perceptron(plain_model(widths=(8,), numbers="bins"), [4], 1, layout) for _ in range(2)]
    scales = torch.stack([draw_scales(each) for each in models])
    by_column, tabm = (SharedPerceptrons(models, scales, kind) for kind in ("columns", "tabm"))
    of_numbers = (1 << 30) // rows_at_once(tabm, 1 << 40)  # bytes of a row
    assert (1 << 30) // rows_at_once(by_column, 1 << 40) == of_numbers + 2 * 4 * 3 * 8


def test_dropout_of_branches_drops_its_share_and_keeps_the_mean():
    layer, rows = BranchDropout(0.1).train(), torch.ones(3, 1001, 101)
    torch.manual_seed(0)
    dropped = layer(rows)
    assert float((dropped == 0).float().mean()) == pytest.approx(0.1, abs=0.003)
    assert float(dropped.max()) == pytest.approx(1 / 0.9, rel=1e-4)
    assert layer.eval()(rows) is rows


def test_branches_have_dropout_masks_of_their_own():
    models = [nn.Sequential(nn.Linear(3, 50), nn.Dropout(0.5), nn.Linear(50, 1)) for _ in range(2)]
    shared = SharedPerceptrons([models[0], copy.deepcopy(models[0])], torch.ones(2, 3), "tabm")
    first, second = shared(torch.randn(4, 3))
    assert not torch.allclose(first, second)
    first, second = shared.eval()(torch.randn(4, 3))
    torch.testing.assert_close(first, second)


def test_the_module_leaves_the_networks_that_it_was_made_from_as_they_were():
    options = plain_model(widths=(4, 4), activation="PReLU")
    models, shared = make(options, Layout(3, np.arange(3), np.full(3, NUMBER), {}), 2, "tabm")
    own = {id(each) for model in models for each in model.parameters()}
    assert not own & {id(each) for each in shared.parameters()}


@pytest.mark.parametrize(
    "network", [nn.Sequential(nn.Linear(3, 1)), nn.Linear(3, 1), nn.Sequential(nn.Conv1d(1, 1, 1))]
)
def test_a_network_without_hidden_linear_layers_has_nothing_to_share(network):
    with pytest.raises(
        ValueError, match=r"training.sharing shares .*; set training.sharing to none, or take model.kind"
    ):
        draw_scales(network)
    with pytest.raises(ValueError, match=r"training.sharing shares"):
        SharedPerceptrons([network] * 2, torch.ones(2, 3), "tabm")
