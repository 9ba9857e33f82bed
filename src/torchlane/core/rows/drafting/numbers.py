"""Limits of numbers that follow from their meaning, and codes that only look like numbers."""

import re
from typing import Any

import numpy as np
import pyarrow as pa

from torchlane.core.rows.drafting.seen import SeenColumn

SHARES = r"(?:^|.*[\W_])(?:share|fraction|proportion|prob|probability)s?(?:$|[\W_].*)"
PER_CENTS = r"(?:^|.*[\W_])(?:pct|percent|percentage|per_?cent)(?:$|[\W_].*)|.*%.*"
SIGNED = (  # names of what may fall below 0 though it does not in the file
    r"temp|celsius|fahrenheit|degree|latitude|longitude|(?:^|[\W_])(?:lat|lon|lng)(?:$|[\W_])|delta|diff|chang|growth"
    r"|balance|profit|loss|return|margin|offset|deviation|anomal|elevation|altitude|z_?score|net(?:$|[\W_])|yield|inflation"
)
EXACT = 2**53  # from here on, float64 does not keep all whole numbers apart
LEADING_ZERO = r"0[0-9]+(?:\.[0-9]+)*"
POWER = r"[0-9]+[eE][0-9]+"  # programs write a sign or a point too: 1e+05, 1.0E5
CODE = rf"[0-9]+|{POWER}"
WITH_LETTER = r"[0-9]+[A-Za-z]{1,2}"


def limits_of(name: str, numbers: np.ndarray, is_percent: bool = False) -> dict[str, Any]:
    """Draft the limits that follow from the meaning of numbers, and never from their range in the file.

    Counts, which are whole and none of which is below 0, have the minimum 0. Shares have 0 and 1, and per cents
    0 and 100, if their name or format says what they are. What may fall below 0, such as a temperature, has none.
    """
    name = name.lower()
    low, high = numbers.min(), numbers.max()
    if low < 0 or re.search(SIGNED, name):
        return {}
    if re.fullmatch(SHARES, name) and high <= 1 and not is_percent:
        return {"minimum": 0, "maximum": 1}
    if (is_percent or re.fullmatch(PER_CENTS, name)) and high <= 100:
        return {"minimum": 0, "maximum": 100}
    return {"minimum": 0} if are_whole(numbers) else {}


def are_whole(numbers: np.ndarray) -> bool:
    """Whether no number has a fraction; NaN has none."""
    return bool((np.isnan(numbers) | (numbers == np.round(numbers))).all())


def range_note(numbers: np.ndarray) -> str:
    """Describe the range of numbers in the file, with six digits."""
    low, high = (int(each) if each == round(each) and abs(each) < EXACT else f"{each:.6g}"
                 for each in (np.nanmin(numbers), np.nanmax(numbers)))  # fmt: skip
    return f"{low} to {high} in the file"


def why_codes(column: SeenColumn, may_be: bool) -> str:
    """Say why whole numbers are codes, whose text matters; "" if they are not, or only a few of them are.

    `may_be` is the result of `may_be_codes`.
    """
    if may_be:
        for rule, why in ((LEADING_ZERO, "leading zeros"), (POWER, "a letter E")):
            those = _matching(column.texts, rule)
            alike = _matching(column.texts, CODE).all() and len({len(text) for text in column.texts}) == 1
            if those.any() and (alike or not column.is_mostly(~those)):
                return f"{column.examples(those, with_rest=False)} and other codes with {why}"
    others = np.isnan(column.numbers)
    if (
        column.n_rows_of(others) > 1
        and are_whole(column.numbers)
        and _matching(column.texts[others], WITH_LETTER).all()
    ):
        return f"{column.examples(others, with_rest=False)} and other codes, some with letters,"
    beyond = np.abs(column.numbers) >= EXACT
    if beyond.any():
        beyond &= _matching(column.texts, "[+-]?[0-9]+")
        if beyond.any() and are_whole(column.numbers):
            examples = column.examples(beyond, with_rest=False)
            return f"{examples} and other whole numbers beyond 2^53, which float64 does not keep apart,"
    return ""


def may_be_codes(column: SeenColumn) -> bool:
    """Whether some text would be a code if more rows had such texts, like 007 among numbers."""
    if not _holds_zero_or_power(column.dictionary):  # as in most columns
        return False
    return bool(re.search(f"^(?:{LEADING_ZERO}|{POWER})$", "\n".join(column.texts), re.MULTILINE))


def _holds_zero_or_power(texts: pa.Array) -> bool:
    """Whether some text begins with a zero and another digit, or holds a letter E; seen in the bytes of all texts."""
    _, ends, content = texts.cast(pa.large_binary()).buffers()
    offsets = np.frombuffer(ends, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if content is None or not len(texts):
        return False
    letters = np.frombuffer(content, np.uint8)[: offsets[-1]]
    starts = offsets[:-1][np.diff(offsets) > 1]
    after_zero = letters[starts[letters[starts] == ord("0")] + 1]
    return bool(((after_zero >= ord("0")) & (after_zero <= ord("9"))).any() or ((letters | 32) == ord("e")).any())


def code_like(column: SeenColumn) -> np.ndarray:
    """Mark those texts."""
    return _matching(column.texts, f"{LEADING_ZERO}|{POWER}")


def _matching(texts: np.ndarray, rule: str) -> np.ndarray:
    pattern = re.compile(rule)
    return np.array([bool(pattern.fullmatch(text)) for text in texts], dtype=bool)
