"""What training makes small."""

from dataclasses import dataclass

from torch import Tensor, nn

from torchlane.core.encoders import TargetEncoder
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

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The primary metric in raw units; NaN where it is not defined (one row, one class)."""
        truth = (
            self.target.decode(targets.squeeze(-1)) if self.target.task == "regression" else targets.flatten().long()
        )
        return self.task.score(self.task.primary_metric, self.task.predict(outputs, self.target), truth)
