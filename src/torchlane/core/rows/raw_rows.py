"""Raw rows, as a table or in chunks, and the torn lines among them, which are not rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

TORN = "(torn)\n"  # a column of raw rows; a header cannot have it, since names are stripped and contain no line break


@dataclass(frozen=True)
class Chunk:
    """Some raw rows of a file, as text or typed.

    `rows` are their numbers, int64 (n_rows,). `broken` are the torn lines among them: row number, text and
    the rule that is broken. `numbers` marks, by column, the texts that were typed numbers in the file, bool (n_rows,).
    """

    rows: np.ndarray
    table: pa.Table
    broken: list[tuple[int, str, str]] = field(default_factory=list)
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict)


def columns_of(raw_rows: pd.DataFrame) -> list[str]:
    """List the columns of the file."""
    return [str(name) for name in raw_rows.columns if name != TORN]


def torn_rule(n_fields: int, text: str = "", found: int = 0, separator: str = ",") -> str:
    """Name the rule that a torn row breaks, and the likely cause: it has more or fewer fields than the header."""
    rule = f"{n_fields} fields, as the header has"
    if not found:
        return rule
    if found == n_fields + 1 and text.rstrip(" ").endswith(separator):
        return f"{rule}, without a separator at the end of the line"
    if found > n_fields:
        return f"{rule}, and not {found}: a text that holds the separator needs quotes"
    return f"{rule}, and not {found}"


def mark_torn(sound: pd.DataFrame, torn: Mapping[int, str], rules: Mapping[int, str] | None = None) -> pd.DataFrame:
    """Insert torn rows into a table. `torn` has their text by row number; the index of `sound` has row numbers.

    A torn row has missing values in all columns of the file. Its rule, by default that of `torn_rule`, and, on a
    second line, its text are in the column `TORN`, which only tables with torn rows have; there, sound rows have
    missing values. So rows keep their state when the table is sliced, sorted or joined. The index of the result
    starts at 0.
    """
    if torn:
        rules = dict.fromkeys(torn, torn_rule(len(sound.columns))) if rules is None else rules
        sound = sound.reindex(pd.RangeIndex(1, len(sound) + len(torn) + 1))
        sound[TORN] = pd.Series({row: f"{rules[row]}\n{text}" for row, text in torn.items()}, dtype="str")
    return sound.reset_index(drop=True)


def hint_at_header(names: list[str]) -> str:
    """Say so if the names of columns look like the values of a row, as where a file has no header."""
    numbers = sum(bool(re.fullmatch(r"[-+]?[0-9]+([.,][0-9]+)?", name)) for name in names)
    return "; the first line looks like a row: put a header above it" if 2 * numbers >= len(names) else ""


def find_torn(raw_rows: pd.DataFrame) -> pd.DataFrame:
    """List torn rows by position, counted from 0: `rule`, and their text as `value`."""
    marks = raw_rows[TORN].reset_index(drop=True).dropna() if TORN in raw_rows else pd.Series(dtype="str")
    parts = [str(mark).partition("\n") for mark in marks]
    columns = {"rule": [rule for rule, *_ in parts], "value": [text for *_, text in parts]}
    return pd.DataFrame(columns, marks.index, dtype="str")
