"""Embeddings of numbers, held to those of the authors."""

import warnings

import numpy as np
import pytest
import rtdl_num_embeddings as authors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from torchlane.core.layers.coded import CodedLinear, features_of
from torchlane.core.layers.layout import NUMBER, Layout
from torchlane.core.layers.numbers import (
    BinnedNumbers,
    PeriodicNumbers,
    PiecewiseLinearNumbers,
    bin_edges,
    learn_numbers,
)


def layout_of(n_numbers: int) -> Layout:
    """Numbers between a flag, which comes first, and two columns of codes."""
    n_columns = n_numbers + 3
    columns = [*range(n_numbers + 1), n_numbers + 1, n_numbers + 1, n_numbers + 2]
    codes = [*[NUMBER] * (n_numbers + 1), 0, 1, 0]
    n_codes = {n_numbers + 1: 4, n_numbers + 2: 3}
    return Layout(n_columns, np.array(columns), np.array(codes), n_codes, measured=np.arange(1, n_numbers + 1))


def rows_of(numbers: Tensor) -> Tensor:
    others = torch.tensor([1.0, 2.0, 0.0], dtype=numbers.dtype).expand(len(numbers), -1)
    return torch.cat([others[:, :1], numbers, others[:, 1:]], dim=1)


def numbers_of(kinds: list[str], n_rows: int, seed: int) -> Tensor:
    random = np.random.default_rng(seed)
    drawn = {
        "normal": lambda: random.normal(size=n_rows),
        "skewed": lambda: random.lognormal(0, 2, n_rows),
        "few": lambda: random.integers(0, 6, n_rows) * 0.7 - 2,
        "two": lambda: random.integers(0, 2, n_rows) * 1.5,
        "far": lambda: random.normal(size=n_rows) + 1000,
    }
    columns = np.stack([drawn[kind]() for kind in kinds], axis=1).astype(np.float32)
    columns[:2, :] = [columns.min(0), columns.max(0) + 1]  # at least two values
    return torch.from_numpy(columns)


KINDS = st.lists(st.sampled_from(["normal", "skewed", "few", "two", "far"]), min_size=1, max_size=6)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@settings(max_examples=20, deadline=None)
@given(kinds=KINDS, bins=st.integers(2, 50), width=st.integers(1, 20), seed=st.integers(0, 99))
def test_piecewise_linear_embeddings_are_those_of_the_authors_with_the_same_weights(
    dtype, tolerance, kinds, bins, width, seed
):
    if dtype == torch.float32:  # of numbers that are far from 0, float32 keeps too little to compare
        kinds = [kind for kind in kinds if kind != "far"] or ["normal"]
    train = numbers_of(kinds, 400, seed).to(dtype)
    layer = PiecewiseLinearNumbers(layout_of(len(kinds)), width, bins).to(dtype)
    learn_numbers([layer], rows_of(train))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about numbers with one bin
        edges = [each.unique() for each in layer.edges]
        torch.set_default_dtype(dtype)
        try:
            reference = authors.PiecewiseLinearEmbeddings(edges, width, activation=False, version="B")
        finally:
            torch.set_default_dtype(torch.float32)
        for own, theirs in zip(edges, authors.compute_bins(train, bins), strict=True):
            assert len(own) < len(theirs) or torch.allclose(own, theirs, rtol=1e-5, atol=1e-5)
    nn.init.normal_(layer.weight)
    with torch.no_grad():
        reference.linear0.bias.copy_(layer.weight[:, 0])
        reference.linear0.weight.copy_(layer.weight[:, 1])
        for number, n_bins in enumerate(layer.n_bins):  # the authors put the last bin behind the padding
            reference.linear.weight[number, : n_bins - 1] = layer.weight[number, 2 : 1 + n_bins]
            reference.linear.weight[number, -1] = layer.weight[number, 1 + n_bins]
    new = torch.cat([train, numbers_of(kinds, 100, seed + 1).to(dtype)])
    found, expected = layer(rows_of(new))[:, 3:], reference(new).flatten(1)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@settings(max_examples=20, deadline=None)
