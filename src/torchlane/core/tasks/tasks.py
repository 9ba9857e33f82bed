"""The table of everything that differs between regression, binary and multiclass tasks."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from torchlane.core.tasks import metrics
from torchlane.core.tasks.losses import binary_cross_entropy, cross_entropy
from torchlane.core.tasks.metrics import Metric
from torchlane.core.tasks.row_scores import RowScorer, accuracy_rows, auc_rows, r2_rows

if TYPE_CHECKING:
    from torchlane.core.encoding.target import TargetEncoder


@dataclass(frozen=True)
class Task:
    """One kind of task.

    `losses` compare network outputs (n_rows, width) with encoded targets; the first is the default.
    `predict` turns outputs into float64 predictions: raw values (n_rows,) for regression, otherwise
    probabilities (n_rows, n_labels). `joint` turns outputs of several members (members, n_rows, width) into float64
    outputs (n_rows, width) whose prediction is the mean of theirs. `metrics` compare predictions of several networks
    at once with the truth, which is raw values or label indices; the first is the primary metric, whose `row_scores`
    say what each row adds to it.
    """

    losses: Mapping[str, Callable[..., nn.Module]]  # some accept class_weights (n_labels,) or label_smoothing
    width: Callable[[int], int]  # number of outputs, from the number of labels
    predict: "Callable[[Tensor, TargetEncoder], Tensor]"
    joint: Callable[[Tensor], Tensor]
    constant: Callable[..., Tensor]  # best constant prediction from (truth of train, number of labels, its weights)
    metrics: Mapping[str, Metric]
    row_scores: RowScorer

    @property
    def primary_metric(self) -> str:
        return next(iter(self.metrics))

    def primary(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Compute the primary metric of outputs (members, n_rows, width) for encoded targets (members, n_rows, …).

        The result is float64 (members,), NaN where undefined. It equals the metric of the predictions, since
        neither the scale of a target nor a link that preserves the order of outputs changes it.
        """
        return self.metrics[self.primary_metric](outputs, targets.flatten(1), weights)

    def score(self, metric: str, prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> float:
        """Compute a metric of a result of `predict`, the truth and weights (n_rows,); NaN where undefined."""
        of_rows = None if weights is None else weights[None]
        return float(self.metrics[metric](prediction[None], truth[None], of_rows))


def make_loss(
    task: str, name: str | None, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> nn.Module:
    """Build the loss of a task; `name` None stands for the default. Weights are (n_labels,).

    Raises:
        ValueError: the task has no loss of that name, or the loss does not accept weights or smoothing.
    """
    losses = TASKS[task].losses
    if name is not None and name not in losses:
        raise ValueError(f"training.loss '{name}' is not a loss for {task}; choose one of {', '.join(losses)}")
    name = name or next(iter(losses))
    asked = {"class_weights": class_weights, "label_smoothing": label_smoothing or None}
    arguments = {option: value for option, value in asked.items() if value is not None}
    for option in arguments:
        if option not in inspect.signature(losses[name]).parameters:
            raise ValueError(
                f"training.loss.{option} cannot be combined with {name}, the loss of this {task} task; leave it out"
            )
    return losses[name](**arguments)


def _class_shares(truth: Tensor, n_labels: int, weights: Tensor | None = None) -> Tensor:
    if weights is not None:
        return torch.bincount(truth.long(), weights / weights.sum(), minlength=n_labels)
    return torch.bincount(truth.long(), minlength=n_labels).double() / len(truth)


def _mean(truth: Tensor, n_labels: int, weights: Tensor | None = None) -> Tensor:
    return truth.mean() if weights is None else truth @ (weights / weights.sum())


def _two_columns(outputs: Tensor, target: "TargetEncoder") -> Tensor:
    """Compute the probabilities of both labels separately; 1 - p of the second would be 0 for outputs above 37."""
    outputs = outputs.double().squeeze(-1)
    return torch.stack([-outputs, outputs], dim=-1).sigmoid()


def _logit_of_mean(outputs: Tensor) -> Tensor:
    outputs = outputs.double()
    return functional.logsigmoid(outputs).logsumexp(0) - functional.logsigmoid(-outputs).logsumexp(0)


def _log_of_mean(outputs: Tensor) -> Tensor:
    return outputs.double().log_softmax(-1).logsumexp(0) - math.log(len(outputs))


def _named(*found: Metric) -> dict[str, Metric]:
    return {each.__name__: each for each in found}


TASKS: Mapping[str, Task] = {
    "regression": Task(
        losses={"mse": nn.MSELoss, "l1": nn.L1Loss, "huber": nn.HuberLoss},
        width=lambda n_labels: 1,
        predict=lambda outputs, target: target.decode(outputs.squeeze(-1)),
        joint=lambda outputs: outputs.double().mean(0),
        constant=_mean,
        metrics=_named(metrics.r2_score, metrics.mean_absolute_error, metrics.root_mean_squared_error),
        row_scores=r2_rows,
    ),
    "binary": Task(
        losses={"binary_cross_entropy": binary_cross_entropy},
        width=lambda n_labels: 1,
        predict=_two_columns,
        joint=_logit_of_mean,
        constant=_class_shares,
        metrics=_named(
            metrics.roc_auc_score,
            metrics.accuracy_score,
            metrics.balanced_accuracy_score,
            metrics.f1_score,
            metrics.macro_f1_score,
            metrics.cross_entropy_loss,
        ),
        row_scores=auc_rows,
    ),
    "multiclass": Task(
        losses={"cross_entropy": cross_entropy},
        width=lambda n_labels: n_labels,
        predict=lambda outputs, target: outputs.double().softmax(-1),
        joint=_log_of_mean,
        constant=_class_shares,
        metrics=_named(
            metrics.accuracy_score,
            metrics.balanced_accuracy_score,
            metrics.macro_f1_score,
            metrics.cross_entropy_loss,
        ),
        row_scores=accuracy_rows,
    ),
}
