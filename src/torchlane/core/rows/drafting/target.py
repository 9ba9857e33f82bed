"""The draft of the target and of the task that predicts it."""

import pandas as pd

from torchlane.core.options import TaskName
from torchlane.core.rows.drafting.column import (
    MOST_LEVELS,
    ColumnDraft,
    are_whole,
    levels_of,
    numbers_of,
    range_of,
    read,
)


def draft_target(raw_rows: pd.DataFrame, name: str) -> tuple[TaskName, ColumnDraft]:
    """Infer the task, and draft the options of the target.

    Raises:
        ValueError: the column cannot be predicted: it never changes, or each label has too few rows.
    """
    values = read(raw_rows, name, "category").dropna()
    distinct = values.nunique()
    if distinct < 2:
        raise ValueError(f"target '{name}' has {distinct} different values; there is nothing to predict")
    numbers = numbers_of(raw_rows, name)
    if numbers is not None and (distinct > MOST_LEVELS or not are_whole(numbers)):
        return "regression", ColumnDraft(range_of(numbers))
    if numbers is None and distinct > max(MOST_LEVELS, len(values) / 2):
        raise ValueError(
            f"target '{name}' has {distinct} labels in {len(values)} rows, which is too few rows per label"
        )
    return ("binary" if distinct == 2 else "multiclass"), ColumnDraft(levels_of(values))
