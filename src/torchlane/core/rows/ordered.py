"""The split of rows by time, or by any other order: the latest rows are held out."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from torchlane.core.options import DataOptions, SplitOptions
from torchlane.core.rows.checking import ROW
from torchlane.core.rows.dates import instants_of
from torchlane.core.rows.levels import natural_order

MOST_NAMED = 5  # rows that an error names
ORDERED = ("date", "number")  # kinds of columns that can order rows


def order_of(clean_rows: pd.DataFrame, data: DataOptions, by: str) -> np.ndarray:
    """Number the distinct values of a column from the earliest to the latest: int64 (n_rows,).

    Points in time are compared as such, whatever their zones.

    Raises:
        ValueError: the column is not declared, is the target or no date or number, misses values, or has a single one.
    """
    column = data.checked_columns.get(by)
    if column is None:
        raise ValueError(
            f"split.order_by '{by}' is not among data.columns: {', '.join(data.columns)}; declare it there as a date "
            f"or a number, and leave it out of data.features if the model is not to see it"
        )
    if by == data.target:
        raise ValueError(
            f"split.order_by '{by}' is the target, so test would have values that train lacks; name a column that "
            f"says when a row was seen"
        )
    if column.kind not in ORDERED:
        raise ValueError(
            f"split.order_by '{by}' is declared as {'an' if column.kind == 'image' else 'a'} {column.kind}, which has "
            f"no order; set data.columns.{by}.kind to {' or '.join(ORDERED)}, or name another column"
        )
    values = clean_rows[by]
    _require_values(values, clean_rows[ROW], by)
    order = np.unique(instants_of(values) if column.kind == "date" else values.to_numpy(), return_inverse=True)[1]
    if not order.any():
        raise ValueError(
            f"split.order_by '{by}' is {shown_moments(values.iloc[:1])[0]} in all {len(values)} rows, so none is "
            f"later than another; name another column, or leave it out for a random split"
        )
    return order


def _require_values(values: pd.Series, rows: pd.Series, by: str) -> None:
    missing = rows[values.isna()]
    if len(missing):
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        named = f"{'row' if len(missing) == 1 else 'rows'} {', '.join(map(str, missing[:MOST_NAMED]))}{more}"
        raise ValueError(
            f"split.order_by '{by}' is missing in {len(missing)} of {len(rows)} rows ({named}), which have no place in "
            f"the order; fill them in, set data.columns.{by}.nullable to false, which rejects such rows, or name "
            f"another column"
        )


def cut_by_order(order: np.ndarray, options: SplitOptions) -> np.ndarray:
    """Assign rows to parts: the latest to test, those before to valid, the earliest to train.

    `order` is the result of `order_of`. Rows of equal order share a part, and each part is cut where its share
    is nearest to the fraction asked for.

    Raises:
        ValueError: there are fewer distinct values than parts.
    """
    held_out = options.valid_fraction + options.test_fraction
    begins = {"valid": 1 - held_out, "test": 1 - options.test_fraction}  # as a share of the rows
    parts = [part for part, share in (("valid", options.valid_fraction), ("test", options.test_fraction)) if share]
    n_values = int(order.max()) + 1
    if n_values <= len(parts):
        raise ValueError(
            f"split.order_by '{options.order_by}' has {n_values} distinct values in {len(order)} rows, too few for "
            f"{', '.join(['train', *parts])}, since rows of equal value stay together; give more rows, set "
            f"split.valid_fraction or split.test_fraction to 0, or name another column"
        )
    cuts = nearest_cuts(order, [begins[part] * len(order) for part in parts])
    return np.array(["train", *parts])[np.searchsorted(cuts, order, side="right")]


def nearest_cuts(order: np.ndarray, rows_before: Sequence[float], first: int = 1) -> list[int]:
    """Find the values of `order` at which parts begin, such that about so many rows lie before each.

    At least `first` values lie before the first cut, and one between two cuts and after the last. Of two cuts
    that are equally near, the earlier one is taken.

    >>> nearest_cuts(np.array([0, 0, 0, 1, 1, 2, 3, 3]), [4, 6])
    [1, 3]
    """
    before = np.cumsum(np.bincount(order))[:-1]  # how many rows lie before the second value, the third, …
    cuts: list[int] = []
    low = first
    for number, rows in enumerate(rows_before, start=1):
        possible = before[low - 1 : len(before) - len(rows_before) + number]
        cuts.append(low + int(np.argmin(np.abs(possible - rows).round(6))))
        low = cuts[-1] + 1
    return cuts


def expanding_windows(order: np.ndarray, options: SplitOptions, folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Give for each fold the rows before its test block, and those of the block: positions, int64 (n,).

    The blocks follow each other and have about as many rows each; about as many lie before the first of them.

    Raises:
        ValueError: there are too few distinct values for so many folds.
    """
    before_first = 2 if options.valid_fraction else 1
    n_values = int(order.max()) + 1
    if n_values < before_first + folds:
        most = n_values - before_first
        raise ValueError(
            f"evaluation.folds {folds}: '{options.order_by}', which split.order_by names, has {n_values} distinct "
            f"values, and {before_first + folds} are needed: one for each fold and {before_first} before the first; "
            f"set {'at most ' if most > 1 else 'evaluation.folds to '}{most if most > 1 else 0}, or give more rows"
        )
    cuts = nearest_cuts(order, [len(order) * number / (folds + 1) for number in range(1, folds + 1)], before_first)
    return [
        (np.flatnonzero(order < begin), np.flatnonzero((order >= begin) & (order < end)))
        for begin, end in pairwise([*cuts, n_values])
    ]


def require_labels(clean_rows: pd.DataFrame, splits: pd.DataFrame, data: DataOptions, by: str) -> None:
    """Check that train has every label that later parts have.

    Raises:
        ValueError: it lacks some; the message has the first row of them.
    """
    if data.task == "regression":
        return
    labels = clean_rows[data.target]
    unknown = ~labels.isin(set(labels[(splits["part"] == "train").to_numpy()]))
    if not unknown.any():
        return
    first = clean_rows[unknown].sort_values(by).iloc[[0]]
    raise ValueError(
        f"label {', '.join(natural_order(set(labels[unknown])))} of '{data.target}' occurs in valid or test but not in "
        f"train: the first such row is {first[ROW].item()}, of '{by}' {shown_moments(first[by])[0]}; set smaller "
        f"fractions, give earlier rows of it, or leave those rows or split.order_by out"
    )


def periods_of(clean_rows: pd.DataFrame, splits: pd.DataFrame, by: str) -> dict[str, list[str]]:
    """Give the earliest and the latest value of each part with rows, as text."""
    values = clean_rows.set_index(ROW)[by]
    periods = {}
    for part in ("train", "valid", "test"):
        own = values.loc[splits.loc[splits["part"] == part, ROW]]
        if len(own):
            periods[part] = shown_moments(pd.Series([own.min(), own.max()]))
    return periods


def shown_moments(values: pd.Series) -> list[str]:
    """Write dates or numbers: a date in its zone, without a time if all are at midnight."""
    if not pd.api.types.is_datetime64_any_dtype(values):
        return [f"{value:.15g}" for value in values]
    at_midnight = (values == values.dt.normalize()).all()
    return values.dt.strftime("%Y-%m-%d" if at_midnight else "%Y-%m-%d %H:%M:%S").tolist()
