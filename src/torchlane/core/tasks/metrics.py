"""The metrics, each computed for several networks at once.

A metric takes predictions of members and the truth (members, n_rows), and returns float64 (members,). Predicted values
are (members, n_rows) or (members, n_rows, 1). Predicted labels are given as probabilities, or outputs in the same
order, (members, n_rows, n_labels); the last column suffices for the AUC. The predicted label is the one with the
largest value, and the first of equal ones. An undefined metric is NaN: any metric of no rows or of predictions that
are NaN, and the cases that the docstring of a metric names.

`weights` (members, n_rows) say how much each row counts: a row of weight w counts as w rows, and one of weight 0 as
none. This is `sample_weight` of scikit-learn. Only the ratios of weights matter.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

Metric = Callable[..., Tensor]  # of predictions, truth and, if rows count differently, weights
LEAST_PROBABILITY = torch.finfo(torch.float64).eps


def _metric(formula: Metric) -> Metric:
    """Convert predictions to float64, and return NaN for no rows and for predictions that are NaN."""

    @functools.wraps(formula)
    def metric(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
        if not truth.shape[1]:
            return torch.full((len(truth),), math.nan, dtype=torch.float64, device=truth.device)
        if weights is None:
            missing = prediction.isnan().flatten(1).any(1)
            return torch.where(missing, math.nan, formula(prediction.double(), truth))
        prediction, truth, weights = _without_weightless(prediction, truth, weights.double())
        missing = prediction.isnan().flatten(1).any(1) | (weights == 0).all(1)
        return torch.where(missing, math.nan, formula(prediction.double(), truth, weights))

    return metric


def _without_weightless(prediction: Tensor, truth: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Put the heaviest row in the place of rows of weight 0, which so leave no trace; scale weights to at most 2."""
    members = torch.arange(len(weights), device=weights.device)[:, None]
    own = torch.arange(weights.shape[1], device=weights.device)
    rows = torch.where(weights > 0, own, weights.argmax(1, keepdim=True))
    return prediction[members, rows], truth[members, rows], weights / _unit(weights)


@_metric
def r2_score(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """1 - sum of squared errors / sum of squared deviations of the truth from its mean; NaN for a constant truth.

    The first row is subtracted before the mean is computed, which keeps precision far from zero.

    >>> truth = torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]])
    >>> r2_score(truth + 1, truth).tolist()
    [-0.5, nan]
    """
    errors, truth = _errors(prediction, truth), truth.double()
    around = truth - truth[:, :1]
    constant = (around == 0).all(1)
    unit = torch.maximum(_unit(errors), _unit(around))
    around = around / unit
    total = _sum((around - _mean(around, weights)[:, None]).square(), weights)
    return torch.where(constant, math.nan, 1 - _sum((errors / unit).square(), weights) / total)


@_metric
def mean_absolute_error(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean of the absolute errors, in the units of the truth."""
    errors = _errors(prediction, truth).abs()
    unit = _unit(errors)
    return _mean(errors / unit, weights) * unit.squeeze(1)


@_metric
def root_mean_squared_error(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """The square root of the mean of the squared errors, in the units of the truth."""
    errors = _errors(prediction, truth)
    unit = _unit(errors)
    return _mean((errors / unit).square(), weights).sqrt() * unit.squeeze(1)


@_metric
def roc_auc_score(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """The share of pairs of a row with label 1 and a row with label 0 that are in the right order; ties count half.

    The value of the last label orders the rows, and each positive row is compared with all negative ones at once by
    their running sum (Hanley and McNeil 1982, doi 10.1148/radiology.143.1.7063747). Rows without weights are counted
    in integers. NaN if all rows have the same label.
    """
    values, positive = prediction[..., -1].contiguous(), truth.long()
    counts = torch.ones_like(positive) if weights is None else weights
    ordered, order = values.sort(dim=1)
    positives, negatives = ((counts * each).gather(1, order) for each in (positive, 1 - positive))
    until = torch.nn.functional.pad(negatives.cumsum(1), (1, 0))
    # Numbers in order are found faster, since those beside each other lie beside each other.
    below, not_above = (until.gather(1, torch.searchsorted(ordered, ordered, right=right)) for right in (False, True))
    twice_right = (positives * (below + not_above)).sum(1)
    return twice_right.double() / (2 * positives.sum(1) * until[:, -1]).double()


@_metric
def accuracy_score(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """The share of rows whose label is predicted correctly."""
    return _mean((prediction.argmax(-1) == truth).double(), weights)


@_metric
def f1_score(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """The harmonic mean of precision and recall of label 1, the positive one.

    NaN if no row has or is predicted to have it.
    """
    return _f1_by_label(prediction, truth, weights)[:, 1]


@_metric
def macro_f1_score(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """The unweighted mean of the F1 scores of all labels, as `f1_score(average="macro")` of scikit-learn.

    A label that no row has or is predicted to have is left out, since its F1 is undefined. A label that is
    predicted although no row has it counts as 0.
    """
    return _f1_by_label(prediction, truth, weights).nanmean(1)


@_metric
def balanced_accuracy_score(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """The unweighted mean of the recalls of the labels that some row has, as scikit-learn's."""
    right, of_truth, _ = label_counts(prediction, truth, weights)
    return (right.double() / of_truth.double()).nanmean(1)


@_metric
def cross_entropy_loss(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean of -log of the probability of the true label.

    Probabilities are clipped at 2.2e-16, as in scikit-learn's `log_loss` of float64, so a row with probability 0
    costs 36 rather than infinity.
    """
    probabilities = prediction.gather(-1, truth.long()[..., None]).squeeze(-1)
    return _mean(probabilities.clamp(LEAST_PROBABILITY, 1).log().neg(), weights)


def _sum(values: Tensor, weights: Tensor | None) -> Tensor:
    return values.sum(1) if weights is None else (values * weights).sum(1)


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    return values.mean(1) if weights is None else (values * weights).sum(1) / weights.sum(1)


def label_counts(prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Count the rows of each label that are predicted correctly, have it, and are predicted to have it.

    Each is (members, n_labels), for predictions and truth as metrics take them: int64, or the dtype of the weights.
    """
    truth, predicted = truth.long(), prediction.argmax(-1)
    ones = torch.ones_like(truth) if weights is None else weights
    none = torch.zeros(len(truth), prediction.shape[-1], dtype=ones.dtype, device=truth.device)
    right = none.scatter_add(1, truth, ones * (truth == predicted))
    return right, none.scatter_add(1, truth, ones), none.scatter_add(1, predicted, ones)


def _errors(prediction: Tensor, truth: Tensor) -> Tensor:
    return prediction.reshape(truth.shape) - truth.double()


def _unit(values: Tensor) -> Tensor:
    """The largest power of two that does not exceed the largest magnitude of each member: (members, 1).

    Dividing by it is exact, and squares of the quotients neither overflow nor underflow where they matter.
    """
    largest = values.abs().amax(1, keepdim=True)
    return torch.where(largest > 0, largest / (2 * torch.frexp(largest).mantissa), 1.0)


def _f1_by_label(prediction: Tensor, truth: Tensor, weights: Tensor | None) -> Tensor:
    """The F1 score of each label, float64 (members, n_labels); NaN if no row has or is predicted to have it."""
    right, of_truth, of_predicted = label_counts(prediction, truth, weights)
    return (2 * right).double() / (of_truth + of_predicted).double()
