"""The draft of the target and of the task that predicts it."""

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from torchlane.core.options import DataOptions, TaskName
from torchlane.core.rows.checking import ROW
from torchlane.core.rows.drafting import written
from torchlane.core.rows.drafting.classes import draft_classes, require_labels, why_classes
from torchlane.core.rows.drafting.column import MOST_LEVELS, ColumnDraft
from torchlane.core.rows.drafting.identifiers import why_number_identifies
from torchlane.core.rows.drafting.missing import stand_for_no_number
from torchlane.core.rows.drafting.numbers import are_whole, limits_of, may_be_codes, range_note, why_codes
from torchlane.core.rows.drafting.seen import SeenColumn, count, quoted, see
from torchlane.core.rows.drafting.sentinels import remarks_on_sentinels
from torchlane.core.rows.drafting.written import Reading

MOST_REMARKED = 50  # distinct numbers up to which a target may have been meant as classes
FEWEST_REPEATS = 5  # rows for each of them
NEARLY_CONSTANT = 0.9
SPARE = 0.05  # the fraction of rows that may break another rule, where rows without a target are many


class TargetDraft(NamedTuple):
    """The task, the draft of the target's column, and further options of the section `data`."""

    task: TaskName
    column: ColumnDraft
    data: dict[str, Any]


def draft_target(raw_rows: pd.DataFrame, name: str, missing_values: tuple[str, ...]) -> TargetDraft:
    """Infer the task, and draft the options of the target.

    Text is classes. Numbers are a regression, unless they look like the numbers of classes; see `why_classes`.

    Raises:
        ValueError: the column cannot be predicted: it is empty, never changes, holds points in time, text that
            says something else in each row, or too few rows of each label.
    """
    before = see(raw_rows[[name]])[name]
    column = before.without(missing_values)
    _require_different_values(column, before)
    signs = stand_for_no_number(column.texts)
    reading = _read(column, signs)
    _refuse_times(column, reading)
    codes = why_codes(column, may_be_codes(column)) if reading is not None and not reading.seen else ""
    why = why_classes(column, reading.numbers) if reading is not None and not codes else ""
    if reading is None or codes or why:
        require_labels(column)
        task, draft = draft_classes(column, codes, why)
        unread = np.zeros(column.n_distinct, dtype=bool)
    else:
        task, draft = "regression", _draft_number(column, reading)
        unread = np.isnan(reading.numbers)
    lost = _remarks_on_lost_rows(before, column, unread & signs, unread & ~signs)
    return TargetDraft(task, draft.with_remarks(*lost.remarks), lost.data)


def _require_different_values(column: SeenColumn, before: SeenColumn) -> None:
    if column.name == ROW:
        raise ValueError(f"target '{ROW}': this name is taken by the row number; rename the column in the file")
    if column.n_distinct == 0:
        raise ValueError(f"target '{column.name}' is empty in all rows; name another --target")
    if column.n_distinct == 1:
        lost = ~np.isin(before.texts, column.texts)
        if lost.any():
            raise ValueError(
                f"target '{column.name}' never changes: it is {quoted(column.texts[0])} in all rows but those with "
                f"{before.examples(lost)}, which is read as missing; if that is a label, write another word for it in "
                f"the file; otherwise name another --target"
            )
        raise ValueError(
            f"target '{column.name}' never changes, it is {quoted(column.texts[0])} in all of the "
            f"{count(len(column.present), 'row')} that have one, so there is nothing to predict; name another --target"
        )


def _read(column: SeenColumn, signs: np.ndarray) -> Reading | None:
    """Read the target as numbers, plain or as people write them, or as dates; None if it is text."""
    plain = ~np.isnan(column.numbers)
    if column.is_mostly(plain, among=~signs):
        return written.find_compact_dates(column) or Reading({"kind": "number"}, column.numbers, "")
    return written.find_reading(column, among=~signs)


def _refuse_times(column: SeenColumn, reading: Reading | None) -> None:
    first = column.first
    if reading is not None and reading.options["kind"] == "date":
        raise ValueError(
            f"target '{column.name}' is a point in time, such as {first}, which no task predicts; write a number, "
            f"such as the days from a fixed date, or a label, such as the month, into a column, and name it in --target"
        )
    if written.are_times_of_day(column):
        raise ValueError(
            f"target '{column.name}' is a time of day or a length of time, such as {first}, which no task predicts; "
            f"write it as hours or minutes into a column, and name that in --target"
        )


