"""Copies and coincidences, in tables drawn so that it is known which is which."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.rows import repeats
from torchlane.core.rows.repeats import _poisson_at_most, _some_pairs, find_coincidences, number_combinations

seeds = st.integers(0, 2**32 - 1)
drawn = settings(max_examples=50, deadline=None)


def count(rows: pd.DataFrame) -> tuple[int, int]:
    """Count the repeats that are found to be copies, and those found to be coincidences."""
    combination = number_combinations(rows)
    first = ~pd.Series(combination).duplicated().to_numpy()
    by_chance = find_coincidences(rows, combination)
    return int((~first & ~by_chance).sum()), int((~first & by_chance).sum())


def few_combinations(seed: int, levels: list[int], n_rows: int, evenness: float = 100.0) -> pd.DataFrame:
    """Draw rows of independent columns, and a label that a function of them makes likelier or not."""
    random = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            f"x{number}": random.choice(n_levels, n_rows, p=random.dirichlet(np.full(n_levels, evenness)))
            for number, n_levels in enumerate(levels)
        }
    )
    effect = sum(random.normal(size=n_levels)[rows[f"x{number}"]] for number, n_levels in enumerate(levels))
    return rows.assign(y=np.where(random.random(n_rows) < 1 / (1 + np.exp(-effect)), "yes", "no"))


def rows_that_differ(seed: int, n_rows: int, n_numbers: int, n_categories: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    numbers = {f"number {each}": random.normal(size=n_rows).round(6) for each in range(n_numbers)}
    categories = {f"category {each}": random.choice(list("abc"), n_rows) for each in range(n_categories)}
    rows = pd.DataFrame({**numbers, **categories})
    return rows.mask(random.random(rows.shape) < 0.02) if n_numbers > 3 else rows


def plant(rows: pd.DataFrame, n_copies: int, seed: int = 0) -> pd.DataFrame:
    copies = rows.sample(n_copies, random_state=seed, replace=n_copies > len(rows))
    return pd.concat([rows, copies]).sample(frac=1, random_state=seed).reset_index(drop=True)


@drawn
@given(
    seeds, st.lists(st.integers(2, 12), min_size=2, max_size=4), st.floats(0.3, 5), st.sampled_from([1.0, 3.0, 100.0])
)
def test_combinations_met_often_are_coincidences(seed, levels, rows_a_combination, evenness):
    n_rows = int(np.clip(rows_a_combination * np.prod(levels), 60, 5000))
    copies, coincidences = count(few_combinations(seed, levels, n_rows, evenness))
    assert copies <= 0.1 * (copies + coincidences) + 3


@drawn
@given(seeds, st.integers(3, 800), st.integers(2, 9), st.integers(0, 4), st.sampled_from([0.01, 0.1, 0.5, 1, 3]))
def test_repeats_among_rows_that_otherwise_differ_are_copies(seed, n_rows, n_numbers, n_categories, share):
    rows = rows_that_differ(seed, n_rows, n_numbers, n_categories).drop_duplicates()
    n_copies = max(1, int(share * len(rows)))
    assert count(plant(rows, n_copies, seed)) == (n_copies, 0)


@drawn
@given(seeds, st.integers(1, 60))
def test_copies_are_found_in_the_sparse_part_of_a_table_whose_other_part_is_dense(seed, n_copies):
    dense = few_combinations(seed, [2, 3, 20], 800).rename(columns={"x0": "a", "x1": "b", "x2": "c"})
    sparse = rows_that_differ(seed, 400, 3, 0).set_axis(["a", "b", "c"], axis=1).dropna().assign(y="no")
    rows = pd.concat([dense, plant(sparse, n_copies, seed)], ignore_index=True)
    combination = number_combinations(rows)
    by_chance = find_coincidences(rows, combination)
    assert not by_chance[len(dense) :].any()
    of_dense = pd.Series(combination[: len(dense)]).duplicated(keep=False)
    assert by_chance[: len(dense)][of_dense].mean() > 0.9


@drawn
@given(seeds, st.integers(2, 300), st.integers(1, 40))
def test_kind_depends_neither_on_the_order_of_rows_nor_on_that_of_columns(seed, n_rows, n_copies):
    rows = plant(few_combinations(seed, [3, 10, 20], n_rows), n_copies, seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    other = rows.iloc[order][rows.columns[::-1]].reset_index(drop=True)
    kind = find_coincidences(rows, number_combinations(rows))
    np.testing.assert_array_equal(find_coincidences(other, number_combinations(other)), kind[order])


def test_a_file_entered_twice_consists_of_copies():
    rows = rows_that_differ(0, 500, 3, 2)
    assert count(pd.concat([rows, rows], ignore_index=True)) == (500, 0)


def test_missing_values_count_as_equal():
    rows = pd.DataFrame({"x": [np.nan, 1.0, np.nan], "y": ["a", None, "a"]})
    assert number_combinations(rows).tolist() == [0, 1, 0]


def test_images_are_compared_by_their_pixels():
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, 64, dtype=np.uint8).tobytes() for _ in range(100)]
    rows = pd.DataFrame({"image": pd.Series([*images, *images[:10]], dtype=object), "label": ["1", "2"] * 55})
    assert count(rows) == (10, 0)


@pytest.mark.parametrize("n_columns", [300])
def test_many_columns_are_bearable(n_columns):
    random = np.random.default_rng(0)
    rows = pd.DataFrame(random.random((2000, n_columns)) < 0.001)
    copies, coincidences = count(rows)
    assert copies + coincidences > 1000


@given(mean=st.floats(0, 1e4), share=st.floats(0, 2))
def test_probability_of_few_neighbours_is_that_of_scipy(mean, share):
    from scipy.special import pdtr

    assert _poisson_at_most(int(mean * share), mean) == pytest.approx(
        pdtr(int(mean * share), mean), rel=1e-8, abs=1e-300
    )


@pytest.mark.parametrize("hashed", ["well", "all alike"])
@drawn
@given(seed=seeds, n_rows=st.integers(0, 60), n_columns=st.integers(1, 4))
def test_combinations_are_numbered_as_pandas_groups_them(hashed, seed, n_rows, n_columns):
    random = np.random.default_rng(seed)
    text = pd.Series(random.choice(["x", "y", None], n_rows), dtype="str")
    days = pd.Series(random.choice([0, 10**6], n_rows)).astype("datetime64[us]").dt.tz_localize("UTC")
    rows = pd.DataFrame({"number": random.choice([0.0, -0.0, np.nan, 1.5], n_rows), "text": text})
    rows = rows.assign(day=days.mask(random.random(n_rows) < 0.2), other=random.choice([2.0, np.nan], n_rows))
    rows = rows[list(random.permutation(list(rows)))[:n_columns]]
    expected = rows.groupby(list(rows), dropna=False, sort=False).ngroup().to_numpy()
    with pytest.MonkeyPatch.context() as patch:
        if hashed == "all alike":  # rows that have the same hash by chance are still told apart
            patch.setattr(repeats, "_mixed", np.zeros_like)
        assert number_combinations(rows).tolist() == expected.tolist()


def test_no_column_is_grouped_by_where_no_row_repeats(monkeypatch):
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 300)))
    monkeypatch.setattr(pd.DataFrame, "groupby", None)
    assert number_combinations(rows).tolist() == list(range(50))
    assert number_combinations(pd.concat([rows, rows[:9]])).tolist() == [*range(50), *range(9)]


@pytest.mark.parametrize("most", [5, 100, 10_000])
def test_pairs_are_those_drawn_from_the_list_of_all(most):
    for n_columns in range(1, 40):
        numbers = list(np.random.default_rng(n_columns).permutation(100)[:n_columns])
        pairs = list(combinations(numbers, 2))
        if len(pairs) > most:
            pairs = [pairs[each] for each in np.random.default_rng(0).choice(len(pairs), most, replace=False)]
        assert _some_pairs(numbers, most) == pairs


def test_pairs_of_many_columns_are_not_listed():
    assert len(_some_pairs(list(range(1_000_000)), 100)) == 100
