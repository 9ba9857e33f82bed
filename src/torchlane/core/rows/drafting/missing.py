"""What stands for a missing value in a file, such as NA and ?."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from torchlane.core.rows.drafting.column import MISSING
from torchlane.core.rows.drafting.seen import SeenColumn, count, quoted
from torchlane.core.rows.drafting.written import find_reading
from torchlane.core.rows.values import MISSING_NUMBERS

EVERYWHERE = {"NA", "na", "N/A", "n/a", "N.A.", "n.a.", "#N/A", "<NA>", "NaN", "nan", "NAN", "NULL", "null", "?",
              "\\N", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!"}  # fmt: skip
AMONG_NUMBERS = {
    "-",
    "--",
    "---",
    ".",
    "..",
    "...",
    "none",
    "nil",
    "missing",
    "unknown",
    "not available",
    "not applicable",
    "prefer not to say",
    "don't know",
    "no answer",
    "refused",
}  # in any case
TWO_LETTERS = "[A-Z]{2}"


class MissingValues(NamedTuple):
    """Drafted `data.missing_values`, and a remark on those that are not empty, if there are any."""

    values: tuple[str, ...]
    remarks: tuple[str, ...]


def find_missing(columns: Iterable[SeenColumn]) -> MissingValues:
    """Find the texts that stand for missing values: NA and ? in any column, others such as -- among numbers only."""
    places: dict[str, list[SeenColumn]] = {}
    signs: set[str] = set()
    for column in columns:
        if np.isnan(column.numbers).any():
            for text in _stand_ins(column):
                places.setdefault(text, []).append(column)
            signs |= _levels_of_signs(column)
    found = {text: where for text, where in places.items() if text not in signs}
    return MissingValues((*MISSING, *found), _remarks(found))


def stand_for_no_number(texts: np.ndarray) -> np.ndarray:
    """Mark the texts that are missing in a column of numbers without a declaration."""
    return _among(texts, set(MISSING_NUMBERS))


def remarks_on_levels(column: SeenColumn) -> list[str]:
    """Give remarks on levels that may stand for missing values; `column` has no declared missing values any more."""
    those = _among(column.texts, AMONG_NUMBERS - {"unknown"})
    if not those.any() or not _has_letters(column):
        return []
    return [f"{column.examples(those)} is kept as a level; add it to data.missing_values if it means missing"]


def remarks_on_codes(before: SeenColumn, after: SeenColumn) -> list[str]:
    """Give a remark if NA was read as missing though it may be a code, as among two-letter codes of countries."""
    codes = [text for text in after.texts if re.fullmatch(TWO_LETTERS, text)]
    if "NA" not in before.texts or "NA" in after.texts or not codes or len(codes) < len(after.texts):
        return []
    return [
        f"{before.examples(before.texts == 'NA')} is read as missing; if it is a code like '{codes[0]}', such as "
        f"Namibia or North America, remove it from data.missing_values"
    ]


def _stand_ins(column: SeenColumn) -> list[str]:
    """List the texts of a column that stand for a missing value and have to be declared."""
    among_numbers = _among(column.texts, AMONG_NUMBERS)
    texts = [text for text in column.texts if text in EVERYWHERE]
    if among_numbers.any() and _are_numbers(column.without([*texts, *column.texts[among_numbers]])):
        texts += [text for text in column.texts[among_numbers] if text.lower() not in MISSING_NUMBERS]
    return texts


def _are_numbers(column: SeenColumn) -> bool:
    """Whether a column holds numbers or dates, plain or as people write them."""
    return column.n_distinct > 2 and (column.is_mostly(~np.isnan(column.numbers)) or find_reading(column) is not None)


def _levels_of_signs(column: SeenColumn) -> set[str]:
    """List the texts of a column such as +, - and ++, in which none stands for a missing value."""
    others = [text for text in column.texts[~_among(column.texts, AMONG_NUMBERS)] if text not in EVERYWHERE]
    return set(column.texts) if others and not any(each.isalnum() for each in "".join(others)) else set()


def _has_letters(column: SeenColumn) -> bool:
    return any(each.isalnum() for each in "".join(column.texts))


def _among(texts: np.ndarray, words: set[str]) -> np.ndarray:
    return np.array([text.lower() in words for text in texts], dtype=bool)


def _remarks(found: dict[str, list[SeenColumn]]) -> tuple[str, ...]:
    """Say in one remark which texts are read as missing, with the first place of each."""
    if not found:
        return ()
    *shown, last = (f"{quoted(text)} ({_place(text, columns)})" for text, columns in found.items())
    those, verb, one = (f"{', '.join(shown)} and {last}", "are", "one") if shown else (last, "is", "it")
    return (
        f"{those} {verb} read as missing in every column; remove {one} here if it is a level, and add what else "
        f"means missing",
    )


def _place(text: str, columns: list[SeenColumn]) -> str:
    first = columns[0]
    row = first.first_row(int(np.flatnonzero(first.texts == text)[0]))
    others = f" and {count(len(columns) - 1, 'more column')}" if len(columns) > 1 else ""
    return f"row {row} of '{first.name}'{others}"
