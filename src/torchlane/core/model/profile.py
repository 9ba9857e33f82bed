"""The distribution of features and predictions in train, in a summary that fits into the model file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from torchlane.core.encoding.columns import CategoryEncoder, NumberEncoder
from torchlane.core.encoding.dates import DateEncoder
from torchlane.core.encoding.images import ImageEncoder
from torchlane.core.rows.values import as_levels

if TYPE_CHECKING:
    from torchlane.core.model.trained import TrainedModel

BINS = 10  # bins of a number: deciles of train
SMOOTHING = 0.5  # added to each count, since the logarithm of 0 is infinite (Jeffreys' prior)
DECILES = np.linspace(0, 1, BINS + 1)[1:-1]
COMMON = 20  # levels with their own bin; rarer levels share one


def summarise_training(rows: int, predictions: pd.Series, labels: tuple[str, ...]) -> dict[str, Any]:
    """Summarise what the encoder does not know: the number of train rows and the distribution of predictions.

    `predictions` are values, or some of `labels` in any type. They should be of rows that the model was not
    fitted to.
    """
    if not labels:
        deciles = np.quantile(predictions, DECILES) if len(predictions) else np.zeros(0)
        edges = np.unique(deciles)
        counts = np.bincount(np.searchsorted(edges, predictions), minlength=len(edges) + 1)
        return {"rows": rows, "edges": edges.tolist(), "counts": counts.tolist()}
    predicted = as_levels(predictions, ()).value_counts()
    return {"rows": rows, "labels": {label: int(predicted.get(label, 0)) for label in labels}}


@dataclass(frozen=True)
class ColumnProfile:
    """The bins of one column: how values fall into them, and the share of train rows in each (n_bins,)."""

    shares: np.ndarray
    rows: int
    edges: np.ndarray = field(default_factory=lambda: np.zeros(0))  # of numbers; missing values are in the last bin
    encoder: CategoryEncoder | None = None
    merged: np.ndarray | None = None  # int64: the bin of each code of a category

    def bins(self, values: pd.Series) -> np.ndarray:
        if self.encoder is not None and self.merged is not None:
            return self.merged[self.encoder.codes(values)]
        bins = np.searchsorted(self.edges, values.to_numpy(np.float64)) if len(self.edges) else 0  # 0: a date
        return np.where(values.isna(), len(self.shares) - 1, bins)


@dataclass(frozen=True)
class Profile:
    """The distribution of every feature and of the predictions when the model was trained."""

    columns: Mapping[str, ColumnProfile]
    predictions: ColumnProfile | None
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: "TrainedModel") -> Self:
        """Build the profile from the encoder and from the result of `summarise_training` in the model's details."""
        summary = model.details.get("profile", {})
        categories = [sum(column.counts) for column in model.encoder.columns if column.kind == "category"]
        rows = summary.get("rows") or (categories[0] if categories else 0)
        columns = {
            column.name: _of_column(column, rows)
            for column in model.encoder.columns
            if not isinstance(column, ImageEncoder)
        }
        labels = model.encoder.target.labels
        predictions = None
        if "edges" in summary:
            predictions = _of_counts(summary["counts"], edges=np.array(summary["edges"]))
        elif "labels" in summary:
            predictions = _of_counts([summary["labels"].get(label, 0) for label in labels])
        return cls(columns, predictions, labels)

    def width(self, name: str) -> int:
        """The number of bins of a feature."""
        return len(self.columns[name].shares)

    def bins(self, name: str, values: pd.Series) -> np.ndarray:
        """Find the bin of each checked value of a feature: int64 (n_values,)."""
        return self.columns[name].bins(values)

    def count_predictions(self, predictions: pd.Series, index: np.ndarray | None) -> np.ndarray:
        """Count predictions by bin; `index` (n_rows,) gives the prediction of each row, if rows share them."""
        if self.predictions is None:
            return np.zeros(0, dtype=np.int64)
        if self.labels:
            bins = pd.Index(self.labels).get_indexer(pd.Index(as_levels(predictions, ())))
        else:
            bins = np.searchsorted(self.predictions.edges, predictions.to_numpy(np.float64))
        return np.bincount(bins if index is None else bins[index], minlength=len(self.predictions.shares))


def _of_column(column: CategoryEncoder | NumberEncoder | DateEncoder, rows: int) -> ColumnProfile:
    if isinstance(column, CategoryEncoder):
        return _of_category(column)
    return _of_date(column, rows) if isinstance(column, DateEncoder) else _of_number(column, rows)


def _of_category(column: CategoryEncoder) -> ColumnProfile:
    """Make one bin for each of the most common levels, one for all others, one for unseen and one for missing."""
    counts = np.array(column.counts, dtype=np.int64)
    rest = column.unseen + np.arange(2)
    levels = np.delete(np.arange(len(counts)), rest)
    common = np.sort(levels[np.argsort(-counts[levels], kind="stable")[:COMMON]])
    n_rare = int(len(levels) > COMMON)
    merged = np.full(len(counts), len(common), dtype=np.int64)
    merged[common] = np.arange(len(common))
    merged[rest] = len(common) + n_rare + np.arange(2)
    return _of_counts(np.bincount(merged, weights=counts), encoder=column, merged=merged)


def _of_number(column: NumberEncoder, rows: int) -> ColumnProfile:
    """Make bins of the deciles of train, with equal ones merged, and one bin for missing values."""
    quantiles = np.array(column.quantiles)
    known = max(rows - column.missing, 1) if rows else len(quantiles)
    edges = np.unique(np.quantile(quantiles, DECILES))
    ends = quantiles[1:]  # each of an equal share of train, that from the quantile before
    shares = np.bincount(np.searchsorted(edges, ends), minlength=len(edges) + 1) / len(ends)
    return _of_counts(np.append(shares * known, column.missing), edges=edges)


def _of_date(column: DateEncoder, rows: int) -> ColumnProfile:
    """Make one bin for dates and one for missing ones: later rows have later dates, which is no drift."""
    known = max(rows - column.missing, 1) if rows else len(column.elapsed.quantiles)
    return _of_counts([known, column.missing])


def _of_counts(counts: "np.ndarray | list[int]", **bins: Any) -> ColumnProfile:
    smoothed = np.asarray(counts, dtype=np.float64) + SMOOTHING
    return ColumnProfile(smoothed / smoothed.sum(), rows=round(float(np.sum(counts))), **bins)
