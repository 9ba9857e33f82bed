import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchlane.core.model.calibration import RESIDUALS, Calibration, tempered


def of_values(prediction: torch.Tensor, truth: torch.Tensor) -> Calibration:
    """Learn from one network, which has no spread."""
    return Calibration.of_values(prediction, torch.zeros_like(prediction), truth)


def test_half_width_is_the_residual_that_split_conformal_prediction_asks_for():
    truth = torch.arange(1.0, 20.0)  # 19 rows with residuals 1 to 19
    calibration = of_values(torch.zeros(19), truth)
    assert calibration.half_width(0.9) == 18  # the 0.9 * 20th
    assert calibration.half_width(0.5) == 10
    assert calibration.half_width(0.95) == 19


def test_too_few_rows_give_an_infinite_interval_and_none_gives_none():
    assert of_values(torch.zeros(3), torch.ones(3)).half_width(0.9) == math.inf
    assert Calibration().half_width(0.9) is None


def test_of_many_rows_few_residuals_are_kept_and_the_width_errs_on_the_wide_side():
    truth = torch.randn(50_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    calibration = of_values(torch.zeros_like(truth), truth)
    assert len(calibration.residuals) == RESIDUALS
    for coverage in (0.5, 0.9, 0.99):
        exact = truth.abs().sort().values[math.ceil(50_001 * coverage) - 1]
        assert exact <= calibration.half_width(coverage) < exact + 0.02


def test_intervals_cover_what_was_asked_of_new_rows():
    generator = torch.Generator().manual_seed(1)
    covered = []
    for _ in range(200):
        valid, new = torch.randn(2, 90, generator=generator).exp()
        half_width = of_values(torch.zeros(90), valid).half_width(0.9)
        covered.append(float((new.abs() <= half_width).float().mean()))
    assert 0.89 < sum(covered) / len(covered) < 0.93


@given(st.integers(1, 400), st.integers(1, 99))
def test_rank_is_that_of_exact_arithmetic(n_rows, percent):
    residuals = tuple(map(float, range(1, n_rows + 1)))  # each has its own rank for a value
    calibration = Calibration(n_rows=n_rows, residuals=residuals, ranks=tuple(range(1, n_rows + 1)))
    rank = math.ceil((n_rows + 1) * Fraction(percent, 100))
    assert calibration.half_width(percent / 100) == (rank if rank <= n_rows else math.inf)


def test_width_of_74_rows_for_two_thirds_is_the_51st():  # in floats 75 * 0.68 is above 51
    assert of_values(torch.zeros(74), torch.arange(1.0, 75.0)).half_width(0.68) == 51


def noise(n_rows: int, seed: int, follows: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Spreads, and truths about predictions of 0, whose noise is as large as the spread or has nothing to do with it."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.randn(n_rows, generator=generator, dtype=torch.float64).exp()
    truth = torch.randn(n_rows, generator=generator, dtype=torch.float64)
    return spread, truth * (spread if follows else 1)


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize("n_rows", [9, 30, 300])
def test_intervals_with_a_spread_cover_what_was_asked_also_where_it_says_nothing(n_rows, follows):
    covered, widths, same = [], [], []
    for seed in range(400):
        spread, truth = noise(n_rows + 200, seed, follows)
        calibration = Calibration.of_values(torch.zeros(n_rows), spread[:n_rows], truth[:n_rows])
        half = calibration.half_width(0.9) * (1 + calibration.spread_weight * spread[n_rows:])
        covered.append(float((truth[n_rows:].abs() <= half).double().mean()))
        widths.append(float(half.mean()))
        same.append(of_values(torch.zeros(n_rows), truth[:n_rows]).half_width(0.9))
    asked = math.ceil((n_rows + 1) * 0.9) / (n_rows + 1)
    assert sum(covered) / 400 > asked - 0.01
    if n_rows == 300:
        assert sum(widths) / sum(same) < 0.85 if follows else sum(widths) / sum(same) < 1.02


@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_spread_of_few_rows_of_no_rows_that_are_off_and_of_one_network_has_no_weight(n_rows):
    spread, truth = noise(n_rows, 0, follows=False)
    none_off = Calibration.of_values(truth, spread, truth)
    assert (none_off.spread_weight, none_off.residuals) == (0, (0.0,) * n_rows)
    assert of_values(torch.zeros(n_rows), truth).spread_weight == 0
    few = Calibration.of_values(torch.zeros(n_rows), spread, truth)
    assert math.isfinite(few.spread_weight) and all(map(math.isfinite, few.residuals))


def test_residual_of_a_row_is_weighed_by_what_the_others_say():
    spread, truth = noise(40, 3, follows=True)
    found = Calibration.of_values(torch.zeros(40), spread, truth)
    expected = []
    for row in range(40):
        others = torch.arange(40) != row
        # The same grid: weights are relative to the mean spread, so a row of that spread stands in.
        weight = Calibration.of_values(torch.zeros(39), spread[others], truth[others]).spread_weight
        expected.append(float(truth[row].abs() / (1 + weight * spread[row])))
    torch.testing.assert_close(torch.tensor(found.residuals), torch.tensor(sorted(expected)), rtol=0.15, atol=0)


def overconfident(n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities that are three times too sure in their logarithms, and labels drawn from the true ones."""
    generator = torch.Generator().manual_seed(2)
    true = torch.randn(n_rows, 3, generator=generator, dtype=torch.float64).softmax(-1)
    return tempered(true, 1 / 3), torch.multinomial(true, 1, generator=generator).squeeze(1)


def test_temperature_undoes_too_much_confidence():
    probabilities, labels = overconfident(20_000)
    assert Calibration.of_probabilities(probabilities, labels).temperature == pytest.approx(3, rel=0.05)


def test_temperature_weighs_a_row_by_all_that_it_costs():
    probabilities = torch.tensor([[0.8, 0.2]] * 3000 + [[1.0, 1e-200]], dtype=torch.float64)
    truth = torch.tensor([0] * 3000 + [1])
    temperature = Calibration.of_probabilities(probabilities, truth).temperature
    logits = probabilities.log()
    cost, lower = (
        float(torch.nn.functional.cross_entropy(logits / each, truth, reduction="sum")) for each in (temperature, 0.17)
    )
    assert 0.6 < temperature < 0.7 and cost < lower / 2  # 0.17 where a row can cost 708 at most


def test_temperature_of_few_rows_that_all_come_out_right_stays_moderate():
    probabilities = torch.tensor([[0.8, 0.1, 0.1]] * 10, dtype=torch.float64)
    temperature = Calibration.of_probabilities(probabilities, torch.zeros(10, dtype=torch.int64)).temperature
    assert 0.3 < temperature < 1


def test_tempered_probabilities_sum_to_one_and_keep_their_order():
    probabilities, _ = overconfident(100)
    flatter = tempered(probabilities, 2.0)
    torch.testing.assert_close(flatter.sum(1), torch.ones(100, dtype=torch.float64))
    assert torch.equal(flatter.argsort(1), probabilities.argsort(1))
    torch.testing.assert_close(tempered(torch.tensor([[1.0, 0.0]]), 2.0).sum(), torch.tensor(1.0))
