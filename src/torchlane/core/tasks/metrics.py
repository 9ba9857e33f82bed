"""The metrics, each computed for several networks at once.

A metric takes predictions of members and the truth (members, n_rows), and returns float64 (members,). Predicted values
are (members, n_rows) or (members, n_rows, 1). Predicted labels are given as probabilities, or outputs in the same
order, (members, n_rows, n_labels); the last column suffices for the AUC. The predicted label is the one with the
largest value, and the first of equal ones. An undefined metric is NaN: any metric of no rows or of predictions that
are NaN, and the cases that the docstring of a metric names.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

Metric = Callable[[Tensor, Tensor], Tensor]
LEAST_PROBABILITY = torch.finfo(torch.float64).eps


def _metric(formula: Metric) -> Metric:
    """Convert predictions to float64, and return NaN for no rows and for predictions that are NaN."""

    @functools.wraps(formula)
    def metric(prediction: Tensor, truth: Tensor) -> Tensor:
        if not truth.shape[1]:
            return torch.full((len(truth),), math.nan, dtype=torch.float64, device=truth.device)
        missing = prediction.isnan().flatten(1).any(1)
        return torch.where(missing, math.nan, formula(prediction.double(), truth))

    return metric


@_metric
def r2_score(prediction: Tensor, truth: Tensor) -> Tensor:
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
    total = (around - around.mean(1, keepdim=True)).square().sum(1)
    return torch.where(constant, math.nan, 1 - (errors / unit).square().sum(1) / total)


@_metric
def mean_absolute_error(prediction: Tensor, truth: Tensor) -> Tensor:
    """The mean of the absolute errors, in the units of the truth."""
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
    """The share of pairs of a row with label 1 and a row with label 0 that are in the right order; ties count half.

    It is computed from the ranks of the last label's values (Hanley and McNeil 1982,
    doi 10.1148/radiology.143.1.7063747) in integers. NaN if all rows have the same label.
    """
    values, positive = prediction[..., -1].contiguous(), truth.long()
    ordered = values.sort(dim=1).values
    twice_rank = torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True) + 1
    n_positive = positive.sum(1)
    twice_right = (twice_rank * positive).sum(1) - n_positive * (n_positive + 1)
    return twice_right.double() / (2 * n_positive * (truth.shape[1] - n_positive)).double()


@_metric
def accuracy_score(prediction: Tensor, truth: Tensor) -> Tensor:
    """The share of rows whose label is predicted correctly."""
    return (prediction.argmax(-1) == truth).double().mean(1)


@_metric
def f1_score(prediction: Tensor, truth: Tensor) -> Tensor:
    """The harmonic mean of precision and recall of label 1, the positive one.

    NaN if no row has or is predicted to have it.
    """
    return _f1_by_label(prediction, truth)[:, 1]


@_metric
def macro_f1_score(prediction: Tensor, truth: Tensor) -> Tensor:
    """The unweighted mean of the F1 scores of all labels, as `f1_score(average="macro")` of scikit-learn.

    A label that no row has or is predicted to have is left out, since its F1 is undefined. A label that is
    predicted although no row has it counts as 0.
    """
    return _f1_by_label(prediction, truth).nanmean(1)


@_metric
def balanced_accuracy_score(prediction: Tensor, truth: Tensor) -> Tensor:
    """The unweighted mean of the recalls of the labels that some row has, as scikit-learn's."""
    right, of_truth, _ = label_counts(prediction, truth)
    return (right.double() / of_truth.double()).nanmean(1)


@_metric
def cross_entropy_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """The mean of -log of the probability of the true label.

    Probabilities are clipped at 2.2e-16, as in scikit-learn's `log_loss` of float64, so a row with probability 0
    costs 36 rather than infinity.
    """
    probabilities = prediction.gather(-1, truth.long()[..., None]).squeeze(-1)
    return probabilities.clamp(LEAST_PROBABILITY, 1).log().neg().mean(1)


def label_counts(prediction: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Count the rows of each label that are predicted correctly, have it, and are predicted to have it.

    Each is int64 (members, n_labels), for predictions and truth as metrics take them.
    """
    truth, predicted = truth.long(), prediction.argmax(-1)
    none = torch.zeros(len(truth), prediction.shape[-1], dtype=torch.int64, device=truth.device)
    ones = torch.ones_like(truth)
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


def _f1_by_label(prediction: Tensor, truth: Tensor) -> Tensor:
    """The F1 score of each label, float64 (members, n_labels); NaN if no row has or is predicted to have it."""
    truth, predicted = truth.long(), prediction.argmax(-1)
    counts = torch.zeros(len(truth), prediction.shape[-1], dtype=torch.int64, device=truth.device)
    right = counts.scatter_add(1, truth, (truth == predicted).long())
    ones = torch.ones_like(truth)
    return (2 * right).double() / counts.scatter_add(1, truth, ones).scatter_add(1, predicted, ones).double()