@given(kinds=KINDS, frequencies=st.integers(1, 50), width=st.integers(1, 20), seed=st.integers(0, 99))
def test_periodic_embeddings_are_those_of_the_authors_with_the_same_weights(kinds, frequencies, width, seed):
    n_numbers = len(kinds)
    layer = PeriodicNumbers(layout_of(n_numbers), width, frequencies, 0.5)
    reference = authors.PeriodicEmbeddings(n_numbers, width, n_frequencies=frequencies, lite=False)
    with torch.no_grad():
        reference.periodic.weight.copy_(layer.frequencies)
        reference.linear.bias.copy_(layer.weight[:, 0])
        reference.linear.weight.copy_(layer.weight[:, 1:])
    numbers = numbers_of(kinds, 100, seed)
    found = layer(rows_of(numbers))[:, 3:]
    torch.testing.assert_close(found, reference(numbers).flatten(1), rtol=1e-5, atol=1e-5)


def test_weights_are_drawn_as_the_authors_draw_them():
    torch.manual_seed(0)
    weight = PiecewiseLinearNumbers(layout_of(500), 16, 8).weight.detach()
    assert not weight[:, 2:].any()
    assert 0.2 < weight[:, :2].abs().max() <= 16**-0.5
    assert abs(float(weight[:, :2].std()) - 16**-0.5 / 3**0.5) < 0.005
    periodic = PeriodicNumbers(layout_of(500), 16, 10, 0.2)
    frequencies = periodic.frequencies.detach()
    assert 0.5 < frequencies.abs().max() <= 0.6
    assert abs(float(frequencies.std()) - 0.2) < 0.01
    assert 0.2 < periodic.weight.detach().abs().max() <= 20**-0.5


@settings(max_examples=100, deadline=None)
@given(values=st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=40), bins=st.integers(1, 60))
def test_bins_are_never_more_than_gaps_between_values_and_outputs_are_finite(values, bins):
    column = torch.tensor(values, dtype=torch.float32)[:, None]
    layout = Layout(1, np.arange(1), np.full(1, NUMBER), {}, measured=np.arange(1))
    layer = PiecewiseLinearNumbers(layout, 2, bins)
    learn_numbers([layer], column)
    assert layer.n_bins[0] <= min(bins, len(column.unique()) - 1)
    assert bool((layer.edges.diff() >= 0).all())
    basis = layer.basis(column.t(), layer.constants(), lambda function, given: function(given))
    assert bool(basis.isfinite().all())


def test_constant_number_has_no_bins_and_is_taken_as_it_is():
    layer = PiecewiseLinearNumbers(layout_of(2), 3, 4)
    train = torch.stack([torch.full((9,), 7.0), torch.arange(9.0)], dim=1)
    learn_numbers([layer], rows_of(train))
    assert layer.n_bins == [0, 4]
    nn.init.ones_(layer.weight)
    new = torch.tensor([[7.0, 0.0], [9.0, 0.0]])
    assert layer(rows_of(new))[:, 3:6].tolist() == [[8.0] * 3, [10.0] * 3]


