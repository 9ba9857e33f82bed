"""Raw rows, whole or by chunks, and the lines among them that are no rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

TORN = "(torn)\n"  # a column of raw rows; no header names one so, since names are stripped and stand in one line


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file, raw: text or typed.

    `rows` are their numbers, int64 (n_rows,). `broken` are the lines among them that are no rows:
    number, text and the rule that they break.
    """

    rows: np.ndarray
    table: pa.Table
    broken: list[tuple[int, str, str]] = field(default_factory=list)


def columns_of(raw_rows: pd.DataFrame) -> list[str]:
    """Name the columns that the file has."""
    return [str(name) for name in raw_rows.columns if name != TORN]


def torn_rule(n_fields: int) -> str:
    """Name the rule that a torn row breaks: one with more or fewer fields than the header."""
    return f"{n_fields} fields, as the header has"


def mark_torn(sound: pd.DataFrame, torn: Mapping[int, str]) -> pd.DataFrame:
    """Put torn rows, texts by row number, among sound ones, whose index holds theirs; the result counts from 0.

    A torn row is missing in every column of the file. The column `TORN`, which only tables with torn rows
    have, holds the rule that it breaks and, in a second line, its text; there the sound rows are missing.
    So each row stays what it is when the table is sliced, sorted or joined with others.
    """
    if torn:
        rule = torn_rule(len(sound.columns))
        sound = sound.reindex(pd.RangeIndex(1, len(sound) + len(torn) + 1))
        sound[TORN] = pd.Series({row: f"{rule}\n{text}" for row, text in torn.items()}, dtype="str")
    return sound.reset_index(drop=True)


def find_torn(raw_rows: pd.DataFrame) -> pd.DataFrame:
    """List torn rows by their places from 0 on: `rule` and `value`, their text."""
    marks = raw_rows[TORN].reset_index(drop=True).dropna() if TORN in raw_rows else pd.Series(dtype="str")
    parts = [str(mark).partition("\n") for mark in marks]
    columns = {"rule": [rule for rule, *_ in parts], "value": [text for *_, text in parts]}
    return pd.DataFrame(columns, marks.index, dtype="str")
