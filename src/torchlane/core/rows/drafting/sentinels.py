"""Numbers and dates that may stand for a missing value, such as -999 and 9999-12-31, and a last row of totals."""

import re

import numpy as np

from torchlane.core.rows.drafting.seen import SeenColumn, count

NUMBERS = r"[+-]?(?:9{2,}|8{2,}|7{2,}|2147483647|32767)(?:\.0+)?|-(?:2147483648|32768)"
SMALLEST = 77  # of those numbers
DAY = 86_400.0  # seconds
DECADE = 3_652 * DAY
TOTALS = r"(?:grand |sub ?)?(?:totals?|sum|average|mean)|summe|gesamt(?:summe)?|totaal|somme|moyenne|total general|suma"


def remarks_on_sentinels(column: SeenColumn, numbers: np.ndarray, kind: str) -> list[str]:
    """Give a remark on values that lie apart from all others and are known to be written for missing ones.

    `numbers` (n_distinct,) are those of the texts, dates in seconds since 1970. A value lies apart if it is further
    from the others than they are from each other.
    """
    may = _may_be_dates(numbers) if kind == "date" else _may_be_numbers(column)
    read = ~np.isnan(numbers)
    others = numbers[read & ~may]
    if not (may & read).any() or len(others) < 2:
        return []
    low, high = others.min(), others.max()
    apart = max(high - low, DECADE if kind == "date" else 0.0)
    those = may & read & ((numbers < low - apart) | (numbers > high + apart))
    those |= may & (numbers < 0) & (low >= 0) & (kind == "number")
    if not those.any():
        return []
    n_rows = count(column.n_rows_of(those), "row")
    return [
        f"{column.examples(those)}, in {n_rows}, lies apart from all other values; it is kept as a {kind}, so add it "
        f"to data.missing_values if it means missing"
    ]


def remarks_on_total(column: SeenColumn) -> list[str]:
    """Give a remark if the last row has a word such as Total that no other row has."""
    if not len(column.codes) or column.codes[-1] < 0:
        return []
    last = int(column.codes[-1])
    word = column.texts[last].strip(" :.").casefold()
    if column.counts[last] > 1 or not re.fullmatch(TOTALS, word):
        return []
    those = np.arange(column.n_distinct) == last
    return [
        f"{column.examples(those)} stands in the last row only, which may be the total of the others; it is kept as a "
        f"row like them, so delete it from the file if it is none"
    ]


def _may_be_numbers(column: SeenColumn) -> np.ndarray:
    """Mark the texts that are known to be written for missing values; only large whole numbers are looked at."""
    found = np.zeros(column.n_distinct, dtype=bool)
    for each in np.flatnonzero((np.abs(column.numbers) >= SMALLEST) & (column.numbers == np.round(column.numbers))):
        found[each] = re.fullmatch(NUMBERS, column.texts[each]) is not None
    return found


def _may_be_dates(seconds: np.ndarray) -> np.ndarray:
    """Mark the first and the last day of a year."""
    days = np.where(np.isnan(seconds), 1.5 * DAY, seconds).astype("datetime64[s]").astype("datetime64[D]")
    years = days.astype("datetime64[Y]")
    first = days == years.astype("datetime64[D]")
    last = days + 1 == (years + 1).astype("datetime64[D]")
    return (first | last) & ~np.isnan(seconds)
