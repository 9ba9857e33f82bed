"""How much a score on some rows may differ by chance alone."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

GROUPS = 50  # of rows that are left out one after another


def standard_errors(
    scores: Callable[[Tensor], Sequence[float]], n_rows: int, weights: Tensor | None, seed: int = 0
) -> np.ndarray:
    """Estimate the standard errors of scores, float64 (n_scores,), by leaving out groups of rows.

    `scores` computes them for weights of the rows, float64 (n_rows,). The rows are dealt at random into 50 groups, or
    into as many as there are rows. This is the delete-a-group jackknife (Kott 2001); differences of scores take
    account of the rows that they share. NaN if a score is undefined without some group, or for fewer than two rows.
    """
    if n_rows < 2:
        return np.full(len(scores(torch.ones(n_rows, dtype=torch.float64))), np.nan)
    n_groups = min(n_rows, GROUPS)
    group = torch.from_numpy(np.random.default_rng(seed).permutation(n_rows) % n_groups)
    everywhere = torch.ones(n_rows, dtype=torch.float64) if weights is None else weights.double()
    without = np.array([scores(torch.where(group == number, 0.0, everywhere)) for number in range(n_groups)])
    return np.sqrt((n_groups - 1) / n_groups * ((without - without.mean(0)) ** 2).sum(0))


def mean_and_error(values: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """Give the mean of values (n_rows,) and its standard error; NaN where there are too few rows.

    >>> mean_and_error(np.array([0.0, 0.0, 1.0, 1.0]))
    (0.5, 0.28867513459481287)
    """
    if not len(values):
        return float("nan"), float("nan")
    shares = np.full(len(values), 1 / len(values)) if weights is None else weights / weights.sum()
    mean = float(shares @ values)
    squares = float((shares**2).sum())  # one over the number of rows, if all count the same
    if squares >= 1:
        return mean, float("nan")
    return mean, float(np.sqrt((shares**2) @ (values - mean) ** 2 / (1 - squares)))
