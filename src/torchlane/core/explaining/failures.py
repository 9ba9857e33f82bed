"""Where a model fails: the levels and ranges of features whose rows it predicts worse than others."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from torchlane.core.options import ColumnOptions, DataOptions, shown_number
from torchlane.core.rows.checking import ROW

FEWEST_ROWS = 5  # the mean error of fewer says nothing
MOST_FEATURES = 1_000  # that are looked through
MOST_LINES = 100
QUARTERS = (0.25, 0.5, 0.75)
COLUMNS = ["feature", "group", "rows", "error", "overall", "standard_errors"]


def find_failures(test_predictions: pd.DataFrame, clean_rows: pd.DataFrame, data: DataOptions) -> pd.DataFrame:
    """List the levels and ranges of features whose rows of test are predicted worse than the average row.

    A line has the `feature`, its `group` (a level, a range or missing), the number of `rows`, their mean `error`, that
    `overall`, and how many `standard_errors` of a mean of so many random rows lie between the two. The largest come
    first. The error of a row is absolute, in the units of the target, or 1 for a wrong label and 0 for a right one.
    Weights do not count. `test_predictions` has `row`, `truth` and `prediction`, which may be text. Images have no
    groups.
    """
    errors = _errors(test_predictions, data.task)
    spread = float(errors.std()) if len(errors) else 0.0
    if not spread:
        return pd.DataFrame(columns=COLUMNS)
    of_test = clean_rows.set_index(ROW).loc[test_predictions[ROW]]
    overall, lines = float(errors.mean()), []
    tables = [(name, each) for name, each in data.feature_columns.items() if each.kind != "image"]
    for name, column in tables[:MOST_FEATURES]:
        for group, chosen in _groups(of_test[name], column):
            n_rows = int(chosen.sum())
            if FEWEST_ROWS <= n_rows < len(errors):
                error = float(errors[chosen].mean())
                lines.append((name, group, n_rows, error, overall, (error - overall) * n_rows**0.5 / spread))
    worse = sorted((line for line in lines if line[-1] > 0), key=lambda line: -line[-1])
    return pd.DataFrame(worse[:MOST_LINES], columns=COLUMNS)


def _errors(predictions: pd.DataFrame, task: str) -> np.ndarray:
    """Return the error of each row, float64 (n_rows,)."""
    if task == "regression":
        told = predictions[["truth", "prediction"]].astype("float64")
        return (told["truth"] - told["prediction"]).abs().to_numpy()
    return (predictions["truth"].map(str) != predictions["prediction"].map(str)).to_numpy("float64")


def _groups(values: pd.Series, column: ColumnOptions) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the levels of a column, or the quarters of its values, each with the rows that it has."""
    missing = values.isna().to_numpy()
    if missing.any():
        yield "missing", missing
    known = ~missing
    if column.kind == "category":
        codes, levels = pd.factorize(values.astype("str").where(known), sort=True)
        yield from ((str(level), codes == place) for place, level in enumerate(levels))
    elif known.any():
        yield from _quarters(values, known)


def _quarters(values: pd.Series, known: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    numbers = np.full(len(values), np.nan)
    numbers[known] = values[known].astype("int64" if values.dtype.kind == "M" else "float64")
    edges = np.unique(np.quantile(numbers[known], QUARTERS, method="inverted_cdf"))
    places = np.searchsorted(edges, numbers)  # a value equal to an edge is below it
    for place in np.unique(places[known]):
        chosen = known & (places == place)
        ends = values[chosen].min(), values[chosen].max()
        shown = [f"{end:%Y-%m-%d}" if values.dtype.kind == "M" else _number(end) for end in ends]
        yield (shown[0] if shown[0] == shown[1] else f"{shown[0]} to {shown[1]}"), chosen


def _number(value: float) -> str:
    """Write the end of a range; whole numbers below 10,000 may be years."""
    return f"{value:.0f}" if value == round(value) and abs(value) < 10_000 else shown_number(value)
