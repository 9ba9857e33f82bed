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

    def batch_loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Compute the loss of one batch, with gradients; `weights` (n_rows,) are those of `member_losses`."""
        if weights is None:
            loss: Tensor = self.criterion(outputs, targets)
            return loss
        return self.member_losses(outputs[None], targets[None], weights[None])[0]

    def loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> float:
        """Compute the mean loss of outputs (n_rows, width) and encoded targets, in float64; weights are (n_rows,)."""
        targets = targets.double() if targets.is_floating_point() else targets
        return float(self.batch_loss(outputs.double(), targets, None if weights is None else weights / weights.mean()))

    def row_losses(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Compute the loss of each row of a regression: both (members, n_rows, 1), to float64 (members, n_rows).

        The loss of a row of weight w is that of w rows; weights are (members, n_rows).
        """
        losses: Tensor = self._each(outputs.double(), targets.double()).squeeze(-1)
        return losses if weights is None else losses * weights

    def scores(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> list[float]:
        """Compute the primary metric of outputs (members, n_rows, width) and their targets; NaN where undefined."""
        scores: list[float] = self.task.primary(outputs, targets, weights).tolist()
        return scores

    def member_losses(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Compute the loss of each member, with gradients: (members, n_rows, width) and targets to (members,)."""
        return member_losses(self._each, outputs, targets, weights)

    @cached_property
    def _each(self) -> nn.Module:
        return without_mean(self.criterion)


def _class_weights(target: TargetEncoder, options: LossOptions) -> Tensor | None:
    """Compute the weight of each label, float32 (n_labels,); None if all count the same."""
    weights = options.class_weights
    if weights is None:
        return None
    if weights == "balanced":
        # A class kept from a parent may have no rows; it counts as one.
        counts = torch.tensor(target.label_sizes, dtype=torch.float64)
        counts = torch.where(counts > 0, counts, 1)
        return (counts.sum() / (len(counts) * counts)).float()
    for label in weights:
        if label not in target.labels:
            known = ", ".join(target.labels) or f"none, since the task is {target.task}"
            raise ValueError(
                f"training.loss.class_weights names '{label}', which is not a label of '{target.name}' in train; "
                f"the labels are {known}"
            )
    return torch.tensor([weights.get(label, 1.0) for label in target.labels])
