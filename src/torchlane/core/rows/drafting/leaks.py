"""Columns that give away the target, or repeat another column."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from torchlane.core.rows.drafting.column import MOST_LEVELS
from torchlane.core.rows.drafting.numbers import are_whole
from torchlane.core.rows.drafting.seen import SeenColumn

FEWEST_ROWS = 20  # below which a relation to the target may be chance
NEARLY_ALL = 0.999  # a correlation, or a fraction of the variance, that only a copy of the target has
SAME_RATIO = 0.01  # as rounded amounts in two units have
FEWEST_REPEATS = 4  # rows for each value of a column, on average, that can prove anything
FEWEST_ERRORS = 5  # made without the column, below which that it makes none is chance
SHORTEST = 3  # letters of a target's name that are no coincidence within another name
MOST_ERRORS = 0.005  # of those made without the column, that one which gives away the labels leaves


class Leak(NamedTuple):
    """How a column gives away the target, and whether it is the target in other words."""

    how: str
    is_copy: bool


@dataclass(frozen=True)
class Target:
    """The target of each row: `numbers` (n_rows,) and NaN where missing, or `labels`, int64 (n_rows,) and -1."""

    numbers: np.ndarray | None
    labels: np.ndarray

    @cached_property
    def ranks(self) -> np.ndarray:
        """The ranks of `numbers`, float64 (n_rows,), computed once for all columns; none for labels."""
        return _ranks(np.zeros(0) if self.numbers is None else self.numbers)


def target_of(column: SeenColumn, numbers: np.ndarray | None) -> Target:
    """Take the target as labels, or as numbers if they have a fraction or many values. `numbers` are by text."""
    if numbers is None or (column.n_distinct <= MOST_LEVELS and are_whole(numbers)):
        return Target(None, column.codes)
    return Target(column.by_row(numbers), column.codes)


def find_leak(column: SeenColumn, numbers: np.ndarray | None, target: Target) -> Leak | None:
    """Find out whether a column gives away the target. `numbers` (n_distinct,) are those of its texts.

    It is a copy of the target, maybe in another unit, or each of its values comes with one label or number of
    the target. It nearly gives the target if that is nearly a linear or monotone function of its numbers, or if
    bounds between its numbers separate the labels. One pass over the rows.
    """
    if target.numbers is None:
        return _of_labels(column, numbers, target.labels)
    if numbers is None:
        return _explained(column, target.numbers)
    leak = _of_numbers(column.by_row(numbers), target.numbers, target.ranks)
    return leak or _explained(column, target.numbers)


def is_named_after(name: str, target: str) -> bool:
    """Whether the name of a column holds that of the target, as `logwage` and `log_y` do."""
    name, target = name.lower(), target.lower()
    return target in re.split(r"[\W_]+", name) or (len(target) >= SHORTEST and target in name)


def _of_numbers(x: np.ndarray, y: np.ndarray, ranks_of_y: np.ndarray) -> Leak | None:
    both = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[both], y[both]
    if len(x) < max(FEWEST_ROWS, len(both) / 2) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    if (x == y).all():
        return Leak("it is equal to it", True)
    linear = abs(_correlation(x, y)) > NEARLY_ALL
    if linear and np.allclose(x * (y @ x), y * (x @ x), rtol=SAME_RATIO):
        return Leak("both always have nearly the same ratio, as amounts in two units have", True)
    if linear:
        return Leak("both lie nearly on a straight line", False)
    if abs(_correlation(_ranks(x), ranks_of_y if both.all() else _ranks(y))) > NEARLY_ALL:
        return Leak("both rise or fall together in nearly every row", False)
    return None


def _explained(column: SeenColumn, target: np.ndarray) -> Leak | None:
    """Find out whether each value comes with one number of the target, so that nearly none of the variance is left."""
    known = ~np.isnan(target)
    codes, y = column.codes[known] + 1, target[known]
    counts = np.bincount(codes, minlength=1)
    if len(y) < max(FEWEST_ROWS, FEWEST_REPEATS * (counts > 0).sum()):
        return None
    y = y - y.mean()
    left = y - (np.bincount(codes, y) / np.maximum(counts, 1))[codes]
    n_others = counts[codes] - 1
    left = np.where(n_others > 0, left * counts[codes] / np.maximum(n_others, 1), y)  # beside the mean of the others
    explained = (left**2).sum() < (1 - NEARLY_ALL) * (y**2).sum()
    return Leak("each of its values comes with one value of it", True) if explained else None


def _of_labels(column: SeenColumn, numbers: np.ndarray | None, labels: np.ndarray) -> Leak | None:
    known = labels >= 0
    y = labels[known]
    if len(y) < FEWEST_ROWS:
        return None
    if _determined(column.codes[known] + 1, y):
        return Leak("each of its values comes with one label", True)
    x = np.array([]) if numbers is None else column.by_row(numbers)[known]
    n_labels = len(np.unique(y))
    if numbers is None or np.isnan(x).any() or len(y) - np.bincount(y).max() < FEWEST_ERRORS:
        return None
    if min(column.n_distinct, len(x)) < 2 * n_labels:
        return None
    n_bounds = int((np.diff(y[np.lexsort((y, x))]) != 0).sum())
    return Leak("bounds between its numbers separate the labels", False) if n_bounds == n_labels - 1 else None


def _determined(codes: np.ndarray, labels: np.ndarray) -> bool:
    """Whether each value comes with one label, going by values that stand in several rows."""
    repeated = np.bincount(codes)[codes] > 1
    n_rows, (codes, labels) = len(codes), (codes[repeated], labels[repeated])
    if len(codes) <= max(n_rows / 2, FEWEST_REPEATS * len(np.unique(codes))):
        return False
    pairs, counts = np.unique(codes * (labels.max() + 1) + labels, return_counts=True)
    starts = np.flatnonzero(np.diff(pairs // (labels.max() + 1), prepend=-1))
    n_errors = len(codes) - np.maximum.reduceat(counts, starts).sum()
    n_errors_without = len(codes) - np.bincount(labels).max()
    return bool(n_errors_without >= FEWEST_ERRORS and n_errors <= MOST_ERRORS * n_errors_without)


def find_equal(columns: dict[str, tuple[SeenColumn, np.ndarray | None]]) -> dict[str, str]:
    """Find columns that agree with an earlier one in every row, as numbers or up to the names of levels."""
    first: dict[bytes, str] = {}
    equal: dict[str, str] = {}
    for name, (column, numbers) in columns.items():
        key = column.codes.tobytes() if numbers is None else column.by_row(numbers).tobytes()
        if (other := first.setdefault(key, name)) != name:
            equal[name] = other
    return equal


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    """Rank values from 1 on, equal ones by the mean of their ranks: float64 (n_values,).

    >>> _ranks(np.array([2.0, 1.0, 2.0, 7.0])).tolist()
    [2.5, 1.0, 2.5, 4.0]
    """
    order = np.argsort(values)
    ordered = values[order]
    begins = np.append(True, ordered[1:] != ordered[:-1])[: len(values)]
    starts = np.flatnonzero(begins)
    means = (starts + np.append(starts[1:], len(values))[: len(starts)] + 1) / 2
    ranks = np.empty(len(values))
    ranks[order] = means[np.cumsum(begins) - 1]
    return ranks
