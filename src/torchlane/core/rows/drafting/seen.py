"""The values of a column as they were seen in a file: each distinct value once, with its rows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from torchlane.core.rows.alike import JOINED, stacked
from torchlane.core.rows.checking import LARGEST
from torchlane.core.rows.drafting.column import MISSING
from torchlane.core.rows.plain_numbers import read_plain, whole
from torchlane.core.rows.raw_rows import columns_of
from torchlane.core.rows.values import as_levels, as_numbers

BOOLEANS = ("False", "True")  # as `as_levels` writes them; they are numbers too
MOST_BAD = 0.05  # the largest fraction of values that are no numbers, in a column of numbers
SOME = 20  # texts that are looked at before all others
FEWEST_ROWS = 10  # from which one such value is no reason to take a column for text


@dataclass(frozen=True)
class SeenColumn:
    """The distinct values of a column in the order of the file.

    `dictionary` (n_distinct,) has them as text, written as levels. `codes` (n_rows,) is the position of each row's
    text, or -1 if its value is missing. `rows` (n_rows,) are the numbers of the rows in the file.
    """

    name: str
    dictionary: pa.Array
    codes: np.ndarray
    rows: np.ndarray

    @property
    def n_distinct(self) -> int:
        """How many distinct values there are, besides missing ones."""
        return len(self.dictionary)

    @cached_property
    def texts(self) -> np.ndarray:
        """The distinct values as Python's text, object (n_distinct,), which takes longer than all else of numbers."""
        return self.dictionary.to_numpy(zero_copy_only=False)

    def looks(self) -> Iterator[np.ndarray]:
        """Give the first texts, which often tell enough, and then all of them."""
        yield self.dictionary[:SOME].to_numpy(zero_copy_only=False)
        yield self.texts

    @cached_property
    def present(self) -> np.ndarray:
        """The codes that are not missing."""
        return self.codes[self.codes >= 0]

    @cached_property
    def counts(self) -> np.ndarray:
        """How many rows have each text, int64 (n_distinct,)."""
        return np.bincount(self.present, minlength=self.n_distinct)

    @cached_property
    def numbers(self) -> np.ndarray:
        """Each text as a number, float64 (n_distinct,), NaN if it is none or too large for a feature."""
        read = read_plain(self.dictionary)
        if np.isnan(read).any() and len(words := [i for i, text in enumerate(self.texts) if text in BOOLEANS]):
            read[words], _ = as_numbers(pd.Series(self.texts[words], dtype="str"), MISSING)
        return np.where(np.abs(read) <= LARGEST, read, np.nan)

    def by_row(self, numbers: np.ndarray) -> np.ndarray:
        """Give the number of each row, float64 (n_rows,), from those of the texts; NaN where missing."""
        return np.append(numbers, np.nan)[self.codes]

    def n_rows_of(self, those: np.ndarray) -> int:
        """Count the rows with texts that are marked in `those`, bool (n_distinct,)."""
        return int(self.counts[those].sum())

    def is_mostly(self, those: np.ndarray, among: np.ndarray | None = None) -> bool:
        """Whether the texts that are marked in `those` stand in all rows but a few, of those marked in `among`."""
        n_rows = len(self.present) if among is None else self.n_rows_of(among)
        n_others = n_rows - self.n_rows_of(those if among is None else those & among)
        few = n_others <= MOST_BAD * n_rows or (n_others == 1 and n_rows >= FEWEST_ROWS)
        return bool(those.any()) and few

    def examples(self, those: np.ndarray, most: int = 3, *, with_rest: bool = True) -> str:
        """Quote texts marked in `those`, each with the number of its first row; `with_rest` counts those not shown."""
        where = np.flatnonzero(those)
        shown = [f"{quoted(self.texts[each])} (row {self.first_row(each)})" for each in where[:most]]
        return ", ".join(shown) + (f" and {len(where) - most} more" if with_rest and len(where) > most else "")

    @property
    def first(self) -> str:
        """Quote the first text, with the number of its row; "" if there is none."""
        return self.examples(np.arange(self.n_distinct) == 0)

    def first_row(self, code: int) -> int:
        """Give the number of the first row with a text."""
        return int(self.rows[np.argmax(self.codes == code)])

    def without(self, missing_values: Iterable[str]) -> "SeenColumn":
        """Take `missing_values` as missing."""
        values = pa.array(list(missing_values), self.dictionary.type)
        kept = ~pc.is_in(self.dictionary, values).to_numpy(zero_copy_only=False)
        if kept.all():
            return self
        renumbered = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
        return replace(self, dictionary=self.dictionary.filter(pa.array(kept)), codes=renumbered[self.codes])


def see(raw_rows: pd.DataFrame) -> dict[str, SeenColumn]:
    """Look at all columns of raw rows; empty values are missing.

    Raises:
        ValueError: as for `as_levels`.
    """
    index = raw_rows.index
    rows = index.to_numpy() + 1 if pd.api.types.is_integer_dtype(index) else np.arange(1, len(raw_rows) + 1)
    names = columns_of(raw_rows)
    are_text = all(isinstance(dtype, pd.StringDtype) for dtype in raw_rows[names].dtypes)
    step = max(1, JOINED // max(1, len(raw_rows))) if are_text else 1
    seen = {}
    for start in range(0, len(names), step):
        some = names[start : start + step]
        levels = whole(as_levels(stacked([raw_rows[name] for name in some]), MISSING))
        for number, name in enumerate(some):
            found = levels.slice(number * len(rows), len(rows)).dictionary_encode()
            codes = found.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
            seen[name] = SeenColumn(name, found.dictionary, codes, rows)
    return seen


def quoted(text: str) -> str:
    """Quote a text in a remark, cut if it is long."""
    return f"'{text}'" if len(text) <= 40 else f"'{text[:39]}…'"


def count(number: int, noun: str) -> str:
    """Write a number with its noun, in the plural if it is not 1."""
    return f"{number} {noun}{'s' * (number != 1)}"
