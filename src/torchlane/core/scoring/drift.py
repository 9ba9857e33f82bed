"""How far rows to score are from the rows of train, by small summaries that the model file holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from torchlane.core.encoding.encoders import CategoryEncoder, NumberEncoder
from torchlane.core.options import DriftOptions

if TYPE_CHECKING:
    from torchlane.core.model.trained import TrainedModel

PREDICTION = "(prediction)"  # in parentheses, so that no column of a file is named so by chance
BINS = 10  # of a number; deciles of train
SMOOTHING = 0.5  # added to each count, so that an empty bin has a logarithm (Jeffreys' prior)
DECILES = np.linspace(0, 1, BINS + 1)[1:-1]
COMMON = 20  # levels with a bin of their own; the rarer ones share one


def summarise_training(rows: int, predictions: pd.Series, labels: tuple[str, ...]) -> dict[str, Any]:
    """Give what the encoder does not hold: the number of train rows, and how predictions are distributed.

    `predictions` are best made for rows that the model was not fitted to: values, or some of `labels`,
    of whatever type.
    """
    if not labels:
        deciles = np.quantile(predictions, DECILES) if len(predictions) else np.zeros(0)
        edges = np.unique(deciles)
        counts = np.bincount(np.searchsorted(edges, predictions), minlength=len(edges) + 1)
        return {"rows": rows, "edges": edges.tolist(), "counts": counts.tolist()}
    predicted = predictions.astype("str").value_counts()
    return {"rows": rows, "labels": {label: int(predicted.get(label, 0)) for label in labels}}


@dataclass(frozen=True)
class _ColumnProfile:
    """The bins of one column: shares (n_bins,) of the rows it was made from, and how values are put into them."""

    shares: np.ndarray
    rows: int
    edges: np.ndarray = field(default_factory=lambda: np.zeros(0))  # of numbers; a missing one is in the last bin
    encoder: CategoryEncoder | None = None
    merged: np.ndarray | None = None  # int64: the bin of each code of a category

    def bins(self, values: pd.Series) -> np.ndarray:
        if self.encoder is not None and self.merged is not None:
            return self.merged[self.encoder.codes(values)]
        bins = np.searchsorted(self.edges, values.to_numpy(np.float64))
        return np.where(values.isna(), len(self.shares) - 1, bins)


@dataclass(frozen=True)
class Profile:
    """The distribution of every feature, and of the predictions, as the model knew them."""

    columns: Mapping[str, _ColumnProfile]
    predictions: _ColumnProfile | None
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: "TrainedModel") -> Self:
        """Take it from the encoder and from what `summarise_training` left in the model's details."""
        summary = model.details.get("profile", {})
        categories = [sum(column.counts) for column in model.encoder.columns if column.kind == "category"]
        rows = summary.get("rows") or (categories[0] if categories else 0)
        columns = {
            column.name: _of_category(column) if column.kind == "category" else _of_number(column, rows)
            for column in model.encoder.columns
            if column.kind != "image"
        }
        labels = model.encoder.target.labels
        predictions = None
        if "edges" in summary:
            predictions = _of_counts(summary["counts"], edges=np.array(summary["edges"]))
        elif "labels" in summary:
            predictions = _of_counts([summary["labels"].get(label, 0) for label in labels])
        return cls(columns, predictions, labels)

    def width(self, name: str) -> int:
        """Say how many bins a feature has."""
        return len(self.columns[name].shares)

    def bins(self, name: str, values: pd.Series) -> np.ndarray:
        """Put checked values of a feature into its bins: int64 (n_values,)."""
        return self.columns[name].bins(values)

    def count_predictions(self, predictions: pd.Series, index: np.ndarray | None) -> np.ndarray:
        """Count predictions, of which each stands for the rows that `index` (n_rows,) gives it."""
        if self.predictions is None:
            return np.zeros(0, dtype=np.int64)
        if self.labels:
            bins = pd.Index(self.labels).get_indexer(pd.Index(predictions.astype("str")))
        else:
            bins = np.searchsorted(self.predictions.edges, predictions.to_numpy(np.float64))
        return np.bincount(bins if index is None else bins[index], minlength=len(self.predictions.shares))


