"""A drafted column, and what the drafts of features and target share."""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from torchlane.core.options import ColumnOptions
from torchlane.core.rows.checking import read_column
from torchlane.core.rows.levels import natural_order, restore_labels

MOST_LEVELS = 20  # levels that are shown; a column with more is a category without a list, or a number
MISSING = ("",)


@dataclass(frozen=True)
class ColumnDraft:
    """The options of a column, the reason to leave it out of the features (or ""), and remarks for the user.

    A remark is one sentence: what was seen, with a value or a row, the choice made, and how to change it. `note`
    stands behind the options in the file, such as the range of a number, and is not a remark.
    """

    options: dict[str, Any]
    left_out: str = ""
    remarks: tuple[str, ...] = field(default=())
    note: str = ""


def read(raw_rows: pd.DataFrame, name: str, kind: Any) -> pd.Series:
    """Read a column as `kind`; rows that break its rules are left out."""
    values, rules = read_column(raw_rows[name], ColumnOptions(kind=kind), MISSING)
    return values[rules == ""].reset_index(drop=True)


def numbers_of(raw_rows: pd.DataFrame, name: str) -> pd.Series | None:
    """Read a column as numbers without missing ones; None if some value is not a number."""
    numbers = read(raw_rows, name, "number")
    return numbers.dropna() if len(numbers) == len(raw_rows) and numbers.notna().any() else None


def are_whole(numbers: pd.Series) -> bool:
    """Whether no number has a fraction."""
    return bool((numbers == numbers.round()).all())


def range_of(numbers: pd.Series) -> dict[str, Any]:
    """Draft a number with its range."""
    low, high = (int(each) if each == round(each) else float(each) for each in (numbers.min(), numbers.max()))
    return {"kind": "number", "minimum": low, "maximum": high}


def levels_of(values: pd.Series) -> dict[str, Any]:
    """Draft a category with its levels, unless there are many."""
    levels = natural_order(values.unique())
    if len(levels) > MOST_LEVELS:
        return {"kind": "category"}
    return {"kind": "category", "levels": restore_labels(levels, among=levels).tolist()}
