"""The draft of a feature."""

import pandas as pd

from torchlane.core.rows.checking import ROW
from torchlane.core.rows.drafting.column import (
    MOST_LEVELS,
    ColumnDraft,
    are_whole,
    levels_of,
    numbers_of,
    range_of,
    read,
)

MOST_CODES = 2  # distinct whole numbers up to which a feature is a category rather than a number


def draft_feature(raw_rows: pd.DataFrame, name: str) -> ColumnDraft:
    """Draft the options of a feature, and give the reason to leave it out, if any."""
    values = read(raw_rows, name, "category").dropna()
    distinct = values.nunique()
    numbers = numbers_of(raw_rows, name)
    if name == ROW:
        return ColumnDraft(
            {"kind": "number" if numbers is not None else "category"}, "this name is taken; rename the column"
        )
    if distinct < 2:
        return ColumnDraft({"kind": "category"}, "it never changes" if distinct else "it is empty")
    if numbers is not None and not (distinct <= MOST_CODES and are_whole(numbers)):
        counted = distinct == len(raw_rows) and are_whole(numbers) and bool((numbers.diff().dropna() == 1).all())
        return ColumnDraft(range_of(numbers), "it numbers the rows" if counted else "")
    if distinct == len(raw_rows) and distinct > MOST_LEVELS:
        return ColumnDraft({"kind": "category"}, "every row has another value")
    return ColumnDraft(levels_of(values))
