import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from torchlane.core.layers.coded import CodedLinear, Indicators, features_of
from torchlane.core.layers.layout import NUMBER, Layout

unhurried = settings(deadline=None)  # the first products of a process take longer


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Columns of numbers and of codes in any order; some codes have no feature."""
    features, n_codes = [], {}
    kinds = draw(st.lists(st.integers(0, 6), min_size=1, max_size=6).filter(any))
    for column, n_levels in enumerate(kinds):
        if n_levels == 0:
            features.append((column, NUMBER))
        else:
            n_codes[column] = n_levels + 2
            features += [(column, code) for code in draw(st.permutations(range(n_levels + draw(st.integers(0, 2)))))]
    columns, codes = np.array(features).T
    return Layout(len(kinds), columns, codes, n_codes)


def rows_of(layout: Layout, n_rows: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(n_rows, layout.n_columns, generator=generator)
    for column, n_codes in layout.n_codes.items():
        rows[:, column] = torch.randint(n_codes, (n_rows,), generator=generator).float()
    return rows


def features_by_hand(layout: Layout, rows: torch.Tensor) -> torch.Tensor:
    columns = [
        rows[:, column] if code == NUMBER else (rows[:, column] == code).to(rows)
        for column, code in zip(layout.columns.tolist(), layout.codes.tolist(), strict=True)
    ]
    return torch.stack(columns, dim=1)


@unhurried
@given(layouts(), st.integers(0, 9), st.integers(0, 99))
def test_indicators_are_what_the_layout_says(layout, n_rows, seed):
    rows = rows_of(layout, n_rows, seed)
    assert torch.equal(Indicators(layout)(rows), features_by_hand(layout, rows))


@pytest.mark.parametrize("portable", [False, True])
@unhurried
@given(layouts(), st.integers(1, 40), st.integers(1, 9), st.integers(0, 99))
def test_looked_up_weights_give_what_a_linear_layer_gives_over_indicators(portable, layout, n_rows, n_out, seed):
    rows = rows_of(layout, n_rows, seed).double()
    torch.manual_seed(seed)
    plain = nn.Linear(layout.n_features, n_out)
    torch.manual_seed(seed)
    coded = CodedLinear(layout, n_out)
    coded.portable = portable
    assert all(map(torch.equal, coded.state_dict().values(), plain.state_dict().values()))  # drawn alike
    coded.load_state_dict(plain.state_dict())
    outputs = [layer.double()(each) for layer, each in ((coded, rows), (plain, features_by_hand(layout, rows)))]
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)
    along = torch.randn(n_rows, n_out, dtype=torch.float64)
    gradients = [
        torch.autograd.grad(*each, along)
        for each in zip(outputs, ([*coded.parameters()], [*plain.parameters()]), strict=True)
    ]
    for own, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-12, atol=1e-12)


@unhurried
@given(layouts(), st.integers(2, 20), st.integers(0, 99))
def test_row_gives_the_same_bits_beside_other_rows(layout, n_rows, seed):
    layer = CodedLinear(layout, 5).eval()
    rows = rows_of(layout, n_rows, seed)
    rows[:, [*set(range(layout.n_columns)) - set(layout.n_codes)]] = 0  # a matrix product has no such promise
    with torch.no_grad():
        assert torch.equal(layer(rows)[:1], layer(rows[:1]))


def test_layer_survives_copies_and_names_no_more_than_its_weights():
    layout = Layout(2, np.array([0, 1, 1]), np.array([NUMBER, 0, 2]), {1: 4})
    layer = CodedLinear(layout, 3)
    assert set(layer.state_dict()) == {"weight", "bias"}
    rows = torch.tensor([[0.5, 0.0], [1.0, 1.0], [2.0, 3.0]])
    assert torch.equal(copy.deepcopy(layer)(rows), layer(rows))
    with torch.device("meta"):
        on_meta = CodedLinear(layout, 3)
    on_meta.load_state_dict(layer.state_dict(), assign=True)
    assert torch.equal(on_meta(rows), layer(rows))


def test_features_of_a_network_are_found_wherever_it_makes_them():
    layout = Layout(2, np.array([0, 1, 1]), np.array([NUMBER, 0, 2]), {1: 4})
    rows = torch.tensor([[0.5, 0.0], [1.0, 1.0], [2.0, 2.0]])
    expected = [[0.5, 1, 0], [1, 0, 0], [2, 0, 1]]
    for first in (CodedLinear(layout, 3), nn.Sequential(Indicators(layout), nn.Linear(3, 3))):
        assert features_of(nn.Sequential(first, nn.ReLU()), rows).tolist() == expected
    assert features_of(nn.Linear(2, 1), rows) is rows


def test_codes_that_a_network_embeds_are_features_too_for_whoever_judges_it():
    layout = Layout(2, np.array([0]), np.array([NUMBER]), {}, {1: 3})
    rows = torch.tensor([[0.5, 0.0], [1.0, 2.0]])
    assert features_of(nn.Sequential(Indicators(layout)), rows).tolist() == [[0.5, 1, 0, 0], [1, 0, 0, 1]]
    nothing_else = Layout(1, np.zeros(0, np.int64), np.zeros(0, np.int64), {}, {0: 2})
    assert features_of(nn.Sequential(Indicators(nothing_else)), torch.zeros(1, 1)).tolist() == [[1, 0]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_looked_up_weights_are_added_in_full_precision_under_autocast(dtype):
    layout = Layout(2, np.array([0, 1, 1]), np.array([NUMBER, 0, 2]), {1: 4})
    layer, rows = CodedLinear(layout, 3), torch.tensor([[0.5, 0.0], [1.0, 1.0], [2.0, 2.0]])
    outputs = layer(rows)
    outputs.sum().backward()
    expected, layer.weight.grad = layer.weight.grad, None
    with torch.autocast("cpu", dtype):
        halved = layer(rows)
    halved.sum().backward()
    assert torch.equal(halved, outputs) and torch.equal(layer.weight.grad, expected)
