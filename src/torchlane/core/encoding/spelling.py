"""Unseen levels that train knows in another spelling, such as 501 for 00501, 1,5 for 1.50 or red for Red."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.options.levels import plain_number
from torchlane.core.rows.checking import ROW

MOST = 1000  # unseen levels of a column that are looked at, the first ones
TRUTH = {"true": "1", "false": "0"}
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]{1,2})?")
DECIMAL_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]+")
THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}([,.'])[0-9]{3}(\1[0-9]{3})*([.,][0-9]+)?")


@dataclass(frozen=True)
class Respelling:
    """Rows of one column whose unseen levels train knows in another spelling, with the first of them."""

    column: str
    value: str
    known: str
    first_row: int
    n_rows: int

    def __str__(self) -> str:
        rows = f"{self.n_rows} rows, from row {self.first_row} on," if self.n_rows > 1 else f"row {self.first_row}"
        return (
            f"'{self.column}' of {rows} is unseen, but train knows it in another spelling, such as '{self.value}' as "
            f"'{self.known}' ({_difference(self.value, self.known)}); write it as in the rows of train"
        )

    def __add__(self, other: "Respelling") -> "Respelling":
        first = min(self, other, key=lambda each: each.first_row)
        return Respelling(self.column, first.value, first.known, first.first_row, self.n_rows + other.n_rows)


def known_spellings(unseen: Iterable[str], levels: tuple[str, ...]) -> dict[str, str]:
    """Return the level that is another spelling of an unseen one, for the unseen ones that have such a level.

    >>> known_spellings(["501", "RED ", "1,5", "blue", "1"], ("00501", "red", "1.50", "True"))
    {'501': '00501', 'RED ': 'red', '1,5': '1.50', '1': 'True'}
    """
    known = _by_spelling(levels)
    found = ((each, next((known[key] for key in _spellings(each) if key in known), None)) for each in unseen)
    return {value: level for value, level in found if level is not None}


def respelt_columns(encoder: Encoder, rows: pd.DataFrame, features: np.ndarray | None = None) -> Iterator[Respelling]:
    """Look for such levels in clean rows; `features` (n_rows, n_columns) are those rows encoded, if they are."""
    start = 0
    for column in encoder.tabular:
        if isinstance(column, CategoryEncoder):
            codes = column.codes(rows[column.name]) if features is None else features[:, start]
            where = np.flatnonzero(codes == column.unseen)
            if len(where):
                yield from _respelt(column, rows[column.name].iloc[where], rows[ROW].to_numpy()[where])
        start += column.width


def _respelt(column: CategoryEncoder, unseen: pd.Series, numbers: np.ndarray) -> Iterator[Respelling]:
    known = known_spellings(unseen.dropna().unique()[:MOST], column.levels)
    if known:
        where = np.flatnonzero(unseen.isin(list(known)))
        value = str(unseen.iloc[where[0]])
        yield Respelling(column.name, value, known[value], int(numbers[where[0]]), len(where))


@lru_cache(maxsize=256)
def _by_spelling(levels: tuple[str, ...]) -> dict[str, str]:
    return {key: level for level in reversed(levels) for key in _spellings(level)}


def _spellings(level: str) -> list[str]:
    """Give the plain forms of a level: folded, without white space or leading zeros, and each number it may mean."""
    text = _folded(level).lstrip("'")
    text = TRUTH.get(text, text)
    forms = [text, text.lstrip("0") or text[:1]]
    numbers = [text]
    if DECIMAL_COMMA.fullmatch(text):
        numbers.append(text.replace(",", "."))
    if grouped := THOUSANDS.fullmatch(text):
        numbers.append(text.replace(grouped[1], "").replace(",", "."))
    forms += [plain_number(each) for each in numbers if NUMBER.fullmatch(each)]
    return list(dict.fromkeys(forms))


def _folded(level: str) -> str:
    return "".join(unicodedata.normalize("NFKC", level).casefold().split())


def _difference(value: str, known: str) -> str:
    if value.lstrip("0") == known.lstrip("0"):
        return "leading zeros"
    if value.casefold() == known.casefold():
        return "upper and lower case"
    if "".join(value.split()) == "".join(known.split()):
        return "white space"
    if _folded(value) == _folded(known):
        return "the form of characters"
    return "a word or a number" if {_folded(value), _folded(known)} & set(TRUTH) else "the form of the number"
