"""Targets to the numbers that the loss compares with, and back."""

import operator
from collections.abc import Iterable
from typing import Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from torchlane.core.encoding.fitted import Fitted
from torchlane.core.encoding.scales import apply_scale, require_finite, scale_of, to_float32
from torchlane.core.options import TaskName
from torchlane.core.rows.levels import natural_order, restore_labels


class TargetEncoder(Fitted):
    """The target as a scaled number (regression) or as the index of its label (classification)."""

    name: str
    task: TaskName
    factor: float = 1.0
    offset: float = 0.0
    labels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()  # rows of train per label
    weights: tuple[float, ...] = Field(
        default=(), exclude_if=operator.not_
    )  # their weights, in units of the mean weight

    @classmethod
    def fit(cls, values: pd.Series, task: TaskName, scaling: Literal["none", "min_max", "z_score"]) -> Self:
        """Learn the scale or the labels.

        Raises:
            ValueError: train has too few or too many labels for the task, or its numbers are so large that
                the scaling cannot be undone.
        """
        name = str(values.name)
        if task == "regression":
            factor, offset = scale_of(values.to_numpy(np.float64), scaling)
            require_finite([offset, 1 / factor if factor else np.inf], name)
            return cls(name=name, task=task, factor=factor, offset=offset)
        labels = natural_order(values.unique())
        if len(labels) < 2 or (task == "binary" and len(labels) > 2):
            needed = "exactly 2" if task == "binary" else "at least 2"
            raise ValueError(
                f"a {task} task needs {needed} labels in train; '{name}' has {len(labels)}: "
                f"{', '.join(labels)}; set data.task or data.target, or give more rows"
            )
        counts = values.value_counts()[list(labels)]
        return cls(name=name, task=task, labels=labels, counts=tuple(map(int, counts)))

    def weighted(self, train_rows: pd.DataFrame, weight: str | None) -> Self:
        """Add up the weights of each label, if the column `weight` of the rows of train holds weights."""
        if weight is None or not self.labels:
            return self
        relative = train_rows[weight] / train_rows[weight].mean()
        sums = relative.groupby(train_rows[self.name]).sum().reindex(list(self.labels), fill_value=0.0)
        return self.model_copy(update={"weights": tuple(map(float, sums))})

    @property
    def label_sizes(self) -> tuple[float, ...]:
        """How much each label has of train: its weight if rows have weights, otherwise its rows."""
        return self.weights or self.counts

    def encode(self, values: pd.Series) -> np.ndarray:
        """Map raw targets to float32 (n_rows, 1) for regression and binary, int64 (n_rows,) for multiclass.

        Raises:
            ValueError: a label does not occur in train, or a scaled number does not fit float32.
        """
        if self.task == "regression":
            return to_float32(apply_scale(values.to_numpy(np.float64), self.factor, self.offset), self.name)[:, None]
        index = self.label_index(values)
        return index.astype(np.float32)[:, None] if self.task == "binary" else index

    def label_index(self, values: pd.Series) -> np.ndarray:
        """Find the index of each label in `labels`: int64 (n_rows,)."""
        index = pd.Index(self.labels).get_indexer(pd.Index(values))
        if (index < 0).any():
            unseen = natural_order(values[index < 0].unique())
            raise ValueError(
                f"label {', '.join(unseen)} of '{self.name}' occurs in valid or test but not in train; "
                f"give more rows of it, or set another split.seed"
            )
        return index

    def restore(self, labels: Iterable[str]) -> np.ndarray:
        """Convert labels to the type that they had in the raw file; see `restore_labels`."""
        return restore_labels(labels, self.labels)

    def decode(self, scaled: torch.Tensor) -> torch.Tensor:
        """Undo the scaling of a regression target, in float64 and any shape."""
        return (scaled.double() - self.offset) / self.factor
