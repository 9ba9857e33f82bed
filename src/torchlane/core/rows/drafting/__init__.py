"""A draft of the parameters of a use case, inferred from its rows."""

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd

from torchlane.core.options import DataOptions
from torchlane.core.rows.checking import place_of
from torchlane.core.rows.drafting.column import ColumnDraft
from torchlane.core.rows.drafting.features import draft_features
from torchlane.core.rows.drafting.target import draft_target
from torchlane.core.rows.drafting.writing import as_comment, as_key, as_value
from torchlane.core.rows.raw_rows import columns_of, find_torn

logger = logging.getLogger(__name__)


class Draft(NamedTuple):
    """The text of a parameters file, and each remark on a column as "'name': remark"."""

    parameters: str
    remarks: tuple[str, ...]


def draft_parameters(raw_rows: pd.DataFrame, use_case: str, target: str) -> Draft:
    """Draft the parameters file of a use case from its raw rows: types, limits, missing values and task.

    Limits and lists of levels are those that follow from the meaning of a column, and never those of the file,
    which are comments. A column that identifies rows, never changes or copies the target is a comment too, with
    the reason. Remarks stand above their column.

    Raises:
        ValueError: there are too few rows, the target is not a column, or it cannot be predicted.
    """
    if target not in raw_rows:
        columns = ", ".join(columns_of(raw_rows))
        raise ValueError(f"target '{target}' is not a column of {place_of(raw_rows)}; its columns are {columns}")
    raw_rows = _without_torn(raw_rows)
    if len(raw_rows) < 2:
        raise ValueError(f"{place_of(raw_rows)} has {len(raw_rows)} rows; a draft needs at least 2")
    drafts, missing_values, remarks_on_missing = draft_features(raw_rows, target)
    task, drafts[target] = draft_target(raw_rows, target)
    kept = {name: draft.options for name, draft in drafts.items() if not draft.left_out}
    declared = {"missing_values": missing_values} if remarks_on_missing else {}
    DataOptions.model_validate({"task": task, "target": target, "columns": kept, **declared})
    place = as_comment(place_of(raw_rows))
    lines = [
        f"# drafted from {place}, {len(raw_rows)} rows; levels and ranges are those of the file:",
        "# rows outside them are rejected, so widen them if other values are possible",
        f"{as_value(use_case)}:",
        "  data:",
        f"    task: {task}",
        f"    target: {as_value(target)}",
        *(f"    # {as_comment(remark)}" for remark in remarks_on_missing),
        *(f"    {name}: {as_value(list(values))}" for name, values in declared.items()),
        "    columns:",
        *(f"      {line}" for name, draft in drafts.items() for line in _lines(name, draft)),
    ]
    remarks = [f"'{name}': {remark}" for name, draft in drafts.items() for remark in draft.remarks]
    remarks += [f"data.missing_values: {remark}" for remark in remarks_on_missing]
    return Draft("\n".join(lines) + "\n", tuple(remarks))


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
    note = f" # {as_comment(draft.left_out or draft.note)}" if draft.left_out or draft.note else ""
    return [*remarks, f"{'# ' * bool(draft.left_out)}{entry}{note}"]
