"""A draft of the parameters of a use case, inferred from its rows."""

import logging
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from torchlane.core.options import DataOptions
from torchlane.core.rows.checking import place_of
from torchlane.core.rows.drafting.column import ColumnDraft
from torchlane.core.rows.drafting.features import draft_features
from torchlane.core.rows.drafting.seen import count
from torchlane.core.rows.drafting.target import draft_target
from torchlane.core.rows.drafting.writing import as_comment, as_key, as_value
from torchlane.core.rows.raw_rows import columns_of, find_torn

logger = logging.getLogger(__name__)


class Draft(NamedTuple):
    """The text of a parameters file, each remark as "'column': remark", and rows, task and features in one line."""

    parameters: str
    remarks: tuple[str, ...]
    summary: str


def draft_parameters(raw_rows: pd.DataFrame, use_case: str, target: str) -> Draft:
    """Draft the parameters file of a use case from its raw rows: types, limits, missing values and task.

    Limits and lists of levels are those that follow from the meaning of a column, and never those of the file,
    which are comments. A column that identifies rows, never changes or copies the target is a comment too, with
    the reason. Remarks stand above their column.

    Raises:
        ValueError: there are too few rows, a column stands there twice, the target is no column, or it cannot be
            predicted.
    """
    if target not in raw_rows:
        columns = ", ".join(columns_of(raw_rows))
        raise ValueError(
            f"target '{target}' is not a column of {place_of(raw_rows)}; its columns are {columns}"
            f"{_hint_on_header(columns_of(raw_rows))}"
        )
    doubled = raw_rows.columns[raw_rows.columns.duplicated()]
    if len(doubled):
        raise ValueError(f"column '{doubled[0]}' stands more than once in {place_of(raw_rows)}; rename or drop one")
    torn = [f": row {row + 1}, '{value}', should have {rule}" for row, rule, value in find_torn(raw_rows).itertuples()]
    raw_rows = _without_torn(raw_rows)
    if len(raw_rows) < 2:
        cause = f", and {len(torn)} are torn{torn[0]}" if torn else ""
        raise ValueError(f"{place_of(raw_rows)} has {len(raw_rows)} rows; a draft needs at least 2{cause}")
    drafts, missing_values, remarks_on_missing = draft_features(raw_rows, target)
    task, of_target, more = draft_target(raw_rows, target, missing_values)
    features = {name: draft.options for name, draft in drafts.items() if not draft.left_out}
    if not features:
        reasons = "; ".join(f"'{name}': {draft.left_out}" for name, draft in drafts.items()) or "there are none"
        raise ValueError(
            f"{place_of(raw_rows)} has no column to predict '{target}' from ({reasons}); add columns that say "
            f"something about a row"
        )
    drafts[target] = of_target
    kept = {**features, target: of_target.options}
    declared = {**({"missing_values": list(missing_values)} if remarks_on_missing else {}), **more}
    DataOptions.model_validate({"task": task, "target": target, "columns": kept, **declared})
    place = as_comment(place_of(raw_rows))
    lines = [
        f"# drafted from {place}, {len(raw_rows)} rows; rows that break a limit are rejected",
        f"{as_value(use_case)}:",
        "  data:",
        f"    task: {task}",
        f"    target: {as_value(target)}",
        *(f"    # {as_comment(remark)}" for remark in remarks_on_missing),
        *(f"    {name}: {as_value(value)}" for name, value in declared.items()),
        "    columns:",
        *(f"      {line}" for name, draft in drafts.items() for line in _lines(name, draft)),
    ]
    order = _remarks_on_order(features)
    lines += [f"  # {as_comment(remark)}" for remark in order.values()]
    lines += [f"  # split: {as_value({'order_by': name})}" for name in order]
    remarks = [f"'{name}': {remark}" for name, draft in drafts.items() for remark in draft.remarks]
    remarks += [f"data.missing_values: {remark}" for remark in remarks_on_missing]
    remarks += [f"split.order_by: {remark}" for remark in order.values()]
    return Draft("\n".join(lines) + "\n", tuple(remarks), _summary(raw_rows, task, target, features, drafts))


def _remarks_on_order(features: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Give a remark on the first column of dates, by its name, since the latest rows may be the ones to judge by."""
    name = next((name for name, options in features.items() if options["kind"] == "date"), None)
    if name is None:
        return {}
    remark = (
        f"rows are split at random; if you will predict rows of later '{name}' than these, split by it, so that the "
        f"latest rows are the test"
    )
    return {name: remark}


def _hint_on_header(names: list[str]) -> str:
    """Say that the first line is no header, if that is likely."""
    n_unnamed = sum(name.startswith("Unnamed: ") for name in names)
    if names and not (names[0].startswith(("#", "sep=")) or n_unnamed > (len(names) - 1) / 2):
        return ""
    return "; the first line must be the header, so remove the lines above the header from the file"


def _summary(
    raw_rows: pd.DataFrame, task: str, target: str, features: dict[str, dict[str, Any]], drafts: dict[str, ColumnDraft]
) -> str:
    kinds = Counter(options["kind"] for options in features.values())
    shown = ", ".join(f"{kind} {n_columns}" for kind, n_columns in kinds.most_common())
    n_left_out = len(drafts) - len(features) - 1
    left_out = f"; {n_left_out} left out" if n_left_out else ""
    return f"{len(raw_rows)} rows; {task} of '{target}' from {count(len(features), 'feature')} ({shown}){left_out}"


def _without_torn(raw_rows: pd.DataFrame) -> pd.DataFrame:
    """Remove torn rows and the column that marks them, and log how many there are."""
    torn = find_torn(raw_rows)
    if len(torn):
        logger.warning(
            "%s: %s of %d left out; the first is row %d: '%s' should have %s",
            place_of(raw_rows),
            count(len(torn), "torn row"),
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
    note = f" # {as_comment(draft.note)}" if draft.note else ""
    return [*remarks, f"{'# ' * bool(draft.left_out)}{entry}{note}"]