def _draft_number(column: SeenColumn, reading: Reading) -> ColumnDraft:
    known = reading.numbers[~np.isnan(reading.numbers)]
    limits = limits_of(column.name, known, reading.options.get("format") == "percent")
    remarks = [*_remarks_on_numbers(column, reading)]
    return ColumnDraft({**reading.options, **limits}, remarks=tuple(remarks), note=range_note(known))


def _remarks_on_numbers(column: SeenColumn, reading: Reading) -> list[str]:
    remarks = remarks_on_sentinels(column, reading.numbers, "number")
    remarks += [] if reading.seen else written.remarks_on_points(column)
    numbers, n_rows = reading.numbers, len(column.present)
    first = column.first
    to_classes = "if they are classes, set task: multiclass and write {kind: category} here"
    if reading.seen:
        remarks.append(f"{reading.seen}; they are read and predicted as such; {to_classes}")
    elif n_rows >= FEWEST_REPEATS * column.n_distinct and _may_be_classes(column, numbers):
        what = "whole numbers" if are_whole(numbers) else "numbers"
        remarks.append(
            f"it has {column.n_distinct} different {what} in {n_rows} rows, such as {first}, and is predicted as a "
            f"number; {to_classes}"
        )
    if not reading.seen and are_whole(numbers) and (why := why_number_identifies(column, numbers)):
        remarks.append(f"{why}, such as {first}; it is predicted as a number, so name another --target if it is none")
    most = np.arange(column.n_distinct) == np.argmax(column.counts)
    if column.counts[most][0] >= NEARLY_CONSTANT * n_rows:
        remarks.append(
            f"{column.examples(most)} is the target of {column.counts[most][0]} of {n_rows} rows; it is predicted as a "
            f"number, so draft another target if only a change matters"
        )
    return remarks


def _may_be_classes(column: SeenColumn, numbers: np.ndarray) -> bool:
    """Whether few numbers are predicted that may have been meant as classes, more only if they count up from 0 or 1."""
    known = numbers[~np.isnan(numbers)]
    low, high = known.min(), known.max()
    in_turn = are_whole(known) and low in (0, 1) and high - low + 1 == len(np.unique(known))
    return column.n_distinct <= (MOST_REMARKED if in_turn else MOST_LEVELS)


class _Lost(NamedTuple):
    remarks: list[str]
    data: dict[str, Any]


def _remarks_on_lost_rows(before: SeenColumn, column: SeenColumn, signs: np.ndarray, bad: np.ndarray) -> _Lost:
    """Say how many rows have no target, or one that cannot be read, and allow for them if they are many."""
    n_rows, remarks = len(column.codes), []
    missing = (column.codes < 0) | np.append(signs, False)[column.codes]
    n_missing, n_bad = int(missing.sum()), column.n_rows_of(bad)
    stand_ins = ~np.isin(before.texts, column.texts) | np.isin(before.texts, column.texts[signs])
    if n_missing:
        where = before.examples(stand_ins) if stand_ins.any() else f"row {column.rows[np.argmax(missing)]} the first"
        remarks.append(
            f"{n_missing} of {n_rows} rows have no target ({where}); they are set apart as rejected rows, since "
            f"nothing can be learned from them, unless you write the target into the file"
        )
    if n_bad:
        remarks.append(
            f"{column.examples(bad)} is no number; {count(n_bad, 'row')} will be rejected, unless you correct the file "
            f"or, if they are classes, set task: multiclass and write {{kind: category}} here"
        )
    lost = (n_missing + n_bad) / n_rows
    if lost + SPARE <= DataOptions.model_fields["max_rejected_fraction"].default:
        return _Lost(remarks, {})
    allowed = min(math.ceil(20 * (lost + SPARE)) / 20, 1.0)
    remarks.append(f"{lost:.0%} of the rows are rejected for this, so data.max_rejected_fraction is set to {allowed:g}")
    return _Lost(remarks, {"max_rejected_fraction": allowed})