class Counts:
    """How many rows of a batch fell into each bin, added up chunk by chunk."""

    def __init__(self, profile: Profile):
        self._profile = profile
        self._counts: dict[str, np.ndarray] = {}

    def add(self, counts: Mapping[str, np.ndarray]) -> None:
        """Add the counts of a chunk."""
        for name, each in counts.items():
            self._counts[name] = self._counts.get(name, 0) + each

    def measure(self, options: DriftOptions) -> dict[str, Any]:
        """Compare with train: rows, `columns`, `prediction`, and what is `beyond` a limit, in words.

        Each column has `psi`, the part of it that chance alone brings on average (`chance`), and
        the shares of `missing` values and `unseen` levels beside those of train. A batch with fewer
        rows than `min_rows` is beyond nothing.
        """
        columns: dict[str, dict[str, float]] = {}
        n_rows = 0
        for name, column in self._profile.columns.items():
            counts = self._counts.get(name, np.zeros(len(column.shares), dtype=np.int64))
            n_rows = int(counts.sum())
            columns[name] = _compare(column, counts)
            columns[name] |= _shares_at_the_end(column, counts)
        measured: dict[str, Any] = {"rows": n_rows, "columns": columns, "beyond": []}
        if self._profile.predictions is not None:
            counts = self._counts.get(PREDICTION, np.zeros(len(self._profile.predictions.shares), dtype=np.int64))
            measured["prediction"] = _compare(self._profile.predictions, counts)
        if n_rows >= options.min_rows:
            measured["beyond"] = list(_beyond(measured, options))
        return measured


def population_stability_index(expected: np.ndarray, counts: np.ndarray) -> float:
    """Sum (a - e) ln(a / e) over bins, where a and e are shares (n_bins,); 0 where all is as expected."""
    actual = (counts + SMOOTHING) / (counts.sum() + SMOOTHING * len(counts))
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def _compare(column: _ColumnProfile, counts: np.ndarray) -> dict[str, float]:
    """Give the index, and its mean where only chance is at work: (bins - 1)(1/n + 1/m).

    The latter follows from its chi-square distribution (Yurdakul & Naranjo, 2020).
    """
    n_rows = int(counts.sum())
    if not n_rows:
        return {"psi": 0.0, "chance": 0.0}
    chance = (len(counts) - 1) * (1 / n_rows + 1 / max(column.rows, 1))
    return {"psi": round(population_stability_index(column.shares, counts), 4), "chance": round(chance, 4)}


def _shares_at_the_end(column: _ColumnProfile, counts: np.ndarray) -> dict[str, float]:
    total = max(int(counts.sum()), 1)
    found = {"missing": counts[-1] / total, "train_missing": column.shares[-1]}
    if column.encoder is not None:
        found |= {"unseen": counts[-2] / total, "train_unseen": column.shares[-2]}
    return {name: round(float(share), 4) for name, share in found.items()}


def _beyond(measured: dict[str, Any], options: DriftOptions) -> "list[str]":
    findings = []
    everything = {**measured["columns"], PREDICTION: measured.get("prediction", {"psi": 0.0, "chance": 0.0})}
    for name, each in everything.items():
        shown = "the predictions" if name == PREDICTION else f"'{name}'"
        if each["psi"] > options.max_psi + each["chance"]:
            findings.append(f"{shown} has a stability index of {each['psi']:.2f}, above {options.max_psi:g}")
        for kind, limit in (("missing", options.max_missing), ("unseen", options.max_unseen)):
            if each.get(kind, 0.0) > each.get(f"train_{kind}", 0.0) + limit:
                findings.append(
                    f"{shown} is {kind} in {each[kind]:.1%} of the rows, in train in {each[f'train_{kind}']:.1%}"
                )
    return findings


def _of_category(column: CategoryEncoder) -> _ColumnProfile:
    """One bin for each of the commonest levels, one for the others, one for unseen, one for missing."""
    counts = np.array(column.counts, dtype=np.int64)
    rest = column.unseen + np.arange(2)
    levels = np.delete(np.arange(len(counts)), rest)
    common = np.sort(levels[np.argsort(-counts[levels], kind="stable")[:COMMON]])
    n_rare = int(len(levels) > COMMON)
    merged = np.full(len(counts), len(common), dtype=np.int64)
    merged[common] = np.arange(len(common))
    merged[rest] = len(common) + n_rare + np.arange(2)
    return _of_counts(np.bincount(merged, weights=counts), encoder=column, merged=merged)


def _of_number(column: NumberEncoder, rows: int) -> _ColumnProfile:
    """Deciles of train, those that are equal taken together, and one bin for missing."""
    quantiles = np.array(column.quantiles)
    known = max(rows - column.missing, 1) if rows else len(quantiles)
    edges = np.unique(np.quantile(quantiles, DECILES))
    shares = np.bincount(np.searchsorted(edges, quantiles), minlength=len(edges) + 1) / len(quantiles)
    return _of_counts(np.append(shares * known, column.missing), edges=edges)


def _of_counts(counts: "np.ndarray | list[int]", **bins: Any) -> _ColumnProfile:
    smoothed = np.asarray(counts, dtype=np.float64) + SMOOTHING
    return _ColumnProfile(smoothed / smoothed.sum(), rows=round(float(np.sum(counts))), **bins)
