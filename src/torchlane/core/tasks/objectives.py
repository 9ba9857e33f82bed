"""What training makes small."""

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
    """What training makes small, and the metric people read beside it."""

    task: Task
    criterion: nn.Module
    target: TargetEncoder
    loss_name: str | None = None

    @classmethod
    def of(cls, target: TargetEncoder, loss: LossOptions | str | None = None) -> "Objective":
        """Take the task's losses and metrics from the table; a text names the loss alone.

        Raises:
            ValueError: the loss does not fit the task, or weights are given for labels that train does not have.
        """
        options = loss if isinstance(loss, LossOptions) else LossOptions.model_validate({"name": loss})
        criterion = make_loss(target.task, options.name, _class_weights(target, options), options.label_smoothing)
        return cls(TASKS[target.task], criterion, target, options.name)

    def loss(self, outputs: Tensor, targets: Tensor) -> float:
        """The criterion on outputs (n_rows, width) and encoded targets, summed up in float64."""
        return float(self.criterion(outputs.double(), targets.double() if targets.is_floating_point() else targets))

    def row_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The criterion for each row of a regression: (members, n_rows, 1) both, to float64 (members, n_rows)."""
        losses: Tensor = self._each(outputs.double(), targets.double()).squeeze(-1)
        return losses

    def scores(self, outputs: Tensor, targets: Tensor) -> list[float]:
        """The primary metric of outputs (members, n_rows, width) and their targets; NaN where it is not defined."""
        scores: list[float] = self.task.primary(outputs, targets).tolist()
        return scores

    def member_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The criterion for each member, to be made small: (members, n_rows, width) and targets to (members,)."""
        return member_losses(self._each, outputs, targets)

    @cached_property
    def _each(self) -> nn.Module:
        return without_mean(self.criterion)


def _class_weights(target: TargetEncoder, options: LossOptions) -> Tensor | None:
    """Give a weight a label, float32 (n_labels,), or None where all count the same."""
    weights = options.class_weights
    if weights is None:
        return None
    if weights == "balanced":
        counts = torch.tensor(target.counts, dtype=torch.float64).clamp_min(
            1
        )  # a class kept from a parent may have none
        return (counts.sum() / (len(counts) * counts)).float()
    for label in weights:
        if label not in target.labels:
            known = ", ".join(target.labels) or f"none, since the task is {target.task}"
            raise ValueError(
                f"training.loss.class_weights names '{label}', which is no label of '{target.name}' in train: {known}"
            )
    return torch.tensor([weights.get(label, 1.0) for label in target.labels])
