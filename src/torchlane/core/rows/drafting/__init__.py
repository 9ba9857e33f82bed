"""A draft of the parameters of a use case, inferred from its rows."""

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd

from torchlane.core.options import DataOptions
from torchlane.core.rows.checking import place_of
from torchlane.core.rows.drafting.column import ColumnDraft
from torchlane.core.rows.drafting.features import draft_feature
from torchlane.core.rows.drafting.target import draft_target
from torchlane.core.rows.drafting.writing import as_comment, as_key, as_value
from torchlane.core.rows.raw_rows import columns_of, find_torn

logger = logging.getLogger(__name__)


class Draft(NamedTuple):
    """The text of a parameters file, and each remark on a column as "'name': remark"."""

    parameters: str
    remarks: tuple[str, ...]


def draft_parameters(raw_rows: pd.DataFrame, use_case: str, target: str) -> Draft:
    """Draft the parameters file of a use case from its raw rows: types, levels, ranges and task.

    A column is a number if all its values are numbers, except for two distinct whole numbers such as 0 and 1.
    Otherwise it is a category, and its levels are listed if there are at most 20. A column that identifies
    every row or never changes is written as a comment, with the reason. Remarks stand above their column.

    Raises:
        ValueError: there are too few rows, a column stands there twice, the target is no column, or it cannot be
            predicted.
    """
    if target not in raw_rows:
        columns = ", ".join(columns_of(raw_rows))
        raise ValueError(f"target '{target}' is not a column of {place_of(raw_rows)}; its columns are {columns}")
    doubled = raw_rows.columns[raw_rows.columns.duplicated()]
    if len(doubled):
        raise ValueError(f"column '{doubled[0]}' stands more than once in {place_of(raw_rows)}; rename or drop one")
    raw_rows = _without_torn(raw_rows)
    if len(raw_rows) < 2:
        raise ValueError(f"{place_of(raw_rows)} has {len(raw_rows)} rows; a draft needs at least 2")
    drafts = {name: draft_feature(raw_rows, name) for name in raw_rows.columns.astype("str") if name != target}
    task, drafts[target] = draft_target(raw_rows, target)
    kept = {name: draft.options for name, draft in drafts.items() if not draft.left_out}
    DataOptions.model_validate({"task": task, "target": target, "columns": kept})
    place = as_comment(place_of(raw_rows))
    lines = [
        f"# drafted from {place}, {len(raw_rows)} rows; levels and ranges are those of the file:",
        "# rows outside them are rejected, so widen them if other values are possible",
        f"{as_value(use_case)}:",
        "  data:",
        f"    task: {task}",
        f"    target: {as_value(target)}",
        "    columns:",
        *(f"      {line}" for name, draft in drafts.items() for line in _lines(name, draft)),
    ]
    remarks = tuple(f"'{name}': {remark}" for name, draft in drafts.items() for remark in draft.remarks)
    return Draft("\n".join(lines) + "\n", remarks)


def _without_torn(raw_rows: pd.DataFrame) -> pd.DataFrame:
    """Remove torn rows and the column that marks them, and log how many there are."""
    torn = find_torn(raw_rows)
    if len(torn):
        logger.warning(
            "%s: %d of %d rows are torn and left out; the first is row %d: '%s' should have %s",
            place_of(raw_rows),
            len(torn),
            len(raw_rows),
            torn.index[0] + 1,
            torn["value"].iloc[0],
            torn["rule"].iloc[0],
        )
    return raw_rows.iloc[np.setdiff1d(np.arange(len(raw_rows)), torn.index)][columns_of(raw_rows)]


def _lines(name: str, draft: ColumnDraft) -> list[str]:
    """Write the remarks of a column as comments, and its options, as a comment too if it is left out."""
    entry = f"{as_key(name)}: {as_value(draft.options)}"
    remarks = [f"# {as_comment(remark)}" for remark in draft.remarks]
    return [*remarks, f"# {entry} # {draft.left_out}" if draft.left_out else entry]
