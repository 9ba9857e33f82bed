"""Classes: which numbers stand for them, and the draft of their column."""

import re
from typing import Any

import numpy as np

from torchlane.core.options import TaskName
from torchlane.core.rows.drafting.categories import remarks_on_spelling
from torchlane.core.rows.drafting.column import MOST_LEVELS, ColumnDraft
from torchlane.core.rows.drafting.identifiers import is_named_like_code, why_text_identifies
from torchlane.core.rows.drafting.missing import remarks_on_levels
from torchlane.core.rows.drafting.numbers import are_whole
from torchlane.core.rows.drafting.seen import SeenColumn, quoted
from torchlane.core.rows.levels import natural_order, restore_labels

SURE_CLASSES = 3  # distinct whole numbers up to which they are classes
MOST_CLASSES = 10  # up to which they are, if they begin at 0 or 1 without a gap and do not look like counts
FEWEST_ROWS = 3  # of each class on average, and of a class that is to be in train, valid and test
BALANCED = 0.5  # the rows of the rarest class, as a fraction of those of the commonest, in balanced classes
RARE = 0.02  # the fraction of rows below which a class is rare
TAIL = 0.05  # the rows of the largest count, as a fraction of those of the commonest
NAMES = r"(?:^|.*[\W_])(?:class|label|category|categories|cluster|group|species|type|kind|grade)s?(?:$|[\W_].*)"
PAIRS = ({0.0, 1.0}, {1.0, 2.0}, {-1.0, 1.0})  # numbers that are nothing but two classes


def why_classes(column: SeenColumn, numbers: np.ndarray) -> str:
    """Say why the numbers of a target, float64 (n_distinct,), are those of classes; "" if they are amounts.

    Two or three whole numbers are classes, and up to 10 that begin at 0 or 1 without a gap. Counts are not: they
    begin at 0, most are small, and few are large. Up to 20 are classes if the name says so, or if none is rare.
    """
    read = ~np.isnan(numbers)
    values, position = np.unique(numbers[read], return_inverse=True)
    rows = np.bincount(position, weights=column.counts[read])
    n_classes, n_rows = len(values), rows.sum()
    if n_classes == 2 and (are_whole(values) or n_rows >= FEWEST_ROWS * 2):
        return "two numbers"
    if not are_whole(values) or n_classes > MOST_LEVELS or n_rows < FEWEST_ROWS * n_classes:
        return ""
    if n_classes <= SURE_CLASSES:
        return "few whole numbers"
    if re.fullmatch(NAMES, column.name.lower()) or is_named_like_code(column.name):
        return "its name is that of classes"
    if values[0] not in (0, 1) or values[-1] - values[0] != n_classes - 1:
        return ""
    if n_classes <= MOST_CLASSES and not _are_counts(values, rows):
        return "few whole numbers"
    return "whole numbers, none of which is rare" if rows.min() >= max(BALANCED * rows.max(), 10) else ""


def require_labels(column: SeenColumn) -> None:
    """Check that a target can be predicted as classes.

    Raises:
        ValueError: it identifies rows, is free text, or has too few rows per label.
    """
    n_rows = len(column.present)
    why = "" if column.n_distinct <= max(n_rows / FEWEST_ROWS, 2) else why_text_identifies(column)
    few = column.n_distinct > max(MOST_LEVELS, n_rows / 2)
    if why or few:
        why = why or f"it has {column.n_distinct} labels in {n_rows} rows"
        raise ValueError(
            f"target '{column.name}' cannot be predicted: {why}, such as {quoted(column.texts[0])}, which is too few "
            f"rows per label; name another --target, or a column that holds fewer labels"
        )


def draft_classes(column: SeenColumn, codes: str, why: str) -> tuple[TaskName, ColumnDraft]:
    """Draft a target that is classes. `codes` says why numbers are codes, and `why` why they are those of classes."""
    labels = natural_order(column.texts)
    listed = restore_labels(labels, among=labels).tolist()
    task: TaskName = "binary" if len(labels) == 2 else "multiclass"
    options: dict[str, Any] = {"kind": "category"}
    if task == "binary":
        options["levels"] = listed
        rarer = min(reversed(labels), key=dict(zip(column.texts, column.counts, strict=True)).__getitem__)
        note = f"the rarer label, {rarer}, is the positive one, unless data.positive names the other"
    else:
        note = f"{len(labels)} labels: {', '.join(labels[:MOST_LEVELS])}"
    remarks = [*remarks_on_levels(column), *remarks_on_spelling(column), *_remarks_on_rare(column)]
    if codes:
        to_numbers = "if they are amounts, set task: regression and write {kind: number} here"
        remarks.insert(0, f"{codes} are predicted as classes; {to_numbers}")
    elif why and set(column.numbers) not in PAIRS and "True" not in labels:
        what = why if why == "two numbers" else f"{len(labels)} different whole numbers"
        first = column.first
        remark = (
            f"it has {what}, such as {first}, and is predicted as classes; if they are amounts, counts or "
            f"ratings, set task: regression and write {{kind: number}} here"
        )
        remarks.insert(0, remark)
    elif len(labels) > MOST_LEVELS:
        remarks.append(
            f"it has {len(labels)} labels in {len(column.present)} rows, such as {quoted(column.texts[0])}, and each "
            f"is a class; join labels in the file if that is too many"
        )
    return task, ColumnDraft(options, remarks=tuple(remarks), note=note)


def _are_counts(values: np.ndarray, rows: np.ndarray) -> bool:
    """Whether whole numbers, with the rows of each, look like counts of something, such as children."""
    small = np.argmax(rows) <= (len(values) - 1) / 2
    return bool(values[0] == 0 and len(values) > 4 and small and rows[-1] <= TAIL * rows.max())


def _remarks_on_rare(column: SeenColumn) -> list[str]:
    n_rows = len(column.present)
    too_few = column.counts < FEWEST_ROWS
    rare = ~too_few & (column.counts < RARE * n_rows)
    remarks = []
    if too_few.any():
        remarks.append(
            f"{column.examples(too_few)} is the label of fewer than {FEWEST_ROWS} rows, so train, valid and test "
            f"cannot all have one; it is kept, so give more rows of it, or join it with another label in the file"
        )
    if rare.any():
        remarks.append(
            f"{column.examples(rare)} is rare, with {column.counts[rare][0]} of {n_rows} rows; it is kept, so go by "
            f"its recall rather than by accuracy, and see training.loss.class_weights"
        )
    return remarks
