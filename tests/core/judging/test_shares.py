import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.calibration import calibration_curve

from torchlane.core.judging.shares import Reliability, bins_of, share_interval


@pytest.mark.parametrize(("hits", "rows"), [(0, 1), (1, 1), (3, 10), (50, 400)])
def test_interval_of_a_share_is_wilsons(hits, rows):
    low, high = share_interval(np.array([hits]), np.array([rows]))
    oracle = stats.binomtest(hits, rows).proportion_ci(0.95, "wilson")
    assert (low[0], high[0]) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


@given(st.lists(st.integers(-5, 5), max_size=60), st.integers(1, 10))
def test_bins_keep_equal_numbers_together_and_contain_what_they_hold(numbers, most):
    values = np.array(numbers, float)
    place, ends = bins_of(values, most)
    n_bins = len(ends) - 1 if len(values) else 0
    assert n_bins <= most
    assert {*place} == {*range(n_bins)}  # none is empty
    assert all(len({*place[values == each]}) == 1 for each in {*values})
    for number in range(n_bins):
        inside = values[place == number]
        assert ends[number] <= inside.min()
        assert inside.max() < ends[number + 1] or (number == n_bins - 1 and inside.max() <= ends[-1])


def test_bins_of_many_numbers_hold_equally_many():
    place, _ = bins_of(np.random.default_rng(0).normal(size=1_000), 10)
    assert np.bincount(place).tolist() == pytest.approx([100] * 10, abs=1)


def test_reliability_is_that_of_scikit_learn_and_its_error_the_mean_distance():
    random = np.random.default_rng(0)
    stated = random.random(500)
    happened = random.random(500) < stated**2
    found = Reliability.of(stated, happened)
    seen, mean = calibration_curve(happened, stated, n_bins=10)
    assert found.seen == pytest.approx(seen)
    assert found.stated == pytest.approx(mean)
    assert found.error == pytest.approx(np.average(np.abs(seen - mean), weights=found.rows))


def test_certain_rows_stand_in_the_last_bin():
    found = Reliability.of(np.array([1.0, 0.0]), np.array([True, False]))
    assert found.rows.tolist() == [1, *[0] * 8, 1]
    assert found.error == 0
