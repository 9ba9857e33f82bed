"""What differs between regression, binary and multiclass stands in this one table."""

import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from torchlane.core.losses import binary_cross_entropy, cross_entropy

if TYPE_CHECKING:
    from torchlane.core.encoders import TargetEncoder

Metric = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Task:
    """One kind of problem.

    `losses` compare network outputs (n_rows, width) with encoded targets; the first is the default.
    `predict` turns outputs into predictions, float64: raw values (n_rows,) for regression, else
    probabilities (n_rows, n_labels). `metrics` compare predictions with the truth, which is raw
    values (n_rows,) or label indices (n_rows,); the first is the primary one. `primary` is that one for
    several networks at once, from outputs (members, n_rows, width) and encoded targets of the members
    (members, n_rows, …) to float64 (members,), NaN where it is not defined.
    """

    losses: Mapping[str, Callable[..., nn.Module]]  # some take class_weights (n_labels,) or label_smoothing
    width: Callable[[int], int]  # outputs of the network, from the number of labels
    predict: "Callable[[Tensor, TargetEncoder], Tensor]"
    constant: Callable[[Tensor, int], Tensor]  # best constant prediction from (truth of train, number of labels)
    metrics: Mapping[str, Metric]
    primary: Callable[[Tensor, Tensor], Tensor]

    @property
    def primary_metric(self) -> str:
        return next(iter(self.metrics))

    def score(self, metric: str, prediction: Tensor, truth: Tensor) -> float:
        """Compute one metric; NaN where it is not defined, such as R² of one row or AUC of one class."""
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", r"No (positive|negative) samples")  # torchmetrics falls back to 0
                return float(self.metrics[metric](prediction, truth))
        except (UserWarning, ValueError):
            return math.nan


def make_loss(
    task: str, name: str | None, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> nn.Module:
    """Build the training criterion of a task, its default where `name` is None; weights are (n_labels,).

    Raises:
        ValueError: the task has no loss of that name, or that loss takes no weights or no smoothing.
    """
    losses = TASKS[task].losses
    if name is not None and name not in losses:
        raise ValueError(f"training.loss '{name}' is not a loss for {task}; choose one of {', '.join(losses)}")
    name = name or next(iter(losses))
    asked = {"class_weights": class_weights, "label_smoothing": label_smoothing or None}
    arguments = {option: value for option, value in asked.items() if value is not None}
    for option in arguments:
        if option not in inspect.signature(losses[name]).parameters:
            raise ValueError(f"training.loss.{option} does not go with {name}, the loss of this {task}; leave it out")
    return losses[name](**arguments)


def _class_shares(truth: Tensor, n_labels: int) -> Tensor:
    return torch.bincount(truth.long(), minlength=n_labels).double() / len(truth)


def _two_columns(outputs: Tensor, target: "TargetEncoder") -> Tensor:
    positive = outputs.double().sigmoid().squeeze(-1)
    return torch.stack([1 - positive, positive], dim=-1)


def _regression(name: str, **arguments: object) -> Metric:
    return partial(_torchmetrics("regression", name), **arguments)


def _binary(name: str) -> Metric:
    metric = _torchmetrics("classification", name)
    return lambda probabilities, truth: metric(probabilities[:, 1], truth)


def _multiclass(name: str, average: str) -> Metric:
    metric = _torchmetrics("classification", name)
    return lambda probabilities, truth: metric(
        probabilities, truth, num_classes=probabilities.shape[1], average=average
    )


def _torchmetrics(family: str, name: str) -> Callable[..., Tensor]:
    """Find a function of torchmetrics when it is called, since the import takes seconds."""
    return lambda *values, **arguments: getattr(import_module(f"torchmetrics.functional.{family}"), name)(
        *values, **arguments
    )


def _r2_scores(outputs: Tensor, targets: Tensor) -> Tensor:
    outputs, targets = outputs.double(), targets.double()
    residual = (targets - outputs).square().sum((1, 2))
    total = (targets - targets.mean(1, keepdim=True)).square().sum((1, 2))
    return torch.where(total > 0, 1 - residual / total, math.nan)


def _roc_auc_scores(outputs: Tensor, targets: Tensor) -> Tensor:
    """The share of pairs in the right order, ties counting half (Hanley & McNeil 1982), from ranks."""
    values, positive = outputs.double().squeeze(-1), targets.double().squeeze(-1)
    ordered = values.sort(dim=1).values
    ranks = (torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True) + 1) / 2
    n_positive = positive.sum(1)
    pairs = n_positive * (positive.shape[1] - n_positive)
    return ((ranks * positive).sum(1) - n_positive * (n_positive + 1) / 2) / pairs  # NaN where one class is all


def _accuracy_scores(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.argmax(-1) == targets).double().mean(1)


def _accuracy(probabilities: Tensor, truth: Tensor) -> Tensor:
    return (probabilities.argmax(1) == truth).double().mean()  # torchmetrics has float32, which loses a digit


def _cross_entropy(probabilities: Tensor, truth: Tensor) -> Tensor:
    tiny = torch.finfo(probabilities.dtype).tiny
    return -probabilities.gather(1, truth[:, None]).clamp_min(tiny).log().mean()


TASKS: Mapping[str, Task] = {
    "regression": Task(
        losses={"mse": nn.MSELoss, "l1": nn.L1Loss, "huber": nn.HuberLoss},
        width=lambda n_labels: 1,
        predict=lambda outputs, target: target.decode(outputs.squeeze(-1)),
        constant=lambda truth, n_labels: truth.mean(),
        metrics={
            "r2_score": _regression("r2_score"),
            "mean_absolute_error": _regression("mean_absolute_error"),
            "root_mean_squared_error": _regression("mean_squared_error", squared=False),
        },
        primary=_r2_scores,
    ),
    "binary": Task(
        losses={"binary_cross_entropy": binary_cross_entropy},
        width=lambda n_labels: 1,
        predict=_two_columns,
        constant=_class_shares,
        metrics={
            "roc_auc_score": _binary("binary_auroc"),
            "accuracy_score": _accuracy,
            "f1_score": _binary("binary_f1_score"),
            "cross_entropy_loss": _cross_entropy,
        },
        primary=_roc_auc_scores,
    ),
    "multiclass": Task(
        losses={"cross_entropy": cross_entropy},
        width=lambda n_labels: n_labels,
        predict=lambda outputs, target: outputs.double().softmax(-1),
        constant=_class_shares,
        metrics={
            "accuracy_score": _accuracy,
            "macro_f1_score": _multiclass("multiclass_f1_score", "macro"),
            "cross_entropy_loss": _cross_entropy,
        },
        primary=_accuracy_scores,
    ),
}