def test_bins_of_a_number_are_as_many_as_its_values_allow_and_one_without_bins_adds_nothing():
    layout = Layout(4, np.arange(4), np.full(4, NUMBER), {}, measured=np.arange(4))
    layer = BinnedNumbers(layout, 6)
    few, two = torch.arange(20.0) % 3, torch.arange(20.0) % 2
    train = torch.stack([torch.full((20,), 7.0), two, few, torch.arange(20.0)], dim=1)
    learn_numbers([layer], train)
    assert layer.n_bins == [0, 1, 2, 6]
    new = torch.tensor([[7.0, 0.5, 1.5, -19.0], [-1e30, 3.0, -1.0, 38.0]])
    constant, one, pair, many = layer.in_blocks(layer(new)).unbind(1)
    assert constant.tolist() == [[7.0] + [0.0] * 6, [float(np.float32(-1e30))] + [0.0] * 6]
    assert one.tolist() == [[0.5, 0.5] + [0.0] * 5, [3.0, 3.0] + [0.0] * 5]  # the last bin goes on
    assert pair.tolist() == [[1.5, 1.0, 0.5] + [0.0] * 4, [-1.0, -1.0] + [0.0] * 5]  # and so does the first
    assert many[0, 1:].tolist() == pytest.approx([-6.0] + [0.0] * 5)
    assert many[1, 1:].tolist() == pytest.approx([1.0] * 5 + [7.0])
    assert layer(train).isfinite().all()


@settings(max_examples=20, deadline=None)
@given(kinds=KINDS, bins=st.integers(1, 20), seed=st.integers(0, 99))
def test_bins_are_the_basis_of_piecewise_linear_embeddings_without_weights(kinds, bins, seed):
    layout, train = layout_of(len(kinds)), numbers_of(kinds, 100, seed)
    embedding, binned = PiecewiseLinearNumbers(layout, 1 + bins, bins), BinnedNumbers(layout, bins)
    learn_numbers([nn.Sequential(embedding)], rows_of(train))
    learn_numbers([nn.Sequential(binned)], rows_of(train))
    with torch.no_grad():
        embedding.weight.copy_(torch.eye(2 + bins)[:, 1:])  # the constant is left out
    assert [*binned.parameters()] == []
    rows = rows_of(numbers_of(kinds, 50, seed + 1))
    torch.testing.assert_close(binned(rows), embedding(rows), rtol=1e-6, atol=1e-6)
    assert torch.equal(binned.in_blocks(binned(rows))[..., 0], rows[:, binned.columns])


def test_bins_of_very_many_rows_come_from_a_part_of_them(monkeypatch):
    monkeypatch.setattr("torchlane.core.layers.numbers.MOST_ROWS", 100)
    assert bin_edges(torch.arange(1001.0), 2).tolist() == [0.0, 495.0, 990.0]


@pytest.mark.parametrize(
    "layer", [PiecewiseLinearNumbers(layout_of(2), 3, 4), PeriodicNumbers(layout_of(2), 3, 5, 0.1)]
)
def test_other_columns_come_first_unchanged_and_the_layout_says_so(layer):
    numbers = torch.randn(5, 2)
    wide = layer(rows_of(numbers))
    assert wide[:, :3].tolist() == [[1.0, 2.0, 0.0]] * 5
    layout = layout_of(2).widened(3)
    assert layout.n_columns == layer.n_out == wide.shape[1] == 9
    assert layout.columns.tolist() == [0, 1, 1, 2, *range(3, 9)]
    assert layout.codes.tolist() == [NUMBER, 0, 1, 0, *[NUMBER] * 6]
    assert layout.n_codes == {1: 4, 2: 3}


def test_features_of_a_network_that_embeds_numbers_are_the_numbers_themselves():
    layout = layout_of(2)
    layer = PiecewiseLinearNumbers(layout, 3, 4)
    rows = rows_of(torch.tensor([[5.0, 6.0], [7.0, 8.0]]))
    coded = nn.Sequential(layer, CodedLinear(layout.widened(3), 2))
    assert features_of(coded, rows).tolist() == [[5, 6, 1, 0, 0, 1], [7, 8, 1, 0, 0, 1]]
    assert features_of(nn.Sequential(layer, nn.Linear(9, 2)), rows) is rows


def test_what_a_layout_says_of_numbers_is_no_part_of_its_digest():
    layout = layout_of(2)
    assert layout.digest == Layout(layout.n_columns, layout.columns, layout.codes, layout.n_codes).digest
