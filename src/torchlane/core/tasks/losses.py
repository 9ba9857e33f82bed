"""The training losses: variants that torch lacks, and the loss of each of several stacked members."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from torchlane.core.stacks.steady import steadily

ELEMENTWISE = (nn.MSELoss, nn.L1Loss, nn.HuberLoss, nn.BCEWithLogitsLoss)  # their mean is over all numbers


class WeightedBinaryCrossEntropy(nn.BCEWithLogitsLoss):
    """BCEWithLogitsLoss in which a row of the second label counts `class_weights[1] / class_weights[0]` times."""

    def __init__(self, class_weights: Tensor):
        super().__init__(pos_weight=class_weights[1:] / class_weights[:1])

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        assert self.pos_weight is not None
        return functional.binary_cross_entropy_with_logits(
            outputs, targets, pos_weight=self.pos_weight.to(outputs), reduction=self.reduction
        )


class WeightedCrossEntropy(nn.CrossEntropyLoss):
    """CrossEntropyLoss whose weights are moved to the device and dtype of the outputs."""

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        assert self.weight is not None
        return functional.cross_entropy(
            outputs,
            targets,
            weight=self.weight.to(outputs),
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


def binary_cross_entropy(class_weights: Tensor | None = None) -> nn.Module:
    """Build the criterion of a binary task; weights are (2,)."""
    return nn.BCEWithLogitsLoss() if class_weights is None else WeightedBinaryCrossEntropy(class_weights)


def cross_entropy(class_weights: Tensor | None = None, label_smoothing: float = 0.0) -> nn.Module:
    """Build the criterion of a multiclass task; weights are (n_labels,)."""
    kind = nn.CrossEntropyLoss if class_weights is None else WeightedCrossEntropy
    return kind(weight=class_weights, label_smoothing=label_smoothing)


def without_mean(criterion: nn.Module) -> nn.Module:
    """Copy a criterion without its mean: the copy gives a loss for each row or each output."""
    assert isinstance(criterion, (*ELEMENTWISE, nn.CrossEntropyLoss))
    each = copy.copy(criterion)
    each.reduction = "none"
    return each


def member_losses(each: nn.Module, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Compute the loss of each member; `each` is a result of `without_mean`.

    `outputs` (members, n_rows, width) and their targets become (members,). With class weights, cross entropy
    divides by the sum of those of its rows, as `torch.nn.CrossEntropyLoss` does. The bits of a member do not
    depend on the other members.

    `weights` (members, n_rows) say how much each row counts, in units of the mean weight of train. The result is the
    weighted mean over the rows, sum(w l) / sum(w), times the mean weight of these rows, and so sum(w l) / n_rows if
    there are no class weights. This is how Keras weighs samples (`sum_over_batch_size`). The expected gradient of a
    random batch is then that of the weighted mean over train, which is that of a table whose rows are repeated w times.
    To divide by the sum of the batch's own weights, as scikit-learn's perceptrons do, is the same for the whole of
    train; but it gives a heavy row less than its due in small batches, and a batch of one row forgets its weight.
    A batch whose weights are all 0 has the loss 0.
    """
    if isinstance(each, nn.CrossEntropyLoss):
        losses = each(outputs.flatten(0, 1), targets.flatten()).view(targets.shape)
        if each.weight is not None:
            return _mean_by_classes(losses, each.weight.to(outputs)[targets], weights)
    else:
        steady = isinstance(each, nn.BCEWithLogitsLoss)
        losses = (steadily(each, outputs, targets) if steady else each(outputs, targets)).flatten(1)
    return torch.mean(losses if weights is None else losses * weights.to(losses), dim=1)


def _mean_by_classes(losses: Tensor, of_classes: Tensor, weights: Tensor | None) -> Tensor:
    """Compute the mean of losses that have been multiplied by the weights of their classes, all (members, n_rows)."""
    if weights is None:
        return torch.sum(losses, dim=1) / of_classes.sum(1)
    weights = weights.to(losses)
    total = (of_classes * weights).sum(1)
    return torch.sum(losses * weights, dim=1) / torch.where(total > 0, total, 1) * weights.mean(1)
