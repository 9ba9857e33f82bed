"""What training makes small."""

import copy
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn
from torch.func import vmap

from torchlane.core.encoders import TargetEncoder
from torchlane.core.stacking import steadily
from torchlane.core.tasks import TASKS, Task, make_loss


@dataclass(frozen=True)
class Objective:
    """What training makes small, and the metric people read beside it."""

    task: Task
    criterion: nn.Module
    target: TargetEncoder

    @classmethod
    def of(cls, target: TargetEncoder, loss: str | None) -> "Objective":
        """Take the task's losses and metrics from the table."""
        return cls(TASKS[target.task], make_loss(target.task, loss), target)

    def loss(self, outputs: Tensor, targets: Tensor) -> float:
        """The criterion on outputs (n_rows, width) and encoded targets, summed up in float64."""
        return float(self.criterion(outputs.double(), targets.double() if targets.is_floating_point() else targets))

    def scores(self, outputs: Tensor, targets: Tensor) -> list[float]:
        """The primary metric of outputs (members, n_rows, width) and their targets; NaN where it is not defined."""
        scores: list[float] = self.task.primary(outputs, targets).tolist()
        return scores

    def member_losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The criterion for each member, to be made small: (members, n_rows, width) and targets to (members,)."""
        if self._row_criterion is None:
            return vmap(self.criterion)(outputs, targets)
        if isinstance(self.criterion, nn.CrossEntropyLoss):
            each = self._row_criterion(outputs.flatten(0, 1), targets.flatten())
        elif isinstance(self.criterion, nn.BCEWithLogitsLoss):
            each = steadily(self._row_criterion, outputs, targets)
        else:
            each = self._row_criterion(outputs, targets)
        return each.view(len(outputs), -1).mean(1)

    @cached_property
    def _row_criterion(self) -> nn.Module | None:
        """The criterion without its mean over rows, where it is a mean with equal weights."""
        if getattr(self.criterion, "weight", None) is not None:
            return None
        each = copy.copy(self.criterion)
        setattr(each, "reduction", "none")  # noqa: B010
        return each
