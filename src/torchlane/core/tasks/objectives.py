"""The objective of a training."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.options import LossOptions
from torchlane.core.tasks.losses import member_losses, without_mean
from torchlane.core.tasks.tasks import TASKS, Task, make_loss


@dataclass(frozen=True)
class Objective:
    """The loss that training minimises, with the task and target that it belongs to."""

    task: Task
    criterion: nn.Module
    target: TargetEncoder
    loss_name: str | None = None

    @classmethod
    def of(cls, target: TargetEncoder, loss: LossOptions | str | None = None) -> "Objective":
        """Look up the loss and the metrics of a task. A string gives only the name of the loss.

        Raises:
            ValueError: the loss does not fit the task, or a weight is given for a label that train does not have.
        """
        options = loss if isinstance(loss, LossOptions) else LossOptions.model_validate({"name": loss})
        criterion = make_loss(target.task, options.name, _class_weights(target, options), options.label_smoothing)
        return cls(TASKS[target.task], criterion, target, options.name)

    def loss(self, outputs: Tensor, targets: Tensor) -> float:
        """Compute the loss of outputs (n_rows, width) and encoded targets, in float64."""
        return float(self.criterion(outputs.double(), targets.double() if targets.is_floating_point() else targets))

    def row_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each row of a regression: both (members, n_rows, 1), to float64 (members, n_rows)."""
        losses: Tensor = self._each(outputs.double(), targets.double()).squeeze(-1)
        return losses

    def scores(self, outputs: Tensor, targets: Tensor) -> list[float]:
        """Compute the primary metric of outputs (members, n_rows, width) and their targets; NaN where undefined."""
        scores: list[float] = self.task.primary(outputs, targets).tolist()
        return scores

    def member_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each member, with gradients: (members, n_rows, width) and targets to (members,)."""
        return member_losses(self._each, outputs, targets)

    @cached_property
    def _each(self) -> nn.Module:
        return without_mean(self.criterion)


def _class_weights(target: TargetEncoder, options: LossOptions) -> Tensor | None:
    """Compute the weight of each label, float32 (n_labels,); None if all count the same."""
    weights = options.class_weights
    if weights is None:
        return None
    if weights == "balanced":
        # A class kept from a parent may have no rows.
        counts = torch.tensor(target.counts, dtype=torch.float64).clamp_min(1)
        return (counts.sum() / (len(counts) * counts)).float()
    for label in weights:
        if label not in target.labels:
            known = ", ".join(target.labels) or f"none, since the task is {target.task}"
            raise ValueError(
                f"training.loss.class_weights names '{label}', which is not a label of '{target.name}' in train; "
                f"the labels are {known}"
            )
    return torch.tensor([weights.get(label, 1.0) for label in target.labels])
