"""Half-widths against the definition of split conformal prediction, in exact fractions."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.agreement import compare
from torchlane.core.model.calibration import RESIDUALS, Calibration

many = settings(max_examples=300, deadline=None)
coverages = st.decimals("0.0001", "0.9999", places=4) | st.decimals("0.000000000001", "0.999999999999", places=12)
residuals = st.floats(0, 1e300) | st.integers(0, 5).map(float)


def learned(values: list[float]) -> Calibration:
    """Learn from rows that are off by `values`, some of them below and some above, with no spread."""
    truth = torch.tensor(values, dtype=torch.float64)
    truth[1::2] *= -1
    return Calibration.of_values(torch.zeros_like(truth), torch.zeros_like(truth), truth)


def defined(values: list[float], coverage: Decimal, rows_apart: int = 0) -> float:
    """The ceil((n + 1) coverage)th smallest residual, infinite where there are fewer (Lei et al. 2018, section 2)."""
    place = math.ceil((len(values) + 1) * Fraction(coverage)) + rows_apart
    return sorted(values)[place - 1] if place <= len(values) else math.inf


@pytest.mark.parametrize("first", range(1, 500, 100))
def test_every_percentage_of_up_to_500_rows_has_its_rank(first):
    for n_rows in range(first, first + 100):
        values = [float(row * 7919 % n_rows + 1) for row in range(n_rows)]  # 1 to n_rows, mixed up
        calibration = learned(values)
        percents = [Decimal(percent) / 100 for percent in range(1, 100)]
        got = [calibration.half_width(float(coverage)) for coverage in percents]
        ranks = [math.ceil((n_rows + 1) * Fraction(coverage)) for coverage in percents]
        compare("conformal rank", got, [float(rank) if rank <= n_rows else math.inf for rank in ranks])


@many
@given(st.lists(residuals, min_size=1, max_size=60), coverages)
def test_half_width_is_the_residual_of_the_rank(values, coverage):
    compare("conformal half-width", learned(values).half_width(float(coverage)), defined(values, coverage))


@many
@given(st.lists(residuals, min_size=2, max_size=25), coverages)
def test_of_rows_left_out_one_after_another_at_least_the_coverage_is_covered(values, coverage):
    covered = 0
    for row, value in enumerate(values):
        half_width = learned(values[:row] + values[row + 1 :]).half_width(float(coverage))
        covered += value <= half_width
    assert Fraction(covered, len(values)) >= Fraction(coverage)


@settings(max_examples=200, deadline=None)
@given(st.integers(RESIDUALS - 1, 4000), st.integers(0, 2**32), coverages)
def test_of_more_rows_than_are_kept_the_width_is_that_of_the_rank_or_of_the_next_one_kept(n_rows, seed, coverage):
    values = torch.rand(n_rows, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).tolist()
    half_width = learned(values).half_width(float(coverage))
    apart = 0 if n_rows <= RESIDUALS else math.ceil((n_rows - 1) / (RESIDUALS - 1))
    assert defined(values, coverage) <= half_width <= defined(values, coverage, apart)
    if not apart:
        compare("conformal half-width", half_width, defined(values, coverage))
