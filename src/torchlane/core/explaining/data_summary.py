"""The rows that a model was made from, in numbers: a summary that does not grow with the table."""

from typing import Any

import numpy as np
import pandas as pd

from torchlane.core.explaining.distributions import count_distinct, distributions_of
from torchlane.core.options import DataOptions, SplitOptions
from torchlane.core.rows.checking import ROW
from torchlane.core.rows.ordered import periods_of
from torchlane.core.rows.repeats import number_copies
from torchlane.core.rows.splits import PARTS, REPEATS, compared_columns

MOST_RULES = 100  # broken ones that are listed, the most frequent first


def summarise_data(
    clean_rows: pd.DataFrame, rejected_rows: pd.DataFrame, splits: pd.DataFrame, data: DataOptions, split: SplitOptions
) -> dict[str, Any]:
    """Summarise rows and their parts: the content of `data_summary.json`.

    It has the `source` of the rows; how many `rows` were read (`raw`), `kept` and `rejected`; how many each broken
    rule `rejected`; the number of `missing` values of each column of the kept rows that has any; how many rows repeat
    others (`repeats`: as copies, or by chance); the number of rows of each part (`split`); `kind`, `unit` and number
    of `distinct` values of each column (`columns`); and `distributions`, see `distributions_of`. With
    `split.order_by`, `periods` has the earliest and the latest value of that column in each part.
    """
    columns = data.checked_columns
    n_rejected = int(rejected_rows[ROW].nunique())
    distinct = count_distinct(clean_rows, columns)
    missing = clean_rows[list(columns)].isna().sum()
    parts = {part: _positions(splits.loc[splits["part"] == part, ROW], clean_rows[ROW]) for part in PARTS}
    repeats = splits.attrs.get(REPEATS) or number_copies(clean_rows[compared_columns(data)], split.repeats)[1]
    return {
        "source": clean_rows.attrs.get("source", data.source),
        "rows": {"raw": len(clean_rows) + n_rejected, "kept": len(clean_rows), "rejected": n_rejected},
        "rejected": _broken_rules(rejected_rows),
        "missing": {str(name): int(count) for name, count in missing.items() if count},
        "repeats": dict(repeats),
        "split": {part: len(where) for part, where in parts.items()},
        **({} if split.order_by is None else {"periods": periods_of(clean_rows, splits, split.order_by)}),
        "columns": {
            name: {"kind": column.kind, "unit": column.unit, "distinct": distinct[name]}
            for name, column in columns.items()
        },
        "distributions": distributions_of(clean_rows, parts, data, distinct),
    }


def _positions(rows: pd.Series, all_rows: pd.Series) -> np.ndarray:
    """Find rows by their number: int64 (n_rows,)."""
    return pd.Index(all_rows).get_indexer(pd.Index(rows))


def _broken_rules(rejected_rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Count the rows that break each rule of each column; one without a column is about the line."""
    filled = rejected_rows.fillna({"column": ""})  # as read back from a file
    counts = filled.groupby(["rule", "column"])[ROW].nunique().rename("rows")
    commonest = counts.sort_values(ascending=False, kind="stable").head(MOST_RULES)
    return [
        dict(zip(("rule", "column", "rows"), each, strict=True)) for each in commonest.reset_index().to_numpy().tolist()
    ]
