"""How good predictions are: each metric in one formula, for several networks at once.

A metric takes the predictions of members and the truth (members, n_rows), and gives float64 (members,). Values are
predicted as (members, n_rows) or (members, n_rows, 1), labels as probabilities, or outputs in the same order,
(members, n_rows, n_labels); for the AUC, the last column is enough. A row's label is that with the largest value, the
first of equals. NaN stands for what is not defined: every metric of no rows and of predictions that are NaN, and what
the metric itself says.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

Metric = Callable[[Tensor, Tensor], Tensor]
LEAST_PROBABILITY = torch.finfo(torch.float64).eps


def _metric(formula: Metric) -> Metric:
    """Let a formula see float64 alone, some rows and no NaN."""

    @functools.wraps(formula)
    def metric(prediction: Tensor, truth: Tensor) -> Tensor:
        if not truth.shape[1]:
            return torch.full((len(truth),), math.nan, dtype=torch.float64, device=truth.device)
        missing = prediction.isnan().flatten(1).any(1)
        return torch.where(missing, math.nan, formula(prediction.double(), truth))

    return metric


@_metric
def r2_score(prediction: Tensor, truth: Tensor) -> Tensor:
    """1 minus the squares of the errors over those around the mean of the truth; NaN where the truth is constant.

    Differences from the first row are taken before their mean is, so that no digit is lost far from zero.

    >>> truth = torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    >>> r2_score(truth + 1, truth).tolist()
    [-0.5, nan]
    """
    errors, truth = _errors(prediction, truth), truth.double()
    around = truth - truth[:, :1]
    constant = (around == 0).all(1)
    unit = torch.maximum(_unit(errors), _unit(around))
    around = around / unit
    total = (around - around.mean(1, keepdim=True)).square().sum(1)
    return torch.where(constant, math.nan, 1 - (errors / unit).square().sum(1) / total)


@_metric
def mean_absolute_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """The mean of the errors without their signs, in the units of the truth."""
    errors = _errors(prediction, truth).abs()
    unit = _unit(errors)
    return (errors / unit).mean(1) * unit.squeeze(1)


@_metric
def root_mean_squared_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """The square root of the mean of the squared errors, in the units of the truth."""
    errors = _errors(prediction, truth)
    unit = _unit(errors)
    return (errors / unit).square().mean(1).sqrt() * unit.squeeze(1)


@_metric
def roc_auc_score(prediction: Tensor, truth: Tensor) -> Tensor:
    """The share of pairs of a row with label 1 and one with label 0 in the right order, ties counting half.

    From the ranks of the last label's values (Hanley and McNeil 1982, doi 10.1148/radiology.143.1.7063747), added up
    as whole numbers. NaN where all rows have one label.
    """
    values, positive = prediction[..., -1].contiguous(), truth.long()
    ordered = values.sort(dim=1).values
    twice_rank = torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True) + 1
    n_positive = positive.sum(1)
    twice_right = (twice_rank * positive).sum(1) - n_positive * (n_positive + 1)
    return twice_right.double() / (2 * n_positive * (truth.shape[1] - n_positive)).double()


@_metric
def accuracy_score(prediction: Tensor, truth: Tensor) -> Tensor:
    """The share of rows whose label is predicted."""
    return (prediction.argmax(-1) == truth).double().mean(1)


@_metric
def f1_score(prediction: Tensor, truth: Tensor) -> Tensor:
    """The harmonic mean of precision and recall of label 1; NaN where no row has it and none is predicted to."""
    return _f1_by_label(prediction, truth)[:, 1]


@_metric
def macro_f1_score(prediction: Tensor, truth: Tensor) -> Tensor:
    """The mean over labels of their F1, all counting the same.

    A label that no row has and none is predicted to have does not count: its F1 is not defined. One that is
    predicted, but that no row has, counts with 0. This is `f1_score(average="macro")` of scikit-learn.
    """
    return _f1_by_label(prediction, truth).nanmean(1)


@_metric
def cross_entropy_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """The mean of -log of the probability of the true label.

    A probability counts as 2.2e-16 at least, as in scikit-learn's `log_loss` of float64: a row that was ruled out
    costs 36, and not infinitely much.
    """
    probabilities = prediction.gather(-1, truth.long()[..., None]).squeeze(-1)
    return probabilities.clamp(LEAST_PROBABILITY, 1).log().neg().mean(1)


def _errors(prediction: Tensor, truth: Tensor) -> Tensor:
    return prediction.reshape(truth.shape) - truth.double()


def _unit(values: Tensor) -> Tensor:
    """A power of two as large as the largest magnitude of each member, but for a factor below 2: (members, 1).

    Squares of what is divided by it do not overflow, nor vanish where they matter, and the division is exact.
    """
    largest = values.abs().amax(1, keepdim=True)
    return torch.where(largest > 0, largest / (2 * torch.frexp(largest).mantissa), 1.0)


def _f1_by_label(prediction: Tensor, truth: Tensor) -> Tensor:
    """F1 of each label, float64 (members, n_labels); NaN for one that no row has and none is predicted to have."""
    truth, predicted = truth.long(), prediction.argmax(-1)
    counts = torch.zeros(len(truth), prediction.shape[-1], dtype=torch.int64, device=truth.device)
    right = counts.scatter_add(1, truth, (truth == predicted).long())
    ones = torch.ones_like(truth)
    return (2 * right).double() / counts.scatter_add(1, truth, ones).scatter_add(1, predicted, ones).double()
