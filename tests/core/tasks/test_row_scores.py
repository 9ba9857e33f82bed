"""The mean of row scores is the metric, and their variance that of independent formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from torch import Tensor

from torchlane.core.tasks.row_scores import accuracy_rows, auc_rows, r2_rows
from torchlane.core.tasks.tasks import TASKS

N_ROWS = 40
SKLEARN = {"regression": r2_score, "binary": roc_auc_score, "multiclass": accuracy_score}


def drawn(task: str, seed: int, n_members: int = 2) -> tuple[Tensor, Tensor]:
    """Outputs (members, n_rows, width) and their truth, with ties between outputs."""
    random = torch.Generator().manual_seed(seed)
    truth = torch.arange(N_ROWS) % (3 if task == "multiclass" else 2)
    truth = torch.randn(N_ROWS, generator=random) if task == "regression" else truth
    width = 3 if task == "multiclass" else 1
    return torch.randn(n_members, N_ROWS, width, generator=random).mul(4).round().div(4), truth


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(TASKS)), st.integers(0, 2**31), st.booleans())
def test_mean_of_row_scores_is_the_primary_metric(task, seed, weighted):
    outputs, truth = drawn(task, seed)
    weights = torch.rand(N_ROWS, dtype=torch.float64) + 0.1 if weighted else None
    found = TASKS[task].row_scores(outputs, truth, weights)
    of_rows = None if weights is None else weights.expand(2, -1)
    expected = TASKS[task].primary(outputs, truth.expand(2, -1), of_rows)
    torch.testing.assert_close(found.values.mean(1), expected, rtol=0, atol=1e-9)
    for member, mean in enumerate(found.values.mean(1).tolist()):
        own = outputs[member].argmax(-1) if task == "multiclass" else outputs[member, :, 0]
        assert mean == pytest.approx(SKLEARN[task](truth, own, sample_weight=weights), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(TASKS)), st.integers(0, 2**31))
def test_row_of_weight_two_counts_as_two_rows(task, seed):
    outputs, truth = drawn(task, seed, 1)
    times = torch.ones(N_ROWS, dtype=torch.long)
    times[: N_ROWS // 2] = 2
    weighted = TASKS[task].row_scores(outputs, truth, times.double())
    repeated = TASKS[task].row_scores(outputs.repeat_interleave(times, dim=1), truth.repeat_interleave(times))
    of_row = weighted.values - weighted.values.mean(1, keepdim=True)
    of_copies = (repeated.values - repeated.values.mean(1, keepdim=True)) * N_ROWS / len(repeated.values[0])
    summed = torch.zeros(1, N_ROWS, dtype=torch.float64).index_add(
        1, torch.arange(N_ROWS).repeat_interleave(times), of_copies
    )
    torch.testing.assert_close(of_row, summed, rtol=0, atol=1e-9)


def test_variance_of_the_difference_of_two_areas_is_that_of_delong():
    outputs, truth = drawn("binary", 3)
    values = auc_rows(outputs, truth).values
    difference = (values[1] - values[0]).numpy()
    positive = truth.numpy() == 1
    components = []
    for member in outputs[:, :, 0].numpy():
        psi = (member[positive][:, None] > member[~positive]) + 0.5 * (member[positive][:, None] == member[~positive])
        components.append((psi.mean(1), psi.mean(0)))
    over_positive, over_negative = (one - other for one, other in zip(components[1], components[0], strict=True))
    expected = np.var(over_positive) / positive.sum() + np.var(over_negative) / (~positive).sum()
    assert difference.var() / N_ROWS == pytest.approx(expected)
    assert auc_rows(outputs[:, :25], torch.cat([truth[:20] * 0, torch.ones(5)])).worth == pytest.approx(5)


def test_rows_of_unequal_weight_are_worth_fewer():
    outputs, truth = drawn("multiclass", 0)
    assert accuracy_rows(outputs, truth).worth == pytest.approx(N_ROWS)
    weights = torch.zeros(N_ROWS)
    weights[:4] = 5.0
    assert accuracy_rows(outputs, truth, weights).worth == pytest.approx(4)
    assert r2_rows(*drawn("regression", 0), weights).worth == pytest.approx(4)
