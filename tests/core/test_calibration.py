import math

import pytest
import torch

from torchlane.core.calibration import RESIDUALS, Calibration, tempered


def test_half_width_is_the_residual_that_split_conformal_prediction_asks_for():
    truth = torch.arange(1.0, 20.0)  # 19 rows with residuals 1 to 19
    calibration = Calibration.of_values(torch.zeros(19), truth)
    assert calibration.half_width(0.9) == 18  # the 0.9 * 20th
    assert calibration.half_width(0.5) == 10
    assert calibration.half_width(0.95) == 19


def test_too_few_rows_give_an_infinite_interval_and_none_gives_none():
    assert Calibration.of_values(torch.zeros(3), torch.ones(3)).half_width(0.9) == math.inf
    assert Calibration().half_width(0.9) is None


def test_of_many_rows_few_residuals_are_kept_and_the_width_errs_on_the_wide_side():
    truth = torch.randn(50_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    calibration = Calibration.of_values(torch.zeros_like(truth), truth)
    assert len(calibration.residuals) == RESIDUALS
    for coverage in (0.5, 0.9, 0.99):
        exact = truth.abs().sort().values[math.ceil(50_001 * coverage) - 1]
        assert exact <= calibration.half_width(coverage) < exact + 0.02


def test_intervals_cover_what_was_asked_of_new_rows():
    generator = torch.Generator().manual_seed(1)
    covered = []
    for _ in range(200):
        valid, new = torch.randn(2, 90, generator=generator).exp()
        half_width = Calibration.of_values(torch.zeros(90), valid).half_width(0.9)
        covered.append(float((new.abs() <= half_width).float().mean()))
    assert 0.89 < sum(covered) / len(covered) < 0.93


def overconfident(n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities that are three times too sure in their logarithms, and labels drawn from the true ones."""
    generator = torch.Generator().manual_seed(2)
    true = torch.randn(n_rows, 3, generator=generator, dtype=torch.float64).softmax(-1)
    return tempered(true, 1 / 3), torch.multinomial(true, 1, generator=generator).squeeze(1)


def test_temperature_undoes_too_much_confidence():
    probabilities, labels = overconfident(20_000)
    assert Calibration.of_probabilities(probabilities, labels).temperature == pytest.approx(3, rel=0.05)


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
