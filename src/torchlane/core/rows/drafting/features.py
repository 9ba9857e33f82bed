"""The draft of the features."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from torchlane.core.rows.checking import ROW
from torchlane.core.rows.drafting import leaks, written
from torchlane.core.rows.drafting.categories import draft_category, left_out
from torchlane.core.rows.drafting.column import MOST_LEVELS, ColumnDraft
from torchlane.core.rows.drafting.identifiers import (
    is_named_like_class,
    is_named_like_code,
    is_named_like_time,
    may_identify,
    why_number_identifies,
)
from torchlane.core.rows.drafting.missing import find_missing, remarks_on_codes, stand_for_no_number
from torchlane.core.rows.drafting.numbers import are_whole, code_like, limits_of, may_be_codes, range_note, why_codes
from torchlane.core.rows.drafting.seen import SeenColumn, count, quoted, see
from torchlane.core.rows.drafting.sentinels import remarks_on_sentinels, remarks_on_total

MOST_CODES = 2  # distinct whole numbers up to which a feature is a category rather than a number
NEARLY_CONSTANT = 0.99
FEWEST_ROWS = 100  # below which no column is said to be nearly constant


class FeatureDrafts(NamedTuple):
    """The drafts of all columns but the target, and `data.missing_values` with a remark on each value."""

    columns: dict[str, ColumnDraft]
    missing_values: tuple[str, ...]
    remarks: tuple[str, ...]


class _Read(NamedTuple):
    """A drafted column and its numbers by text, if it is a number or a date."""

    draft: ColumnDraft
    numbers: np.ndarray | None


def draft_features(raw_rows: pd.DataFrame, target: str) -> FeatureDrafts:
    """Draft the options of all columns but the target, and give the reason to leave one out, if any.

    Raises:
        ValueError: as for `as_levels`.
    """
    before = see(raw_rows)
    missing = find_missing(before.values())
    columns = {name: column.without(missing.values) for name, column in before.items()}
    seen_target = columns.pop(target)
    read = {name: _draft(column, before[name]) for name, column in columns.items()}
    drafts = {name: draft for name, (draft, _) in read.items()}
    kept = {name: (columns[name], numbers) for name, (draft, numbers) in read.items() if not draft.left_out}
    for name, other in leaks.find_equal(kept).items():
        remark = f"it agrees with '{other}' in every row; both are kept, so delete the line of one"
        drafts[name] = drafts[name].with_remarks(remark)
    drafts |= _without_leaks(drafts, kept, seen_target)
    return FeatureDrafts(drafts, *missing)


def _draft(column: SeenColumn, before: SeenColumn) -> _Read:
    """Draft a column by its values alone; `before` has those too that are read as missing."""
    draft, numbers = _by_kind(column)
    remarks = [*draft.remarks]
    if not draft.left_out:
        kind = draft.options["kind"]
        if numbers is not None:
            remarks += [*_remarks_on_bad(column, numbers, kind), *remarks_on_sentinels(column, numbers, kind)]
        remarks += remarks_on_codes(before, column) if kind == "category" else []
        remarks += _remarks_on_constant(column)
    if numbers is None:
        remarks += remarks_on_total(column)
    return _Read(ColumnDraft(draft.options, draft.left_out, tuple(remarks), draft.note), numbers)


def _by_kind(column: SeenColumn) -> _Read:
    if column.name == ROW:
        remark = "this name is taken by the row number, so it is left out; rename the column in the file to use it"
        return _Read(ColumnDraft({"kind": "category"}, "this name is taken by the row number", (remark,)), None)
    if column.n_distinct < 2:
        return _Read(
            left_out(column, {"kind": "category"}, "it never changes" if column.n_distinct else "it is empty"), None
        )
    plain = ~np.isnan(column.numbers)
    signs = np.zeros(len(plain), dtype=bool) if plain.all() else stand_for_no_number(column.texts)
    if column.is_mostly(plain, among=~signs):
        dates = written.find_compact_dates(column)
        few = plain.sum() <= MOST_CODES and are_whole(column.numbers) and not is_named_like_time(column.name)
        return _date(dates) if dates else _Read(draft_category(column), None) if few else _number(column)
    reading = written.find_best_reading(column)
    if reading is None or not column.is_mostly(~np.isnan(reading.numbers), among=~signs):
        return _text(column, reading)
    return _date(reading) if reading.options["kind"] == "date" else _formatted(column, reading)


def _number(column: SeenColumn) -> _Read:
    """Draft plain numbers as a number, as codes, or left out as an identifier."""
    numbers, may_be = column.numbers, may_be_codes(column)
    if why := why_codes(column, may_be):
        draft = draft_category(column)
        remark = f"{why} are kept as a category, unless you set kind: number"
        return _Read(draft if draft.left_out else draft.with_remarks(remark), None)
    limits = limits_of(column.name, _known(numbers))
    if are_whole(numbers):
        if why := why_number_identifies(column, numbers):
            return _Read(left_out(column, {"kind": "number"}, why), numbers)
        if is_named_like_code(column.name) or (column.n_distinct <= MOST_LEVELS and is_named_like_class(column.name)):
            remark = (
                f"its name says that whole numbers such as {column.first} are codes; they are "
                f"kept as a category, unless you set kind: number"
            )
            return _Read(draft_category(column).with_remarks(remark), None)
    remarks = tuple(written.remarks_on_points(column))
    draft = ColumnDraft({"kind": "number", **limits}, remarks=remarks, note=range_note(numbers))
    if are_whole(numbers) and may_identify(column, numbers):
        seen = f"no value repeats, beginning with {column.first}, so they may identify rows"
        draft = draft.with_remarks(f"{seen}; it is kept, so delete its line if they do")
    if may_be:
        seen = f"{column.examples(code_like(column))} may be codes"
        draft = draft.with_remarks(f"{seen}; they are read as numbers, unless you set kind: category")
    return _Read(draft, numbers)


def _formatted(column: SeenColumn, reading: written.Reading) -> _Read:
    remark = f"{reading.seen}; they are read as such, unless you set kind: category"
    limits = limits_of(column.name, _known(reading.numbers), reading.options.get("format") == "percent")
    draft = ColumnDraft({**reading.options, **limits}, "", (remark,), range_note(reading.numbers))
    return _Read(draft, reading.numbers)


def _date(reading: written.Reading) -> _Read:
    low, high = (
        str(np.datetime64(int(each), "s"))[:10] for each in (np.nanmin(reading.numbers), np.nanmax(reading.numbers))
    )
    remark = f"{reading.seen} and give month, weekday and elapsed time as features, unless you set another kind"
    note = f"{low} to {high} in the file"
    return _Read(ColumnDraft(reading.options, "", (remark,), note), reading.numbers)


def _text(column: SeenColumn, partly: written.Reading | None) -> _Read:
    """Draft text as a category, with a remark if it could be something else; `partly` reads more than half of it."""
    draft = draft_category(column)
    if partly is not None:
        others, kind = np.isnan(partly.numbers), partly.options["kind"]
        remark = (
            f"{partly.seen}, but {column.examples(others)} do not ({count(column.n_rows_of(others), 'row')} in all); "
            f"all are taken as text, so correct those rows if you want kind: {kind}"
        )
        return _Read(draft.with_remarks(remark), None)
    if written.are_times_of_day(column) and not draft.left_out:
        remark = (
            f"{column.first} and others look like times of day; they are kept as a category, "
            f"so write them as hours or minutes in the file if they are numbers"
        )
        return _Read(draft.with_remarks(remark), None)
    became = "left out" if draft.left_out else "kept as a category"
    if remark := written.remark_on_several_forms(column, became):
        return _Read(draft.with_remarks(remark), None)
    return _Read(draft, None)


def _remarks_on_bad(column: SeenColumn, numbers: np.ndarray, kind: str) -> list[str]:
    """Give remarks on the values of a number or date that are none: they are missing, or their rows are rejected."""
    bad = np.isnan(numbers)
    if not bad.any():
        return []
    missing = bad & stand_for_no_number(column.texts)
    remarks = []
    if missing.any():
        remarks.append(f"{column.examples(missing)} is read as missing; correct the file if it is not")
    if (bad & ~missing).any():
        n_rows = count(column.n_rows_of(bad & ~missing), "row")
        remarks.append(
            f"{column.examples(bad & ~missing)} cannot be read as a {kind}; {n_rows} will be rejected, unless you "
            f"correct the file, add it to data.missing_values or set kind: category"
        )
    return remarks


def _remarks_on_constant(column: SeenColumn) -> list[str]:
    """Give a remark if nearly all rows have the same value, or none."""
    n_rows, n_missing = len(column.codes), len(column.codes) - len(column.present)
    most = max(int(column.counts.max()), n_missing)
    if n_rows < FEWEST_ROWS or most < NEARLY_CONSTANT * n_rows:
        return []
    what = "missing" if most == n_missing else quoted(column.texts[np.argmax(column.counts)])
    return [f"it is {what} in {most} of {n_rows} rows and kept; delete its line if the other rows mean nothing"]


def _without_leaks(
    drafts: dict[str, ColumnDraft], kept: dict[str, tuple[SeenColumn, np.ndarray | None]], column: SeenColumn
) -> dict[str, ColumnDraft]:
    """Leave out the columns that copy the target, unless no other is left, and say which nearly do."""
    target = leaks.target_of(column, _by_kind(column).numbers)
    found = {name: leak for name, (each, numbers) in kept.items() if (leak := leaks.find_leak(each, numbers, target))}
    changed = {}
    for name, leak in found.items():
        draft, seen = drafts[name], f"it gives away the target '{column.name}': {leak.how}"
        if not leak.is_copy and not leaks.is_named_after(name, column.name):
            draft = draft.with_remarks(f"{seen}; it is kept, so delete its line if it is not known beforehand")
        elif len(found) == len(kept):
            draft = draft.with_remarks(f"{seen}; it is kept, since all columns do")
        else:
            draft = draft.with_remarks(f"{seen}; it is left out, so remove the # before its line to use it")
            draft = replace(draft, left_out="it gives away the target")
        changed[name] = draft
    return changed


def _known(numbers: np.ndarray) -> np.ndarray:
    return numbers[~np.isnan(numbers)]
