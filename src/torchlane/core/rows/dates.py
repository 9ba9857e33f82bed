"""Dates and times of every kind of file and data frame, as points in time."""

from typing import Any

import numpy as np
import pandas as pd

from torchlane.core.options import ColumnOptions
from torchlane.core.options.moments import instant_of
from torchlane.core.rows.values import MISSING_NUMBERS, TIMES, as_texts, typed_as

MISSING_DATES = (*MISSING_NUMBERS, "nat")  # mean "missing" in a column of dates, in any case
NO_TIME = np.iinfo(np.int64).min  # NumPy's number for a missing point in time


def read_dates(
    values: pd.Series, column: ColumnOptions, missing_values: tuple[str, ...]
) -> tuple[pd.Series, np.ndarray]:
    """Read points in time: datetime64[us] in the zone of the column, NaT where missing, and a mark where it is none.

    Typed dates and times are read by their value, and everything else by its text, in the format of the column. A date
    among `missing_values` is missing however it is written: 9999-12-31 as 9999-12-31 00:00 too.
    """
    typed = typed_as(values, *TIMES)
    instants = np.full(len(values), NO_TIME)
    failed = np.zeros(len(values), dtype=bool)
    for form, where in ((None, typed), (column.format, ~typed)):
        texts = as_texts(values[where]).str.strip()
        codes, distinct = pd.factorize(texts)
        each = [
            None if text in missing_values else instant_of(text, column.zone_name, form) for text in map(str, distinct)
        ]
        missing = [text in missing_values or text.lower() in MISSING_DATES for text in map(str, distinct)]
        read = np.array([NO_TIME if instant is None else instant for instant in each] + [NO_TIME])
        wrong = np.array([instant is None and not missing[i] for i, instant in enumerate(each)] + [False])
        instants[where], failed[where] = read[codes], wrong[codes]
    missing_instants = [
        instant_of(text, column.zone_name, form) for text in missing_values for form in {None, column.format}
    ]
    instants[np.isin(instants, [each for each in missing_instants if each is not None])] = NO_TIME
    return moments_of(instants, column.zone_name), failed


def instants_of(moments: pd.Series) -> np.ndarray:
    """Give dates as microseconds since 1970 in UTC: int64 (n_rows,); a missing one is `NO_TIME`."""
    return moments.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)


def moments_of(instants: np.ndarray, zone: Any) -> pd.Series:
    """Give the dates of the result of `instants_of`, in a time zone."""
    return pd.Series(instants.view("datetime64[us]")).dt.tz_localize("UTC").dt.tz_convert(zone)


def rule_of(column: ColumnOptions) -> str:
    """Say in words what a date of a column is."""
    if column.format is None:
        return "a date such as 2025-03-01 or 2025-03-01 06:30"
    return f"a date in the format {column.format}"


def limits_of(column: ColumnOptions) -> tuple[pd.Timestamp | None, pd.Timestamp | None]:
    """Give the earliest and the latest point in time that a column allows."""
    low, high = (None if each is None else pd.Timestamp(each, unit="us", tz="UTC") for each in column.limits)
    return low, high
