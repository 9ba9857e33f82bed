"""Columns that identify rows, which says nothing of the rows to come."""

import re

import numpy as np

from torchlane.core.rows.drafting.column import MOST_LEVELS
from torchlane.core.rows.drafting.seen import SeenColumn

IDS = "(?:row|record|cust|customer|user|item|patient|subject|player|order|product|passenger)?_?id|pid|uid|uuid|guid"
NAMES = rf"(?:^|.*[\W_])(?:{IDS}|key|index|idx|rownames?|row_?(?:no|nr|num|number)|unnamed.*)$"
CAMEL = r".*[a-z](?:Id|ID|Key|Uid|Uuid|Guid)"
CODES = rf"(?:^|.*[\W_])(?:{IDS}|code|zip|zip_?code|postal_?code|postcode|plz|fips)$"
CLASSES = r"(?:^|.*[\W_])(?:sub)?(?:class|type|category|cluster)$"
CAMEL_CLASSES = r".*[a-z](?:Class|Type|Category|Cluster)"
TIMES = r"(?:^|.*[\W_])(?:years?|yr|time|timestamp|date|day|month|week|epoch|unix|ages?)(?:$|[\W_].*)"
YEARS = (1500, 2100)
UNIQUE = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}"
NEARLY = 0.95  # the fraction of distinct values from which a column identifies nearly every row
LONG = 7  # digits of identifiers that all have as many, and of few amounts
MANY_ROWS = 100  # from which numbers that never repeat are worth a remark
CHANCE = 1e-4  # the probability that values of that range, drawn at random, all differ, below which they identify
LARGEST_STEP = 100  # the mean step of numbers that count the rows with gaps
FEWEST_ROWS = 5  # from which a name that identifies is believed
SURE_ROWS = 20  # from which values that all differ are hardly coincidence
WORDS_OF_TEXT = 5  # on average, from which values are free text rather than names


def why_number_identifies(column: SeenColumn, numbers: np.ndarray) -> str:
    """Say why a column of whole numbers, one for each text, identifies its rows; "" if it does not."""
    read, n_rows = numbers[~np.isnan(numbers)], len(column.codes)
    if _is_time(column.name, read) or min(column.n_distinct, len(read)) < max(2, NEARLY * n_rows):
        return ""
    steps = np.diff(read)
    if (steps == 1).all() and read[0] in (0, 1) and len(read) == n_rows:
        return "it numbers the rows"
    if is_named_like_one(column.name) and n_rows >= FEWEST_ROWS:
        return f"it has the name of an identifier, and {column.n_distinct} values in {n_rows} rows"
    if n_rows >= SURE_ROWS and ((steps > 0).all() or (steps < 0).all()) and np.ptp(read) <= LARGEST_STEP * n_rows:
        return "it counts the rows" + (", with gaps" if (np.abs(steps) != 1).any() else "")
    return ""


def may_identify(column: SeenColumn, numbers: np.ndarray) -> bool:
    """Whether unordered whole numbers may identify rows: that none repeats is no chance, or all are equally long."""
    n_rows = len(column.codes)
    if n_rows < MANY_ROWS or column.n_distinct < n_rows or np.isnan(numbers).any() or _is_time(column.name, numbers):
        return False
    lengths = {len(text) for text in column.texts}
    by_chance = float(np.exp(-(n_rows**2) / (2 * (np.ptp(numbers) + 1))))
    return by_chance < CHANCE or (len(lengths) == 1 and min(lengths) >= LONG)


def why_text_identifies(column: SeenColumn) -> str:
    """Say why a column of text identifies its rows or is free text; "" if it does neither."""
    n_present = len(column.present)
    if all(re.fullmatch(UNIQUE, text) for text in column.texts) and column.n_distinct > n_present / 2:
        return "it holds identifiers such as UUIDs"
    n_words = float(np.mean([len(text.split()) for text in column.texts[:1000]]))
    if n_words >= WORDS_OF_TEXT and column.n_distinct > max(MOST_LEVELS, n_present / 3):
        return f"it is free text, with {column.n_distinct} values in {n_present} rows"
    fewest = FEWEST_ROWS if is_named_like_one(column.name) else MOST_LEVELS + 1
    if column.n_distinct == n_present >= fewest:
        return "no value repeats"
    if column.n_distinct >= NEARLY * n_present and column.n_distinct > MOST_LEVELS:
        return f"nearly no value repeats, {column.n_distinct} in {n_present} rows"
    return ""


def is_named_like_one(name: str) -> bool:
    """Whether the name is that of an identifier, such as `id`, `PID`, `rownames` or none at all."""
    return name == "" or bool(re.fullmatch(NAMES, name.lower()) or re.fullmatch(CAMEL, name))


def is_named_like_code(name: str) -> bool:
    """Whether the name is that of a code, whose numbers are not amounts, such as `store_id` or `zip`."""
    return bool(re.fullmatch(CODES, name.lower()) or re.fullmatch(CAMEL, name))


def is_named_like_class(name: str) -> bool:
    """Whether the name is that of a class, whose numbers are not amounts, such as `MSSubClass` or `room_type`."""
    return bool(re.fullmatch(CLASSES, name.lower()) or re.fullmatch(CAMEL_CLASSES, name))


def is_named_like_time(name: str) -> bool:
    """Whether the name is that of a year, an age or another time, in which new values are to be expected."""
    return bool(re.fullmatch(TIMES, name.lower()))


def _is_time(name: str, numbers: np.ndarray) -> bool:
    """Whether numbers are years, or what their name says: ages, days and other times, which count up by themselves."""
    are_years = len(numbers) > 0 and numbers.min() >= YEARS[0] and numbers.max() <= YEARS[1]
    return are_years or is_named_like_time(name)
