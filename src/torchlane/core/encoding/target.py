"""Targets to the numbers that the loss compares with, and back."""

import operator
from collections.abc import Iterable, Mapping
from typing import Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from torchlane.core.encoding.fitted import Fitted
from torchlane.core.encoding.scales import apply_scale, require_finite, scale_of, to_float32
from torchlane.core.options import DataOptions, TaskName
from torchlane.core.rows.levels import declared_order, natural_order, restore_labels


class TargetEncoder(Fitted):
    """The target as a scaled number (regression) or as the index of its label (classification).

    Of the labels of a binary task, the second is the positive one. The others stand in their natural order.
    """

    name: str
    task: TaskName
    factor: float = 1.0
    offset: float = 0.0
    labels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()  # rows of train per label
    written: dict[str, str] = Field(default={}, exclude_if=operator.not_)  # labels that the file spells otherwise
    weights: tuple[float, ...] = Field(default=(), exclude_if=operator.not_)  # of labels, in units of the mean weight

    @classmethod
    def fit(
        cls,
        values: pd.Series,
        task: TaskName,
        scaling: Literal["none", "min_max", "z_score"],
        positive: str | None = None,
        order: tuple[str, ...] = (),
    ) -> Self:
        """Learn the scale or the labels; `positive` is `data.positive`.

        The labels of a multiclass task follow the declared `order`.

        Raises:
            ValueError: train has too few or too many labels for the task, or its numbers are so large that
                the scaling cannot be undone; or `positive` is not a label in train.
        """
        name = str(values.name)
        if task == "regression":
            factor, offset = map(float, scale_of(values.to_numpy(np.float64), scaling))
            require_finite([offset, 1 / factor if factor else np.inf], name)
            return cls(name=name, task=task, factor=factor, offset=offset)
        labels = declared_order(values.unique(), order if task == "multiclass" else ())
        if len(labels) < 2 or (task == "binary" and len(labels) > 2):
            needed = "exactly 2" if task == "binary" else "at least 2"
            raise ValueError(
                f"a {task} task needs {needed} labels in train; '{name}' has {len(labels)}: "
                f"{', '.join(labels)}; set data.task or data.target, or give more rows"
            )
        return cls.of_labels(name, task, labels, values, positive)

    @classmethod
    def of_labels(
        cls, name: str, task: TaskName, labels: tuple[str, ...], values: pd.Series, positive: str | None = None
    ) -> Self:
        """Count the rows of each label in train, and put the positive one of a binary task last.

        Without `positive` it is the rarer one, and of equally many rows the later one in `labels`.

        Raises:
            ValueError: `positive` is not one of the labels.
        """
        counts = values.value_counts().reindex(list(labels), fill_value=0)
        if task == "binary":
            if positive is not None and positive not in labels:
                raise ValueError(
                    f"data.positive '{positive}' is not a label of '{name}' in train; "
                    f"set it to one of {', '.join(labels)}"
                )
            first, second = labels
            last = positive or (first if counts[first] < counts[second] else second)
            labels = (second, first) if last == first else labels
        return cls(name=name, task=task, labels=labels, counts=tuple(int(counts[label]) for label in labels))

    @property
    def positive(self) -> str | None:
        """The positive label of a binary task; None for other tasks."""
        return self.labels[1] if self.task == "binary" and self.labels else None

    def keep_positive(self, data: DataOptions) -> DataOptions:
        """Return options for further encoders of the same target, whose positive label is that of this one."""
        return data.model_copy(update={"positive": self.positive}) if self.positive else data

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
        """Convert labels to the type and the spelling that they had in the raw file; see `restore_labels`."""
        return restore_labels(labels, self.labels, self.written)

    def spelt(self, written: Mapping[str, str]) -> Self:
        """Remember how the file spells labels; see `torchlane.core.rows.checking.spellings_of`."""
        known = {label: written[label] for label in self.labels if label in written}
        return self.model_copy(update={"written": known}) if known else self

    def decode(self, scaled: torch.Tensor) -> torch.Tensor:
        """Undo the scaling of a regression target, in float64 and any shape."""
        return (scaled.double() - self.offset) / self.factor
