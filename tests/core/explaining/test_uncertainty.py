import numpy as np
import pytest
import torch

from torchlane.core.explaining.uncertainty import mean_and_error, standard_errors
from torchlane.core.tasks.tasks import TASKS


def test_the_error_of_a_mean_is_that_of_the_formula():
    values = np.random.default_rng(0).normal(size=40)
    mean, error = mean_and_error(values)
    assert (mean, error) == pytest.approx((values.mean(), values.std(ddof=1) / np.sqrt(40)))
    twice = np.repeat([2.0, 0.0], 20)
    assert mean_and_error(values, twice) == pytest.approx(mean_and_error(values[:20]))


def test_errors_of_few_rows_are_not_defined():
    assert np.isnan(mean_and_error(np.zeros(0))).all()
    assert np.isnan(mean_and_error(np.ones(1))[1])
    assert np.isnan(mean_and_error(np.arange(3.0), np.array([0.0, 1.0, 0.0]))[1])
    assert np.isnan(standard_errors(lambda weights: [1.0], 1, None)).all()


def test_leaving_out_each_row_gives_the_error_of_a_mean():
    values = torch.from_numpy(np.random.default_rng(0).normal(size=30))
    found = standard_errors(lambda weights: [float((values * weights).sum() / weights.sum())], 30, None)
    assert found[0] == pytest.approx(mean_and_error(values.numpy())[1])


@pytest.mark.parametrize(("task", "metric"), [("regression", "r2_score"), ("binary", "roc_auc_score")])
def test_errors_of_metrics_are_about_those_of_new_samples(task, metric):
    def draw(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        random = np.random.default_rng(seed)
        score = random.normal(size=400)
        truth = score + random.normal(size=400)
        if task == "regression":
            return torch.from_numpy(score), torch.from_numpy(truth)
        return torch.from_numpy(np.stack([-score, score], 1)), torch.from_numpy((truth > 0).astype(np.int64))

    spread = np.std([TASKS[task].score(metric, *draw(seed)) for seed in range(200)])
    prediction, truth = draw(0)
    found = standard_errors(lambda weights: [TASKS[task].score(metric, prediction, truth, weights)], 400, None)
    assert found[0] == pytest.approx(spread, rel=0.35)
