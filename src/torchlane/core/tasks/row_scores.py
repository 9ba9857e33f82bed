"""What each row adds to a score: values whose mean is the metric, so that two models can be compared row by row.

Predictions are those that `torchlane.core.tasks.metrics` takes, (members, n_rows, …); the truth and the weights are
(n_rows,). The result holds float64 values (members, n_rows). For a row of weight w, the distance of its value from the
metric is that of w rows.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class RowScores(NamedTuple):
    """Values (members, n_rows) whose mean is the metric, and the number of rows that they are worth.

    Rows of unequal weight are worth fewer rows (Kish 1965, Survey Sampling): (sum w)² / sum w².
    """

    values: Tensor
    worth: float


RowScorer = Callable[..., RowScores]


def r2_rows(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> RowScores:
    """One minus the squared error of a row, in units of the mean squared deviation of the truth from its mean."""
    weights = _relative(truth, weights)
    truth = truth.double()
    errors = prediction.double().reshape(-1, len(truth)) - truth
    variance = (weights * (truth - (weights * truth).mean()).square()).mean()
    return _weighted(1 - errors.square() / variance, weights)


def accuracy_rows(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> RowScores:
    """One if the label of a row is predicted correctly, else zero."""
    return _weighted((prediction.argmax(-1) == truth).double(), _relative(truth, weights))


def auc_rows(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> RowScores:
    """The structural components of the AUC (DeLong, DeLong and Clarke-Pearson 1988, doi 10.2307/2531595).

    That of a row is the share of the rows with the other label that it is in the right order with; ties count half.
    The components of a label are scaled by the inverse of its share of the rows. The variance of the difference of two
    models, over the number of rows, is then the one of that paper. The rows are worth those of the rarer label.
    """
    weights = _relative(truth, weights)
    values, positive = prediction[..., -1].double(), truth.long() == 1
    above = _shares_below(values[:, positive], values[:, ~positive], weights[~positive])
    below = 1 - _shares_below(values[:, ~positive], values[:, positive], weights[positive])
    area = (above * weights[positive]).sum(1, keepdim=True) / weights[positive].sum()
    found = area.repeat(1, len(truth))
    for rows, components in ((positive, above), (~positive, below)):
        found[:, rows] += (components - area) * weights[rows] * len(truth) / weights[rows].sum()
    return RowScores(found, min(_worth(weights[positive]), _worth(weights[~positive])))


def _shares_below(values: Tensor, others: Tensor, weights: Tensor) -> Tensor:
    """Compute the share of `others` (members, k) below each of `values` (members, n), where ties count half."""
    ordered, order = others.sort(1)
    until = torch.nn.functional.pad(weights[order].cumsum(1), (1, 0))
    values = values.contiguous()
    below, not_above = (until.gather(1, torch.searchsorted(ordered, values, right=right)) for right in (False, True))
    return (below + not_above) / 2 / until[:, -1:]


def _weighted(values: Tensor, weights: Tensor) -> RowScores:
    mean = (values * weights).mean(1, keepdim=True)
    return RowScores(mean + weights * (values - mean), _worth(weights))


def _relative(truth: Tensor, weights: Tensor | None) -> Tensor:
    """Give float64 weights whose mean is 1."""
    weights = torch.ones(len(truth)) if weights is None else weights
    return weights.double() / weights.double().mean()


def _worth(weights: Tensor) -> float:
    return float(weights.sum().square() / weights.square().sum())
