"""Numbers and dates that are written as people write them: which options of a column read them."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from torchlane.core.options import ColumnOptions
from torchlane.core.options.moments import instant_of
from torchlane.core.rows.checking import read_column
from torchlane.core.rows.drafting.column import MISSING
from torchlane.core.rows.drafting.seen import SeenColumn

FEWEST_NUMBERS = 3  # of fewer, a column is a category, such as 36 and 60 months
TRIED = 50  # distinct values by which options are chosen, before all values are read
DAYS = ("%d.%m.%Y", "%d.%m.%y", "%Y/%m/%d", "%Y.%m.%d", "%d %b %Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%d-%b-%Y",
        "%d-%b-%y", "%d%b%Y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d-%m-%Y", "%m-%d-%Y")  # fmt: skip
CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%f")
MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%b %Y", "%B %Y", "%b-%Y", "%b-%y")
EITHER = {"%m/%d": "%d/%m", "%d/%m": "%m/%d", "%d-%m": "%m-%d", "%m-%d": "%d-%m"}
FORMS = (*(f"{day}{clock}" for clock in CLOCKS for day in DAYS), *MONTHS)
DATE_LIKE = re.compile(r"(?=.*[0-9])(?:[^\W_]+[-/. ,]+[^\W_]+.*|[0-9]{1,2}[A-Za-z]{3}[0-9]{4})")
COMPACT = r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
AMOUNT = r"[+-]?[0-9][0-9.,]*"
WITH_UNIT = re.compile(rf"{AMOUNT}\s*([^\W\d_][^\d]*|°[^\d]*)")
NO_MARK = r"[\s0-9.,'\u2019()+\-\u2212]"  # what an amount has besides its currency
PER_CENT = "[%\uff05]"
MARKED = re.compile(rf"([<>≤≥~≈='\"]*) ?{AMOUNT} ?([^\W\d]{{0,10}}|[\"'])")
POINTS = "points between thousands"
MOST_UNITS = 5  # in which amounts of one column are written
TIME_OF_DAY = r"[0-9]{1,3}:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?: ?[AaPp][Mm])?"


class Reading(NamedTuple):
    """Options that read a column, its numbers, float64 (n_distinct,) and NaN where they do not, and what was seen."""

    options: dict[str, Any]
    numbers: np.ndarray
    seen: str


def find_reading(column: SeenColumn, among: np.ndarray | None = None) -> Reading | None:
    """Find the options that read all values of a column of text but a few as numbers or dates; None if none do.

    `among` (n_distinct,) marks the values to go by; by default all of them.
    """
    reading = find_best_reading(column)
    return reading if reading is not None and column.is_mostly(~np.isnan(reading.numbers), among) else None


def find_best_reading(column: SeenColumn) -> Reading | None:
    """Find the options that read the most values of a column of text, and more than half; None if none do."""
    with_digits = np.array([any(each.isdigit() for each in text) for text in column.texts], dtype=bool)
    if column.n_rows_of(with_digits) <= len(column.present) / 2:
        return None
    few = _first(column)
    best = max(_candidates(few), key=lambda options: few.n_rows_of(~np.isnan(read_as(few, options))))
    if best.get("format") != "percent" and _are_thousands(column, best):
        best = {**best, "decimal": "point" if best.get("decimal") == "comma" else "comma"}
    numbers = read_as(column, best)
    read = ~np.isnan(numbers)
    if column.n_rows_of(read) <= len(column.present) / 2 or len(np.unique(numbers[read])) < FEWEST_NUMBERS:
        return None
    return Reading(best, numbers, _describe(column, best, read))


def find_compact_dates(column: SeenColumn) -> Reading | None:
    """Find dates that are written as eight digits, such as 20250301."""
    if column.n_distinct < FEWEST_NUMBERS:
        return None
    for texts in column.looks():
        if not all(re.fullmatch(COMPACT, text) for text in texts):
            return None
    options = {"kind": "date", "format": "%Y%m%d"}
    numbers = read_as(column, options)
    seen = f"{column.first} and the others look like dates"
    return None if np.isnan(numbers).any() else Reading(options, numbers, seen)


def read_as(column: SeenColumn, options: dict[str, Any]) -> np.ndarray:
    """Read each text by the options of a column: float64 (n_distinct,), dates in seconds, NaN where they do not."""
    values, rules = read_column(pd.Series(column.texts, dtype="str"), ColumnOptions(**options), MISSING)
    if options["kind"] == "date":
        instants = values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]")
        values = pd.Series(np.where(np.isnat(instants), np.nan, instants.astype(np.int64) / 1e6))
    return np.where(rules == "", values.to_numpy(np.float64, na_value=np.nan), np.nan)


def are_times_of_day(column: SeenColumn) -> bool:
    """Whether nearly all values are times of a day or lengths of time, such as 14:30."""
    return column.is_mostly(np.array([bool(re.fullmatch(TIME_OF_DAY, text)) for text in column.texts], dtype=bool))


def remark_on_several_forms(column: SeenColumn, became: str) -> str:
    """Say that text may be dates in several formats or numbers in several units, and what it `became`; else ""."""
    first = column.first
    if _are_dates(column):
        return (
            f"{first} and others look like dates in several formats; it is {became}, so write all of them alike in the "
            f"file if you want kind: date"
        )
    marks = _marks_beside(column)
    if not marks:
        return ""
    return (
        f"{first} and others look like numbers with something beside them ({', '.join(marks)}); it is {became}, so "
        f"write the numbers alone, in one unit, in the file if they are amounts"
    )


def remarks_on_points(column: SeenColumn) -> list[str]:
    """Give a remark on plain numbers whose points may separate thousands, such as 1.250 among whole numbers."""
    if not _are_thousands(column, {"kind": "number"}):
        return []
    those = np.array(["." in text for text in column.texts], dtype=bool)
    return [
        f"{column.examples(those)} may have points between thousands, since three digits always follow; they are read "
        f"as decimal points, unless you set decimal: comma"
    ]


def _are_thousands(column: SeenColumn, options: dict[str, Any]) -> bool:
    """Whether what `options` read as a decimal point or comma rather separates thousands.

    Three digits follow it in every value that has one. Beside them there are whole numbers, or they are money.
    """
    if options["kind"] != "number":
        return False
    mark = "," if options.get("decimal") == "comma" else "."
    grouped = re.compile(rf"(?<![0-9.,])[1-9][0-9]{{0,2}}{re.escape(mark)}[0-9]{{3}}(?![0-9.,])")
    for texts in column.looks():
        if any(mark in text and not grouped.search(text) for text in texts):
            return False
    n_marked = sum(mark in text for text in column.texts)
    return n_marked >= FEWEST_NUMBERS and (n_marked < column.n_distinct or options.get("format") == "money")


def _are_dates(column: SeenColumn) -> bool:
    few = _first(column)
    likely = [bool(DATE_LIKE.fullmatch(text)) for text in few.texts]
    if few.n_distinct < FEWEST_NUMBERS or sum(likely) <= few.n_distinct / 2:
        return False
    forms = (None, *FORMS)
    return few.is_mostly(
        np.array([any(instant_of(text, form=form) is not None for form in forms) for text in few.texts])
    )


def _marks_beside(column: SeenColumn) -> list[str]:
    """List what stands beside the numbers of text, if it is little and more than one unit."""
    found = [MARKED.fullmatch(text) for text in column.texts]
    marks = sorted({f"{each[1]}…{each[2]}" for each in found if each})
    amounts = {re.sub(r"[^0-9.,]", "", each[0]) for each in found if each}
    if len(marks) > MOST_UNITS or (len(marks) < 2 and not any(each and each[1] for each in found)):
        return []
    many = len(amounts) >= max(FEWEST_NUMBERS, 2 * len(marks))
    return marks if many and column.is_mostly(np.array([*map(bool, found)])) else []


def _first(column: SeenColumn) -> SeenColumn:
    """Take distinct values from all parts of the file, each as often as it stands there."""
    if column.n_distinct <= TRIED:
        return column
    taken = np.linspace(0, column.n_distinct - 1, TRIED).astype(int)
    renumbered = np.full(column.n_distinct + 1, -1)
    renumbered[taken] = np.arange(TRIED)
    codes = renumbered[column.codes]
    some = column.dictionary.take(pa.array(taken))
    return replace(column, dictionary=some, codes=codes[codes >= 0], rows=column.rows[codes >= 0])


def _candidates(column: SeenColumn) -> Iterator[dict[str, Any]]:
    """Give options that may read a column, the plainer ones first."""
    texts = list(column.texts)
    decimals: tuple[dict[str, Any], ...] = ({}, {"decimal": "comma"})
    for decimal in ({"decimal": "point"}, {"decimal": "comma"}):
        yield {"kind": "number", **decimal}
    is_marked = any("(" in text or re.sub(NO_MARK, "", text) for text in texts)
    forms = ("percent", "money") if any(re.search(PER_CENT, text) for text in texts) else ("money",)
    for form in forms if is_marked else ():
        for decimal in decimals:
            yield {"kind": "number", "format": form, **decimal}
    units = pd.Series([found[1].strip() for text in texts if (found := WITH_UNIT.fullmatch(text))], dtype="str")
    for unit in units.mode()[:1] if len(units) > len(texts) / 2 else ():
        for decimal in (*decimals, {"decimal": "point"}):
            yield {"kind": "number", **decimal, "unit": unit}
    if sum(bool(DATE_LIKE.fullmatch(text)) for text in texts) > len(texts) / 2:
        yield {"kind": "date"}
        yield from ({"kind": "date", "format": form} for form in FORMS if _reads_any(form, texts[:5]))


def _reads_any(form: str, texts: list[str]) -> bool:
    return any(instant_of(text, form=form) is not None for text in texts)


def _describe(column: SeenColumn, options: dict[str, Any], read: np.ndarray) -> str:
    """Say what was seen in the values that `options` read."""
    first = column.examples(np.arange(column.n_distinct) == np.argmax(read))
    form = options.get("format")
    if options["kind"] == "date":
        other = next((form.replace(day, EITHER[day]) for day in EITHER if form and form.startswith(day)), None)
        if other is None or np.isnan(read_as(column, {**options, "format": other})[read]).any():
            return f"{first} and others look like dates"
        return f"{first} and others look like dates, in which day and month may be either way round ({other}),"
    marks = sorted({mark for text in column.texts[read] if (mark := re.sub(NO_MARK, "", text))})
    if form == "money" and len(marks) > 1:
        return f"{first} and others look like amounts of money in several currencies ({', '.join(marks[:3])})"
    what = {"money": "amounts of money", "percent": "per cents"}.get(form or "", "numbers")
    if "unit" in options:
        what += f" with the unit {options['unit']}"
    if options.get("decimal") == "comma":
        has_commas = any("," in text for text in column.texts[read])
        return f"{first} and others look like {what} with {'a decimal comma' if has_commas else POINTS}"
    if any(re.fullmatch(r"\D*[0-9]{1,3}(?:,[0-9]{3})+\D*", text) for text in column.texts[read]):
        return f"{first} and others look like {what} with commas between thousands"
    return f"{first} and others look like {what}"
