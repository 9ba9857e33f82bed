"""How the values of columns are distributed in each part of the rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from torchlane.core.options import ColumnOptions, DataOptions
from torchlane.core.rows.dates import instants_of, moments_of
from torchlane.core.rows.levels import declared_order

MOST_COLUMNS = 50  # whose distributions are given: the target and the first features
MOST_LEVELS = 20  # the commonest ones; all others share one
FEW_NUMBERS = 10  # distinct numbers up to which each stands for itself
BINS = 20
TAILS = (0.005, 0.995)  # bins have equal widths between these quantiles; the outer ones hold what lies beyond, too
VALUES_AT_ONCE = 4_000_000


def count_distinct(rows: pd.DataFrame, columns: Mapping[str, ColumnOptions]) -> dict[str, int | None]:
    """Count the distinct values of each column, without missing ones; those of images are not counted."""
    found: dict[str, int | None] = {}
    numbers = [name for name, column in columns.items() if column.kind == "number"]
    step = max(1, VALUES_AT_ONCE // max(1, len(rows)))
    for some in (numbers[start : start + step] for start in range(0, len(numbers), step)):
        values = np.sort(rows[some].to_numpy(np.float64), axis=0)  # NaN come last
        differ = np.ones(values.shape, dtype=bool)
        differ[1:] = values[1:] != values[:-1]
        found |= zip(some, map(int, (differ & ~np.isnan(values)).sum(axis=0)), strict=True)
    for name, column in columns.items():
        if column.kind != "number":
            found[name] = None if column.kind == "image" else int(rows[name].nunique())
    return {name: found[name] for name in columns}


def distributions_of(
    rows: pd.DataFrame, parts: Mapping[str, np.ndarray], data: DataOptions, distinct: Mapping[str, int | None]
) -> dict[str, dict[str, Any]]:
    """Describe the distribution of the target and of features in each part, as shares of its known values.

    `parts` has the positions of each part's rows, int64 (n_rows,). A column has `kind`, `unit`, `missing` (the share
    of missing values in each part) and `parts`. Numbers and dates have the `edges` of bins, of which the outer ones
    hold what lies beyond, too. Categories, and numbers of few distinct values, have `levels`; if there are further
    ones, `others` is their number and each part has one more share, for all of them.
    """
    described = {}
    for name, column in {data.target: data.target_column, **data.feature_columns}.items():
        if column.kind == "image":
            continue
        values = rows[name]
        if column.kind == "category" or (column.kind == "number" and (distinct[name] or 0) <= FEW_NUMBERS):
            bins, about = _levels(values, column)
        else:
            bins, about = _bins(values, column.kind)
        n_bins = len(about["levels"]) + bool(about["others"]) if "levels" in about else len(about["edges"]) - 1
        described[name] = {
            "kind": column.kind,
            "unit": column.unit,
            **about,
            "missing": {part: float((bins[where] < 0).mean()) if len(where) else 0.0 for part, where in parts.items()},
            "parts": {part: _shares(bins[where], n_bins) for part, where in parts.items()},
        }
        if len(described) == MOST_COLUMNS:
            break
    return described


def _levels(values: pd.Series, column: ColumnOptions) -> tuple[np.ndarray, dict[str, Any]]:
    """Find the place of each value among the levels shown, int64 (n_rows,), -1 where it is missing."""
    codes, found = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(found))
    commonest = found[np.argsort(-counts, kind="stable")[:MOST_LEVELS]]
    if column.kind == "number":
        shown = np.sort(np.asarray(commonest, dtype=np.float64))
        levels = [f"{level:.15g}" for level in shown]
    else:
        shown = np.array(declared_order(commonest, column.level_order), dtype=object)
        levels = list(shown)
    place = np.full(len(found) + 1, len(levels))  # the last one is of missing values
    place[pd.Index(found).get_indexer(pd.Index(shown))] = np.arange(len(levels))
    place[-1] = -1
    return place[codes], {"levels": levels, "others": len(found) - len(levels)}


def _bins(values: pd.Series, kind: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Find the bin of each number or date, int64 (n_rows,), -1 where it is missing."""
    missing = values.isna().to_numpy()
    numbers = instants_of(values).astype(np.float64) if kind == "date" else values.to_numpy(np.float64)
    known = numbers[~missing]
    low, high = np.quantile(known, TAILS) if len(known) else (0.0, 1.0)
    if not low < high:  # nearly all values are equal
        low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    edges = np.unique(np.linspace(low, high, BINS + 1)) if low < high else np.array([low, low])
    bins = np.searchsorted(edges[1:-1], numbers, side="right")
    if kind == "date":
        moments = moments_of(edges.round().astype(np.int64), values.dt.tz)
        return np.where(missing, -1, bins), {"edges": [moment.isoformat() for moment in moments]}
    return np.where(missing, -1, bins), {"edges": edges.tolist()}


def _shares(bins: np.ndarray, n_bins: int) -> list[float]:
    counts = np.bincount(bins[bins >= 0], minlength=n_bins)
    return (counts / max(1, counts.sum())).tolist()
