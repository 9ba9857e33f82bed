"""What training makes small."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from torchlane.core.encoders import TargetEncoder
from torchlane.core.options import LossOptions
from torchlane.core.tasks import TASKS, Task, make_loss


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

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The primary metric in raw units; NaN where it is not defined (one row, one class)."""
        truth = (
            self.target.decode(targets.squeeze(-1)) if self.target.task == "regression" else targets.flatten().long()
        )
        return self.task.score(self.task.primary_metric, self.task.predict(outputs, self.target), truth)


def _class_weights(target: TargetEncoder, options: LossOptions) -> Tensor | None:
    """Give a weight a label, float32 (n_labels,), or None where all count the same."""
    weights = options.class_weights
    if weights is None:
        return None
    if weights == "balanced":
        counts = torch.tensor(target.counts, dtype=torch.float64)
        return (counts.sum() / (len(counts) * counts)).float()
    for label in weights:
        if label not in target.labels:
            known = ", ".join(target.labels) or f"none, since the task is {target.task}"
            raise ValueError(
                f"training.loss.class_weights names '{label}', which is no label of '{target.name}' in train: {known}"
            )
    return torch.tensor([weights.get(label, 1.0) for label in target.labels])
