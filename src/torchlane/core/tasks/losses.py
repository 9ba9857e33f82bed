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


def member_losses(each: nn.Module, outputs: Tensor, targets: Tensor) -> Tensor:
    """Compute the loss of each member; `each` is a result of `without_mean`.

    `outputs` (members, n_rows, width) and their targets become (members,). Weighted cross entropy divides by
    the sum of the weights of its rows, as `torch.nn.CrossEntropyLoss` does. The bits of a member do not
    depend on the other members.
    """
    if isinstance(each, nn.CrossEntropyLoss):
        of_rows = each(outputs.flatten(0, 1), targets.flatten()).view(targets.shape)
        if each.weight is None:
            return torch.mean(of_rows, dim=1)
        return torch.sum(of_rows, dim=1) / each.weight.to(outputs)[targets].sum(1)
    of_numbers = steadily(each, outputs, targets) if isinstance(each, nn.BCEWithLogitsLoss) else each(outputs, targets)
    return torch.mean(of_numbers.flatten(1), dim=1)
