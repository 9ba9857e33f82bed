"""Numbers as people write them: amounts of money, per cents, decimal commas and units."""

import logging
import re
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from torchlane.core.options import ColumnOptions
from torchlane.core.rows.plain_numbers import is_plain, read_plain
from torchlane.core.rows.raw_rows import Chunk
from torchlane.core.rows.values import MISSING_NUMBERS, NUMBERS, as_numbers, as_texts, typed_as

logger = logging.getLogger(__name__)

CURRENCIES = (  # ISO 4217, signs of other alphabets than ours, and words; US$, A$ and R$ too
    r"[A-Za-z]{0,3}[$\u00a2-\u00a5\u058f\u060b\u09f2\u09f3\u0af1\u0bf9\u0e3f\u17db\u20a0-\u20c0\ufdfc\ufe69\uff04\uffe0\uffe1\uffe5\uffe6]|"
    "AED|AFN|ALL|AMD|ANG|AOA|ARS|AUD|AWG|AZN|BAM|BBD|BDT|BGN|BHD|BIF|BMD|BND|BOB|BRL|BSD|BTN|BWP|BYN|BZD|CAD|CDF|"
    "CHF|CLP|CNY|COP|CRC|CUP|CVE|CZK|DJF|DKK|DOP|DZD|EGP|ERN|ETB|EUR|FJD|FKP|GBP|GEL|GHS|GIP|GMD|GNF|GTQ|GYD|HKD|"
    "HNL|HRK|HTG|HUF|IDR|ILS|INR|IQD|IRR|ISK|JMD|JOD|JPY|KES|KGS|KHR|KMF|KPW|KRW|KWD|KYD|KZT|LAK|LBP|LKR|LRD|LSL|"
    "LYD|MAD|MDL|MGA|MKD|MMK|MNT|MOP|MRU|MUR|MVR|MWK|MXN|MYR|MZN|NAD|NGN|NIO|NOK|NPR|NZD|OMR|PAB|PEN|PGK|PHP|PKR|"
    "PLN|PYG|QAR|RON|RSD|RUB|RWF|SAR|SBD|SCR|SDG|SEK|SGD|SHP|SLE|SOS|SRD|SSP|STN|SVC|SYP|SZL|THB|TJS|TMT|TND|TOP|"
    "TRY|TTD|TWD|TZS|UAH|UGX|USD|UYU|UZS|VES|VND|VUV|WST|XAF|XCD|XOF|XPF|YER|ZAR|ZMW|ZWL"
    r"|kr\.?|K\u010d|z\u0142|Ft|S?Fr\.?|Rs\.?|\u043b\u0432\.?|\u0440\u0443\u0431\.?|[Ll]ei|din\."
)
SAME = {
    "\u20ac": "EUR",
    "\u00a3": "GBP",
    "$": "USD",
    "US$": "USD",
    "kr.": "kr",
    "Rs.": "Rs",
    "Fr.": "CHF",
    "SFr.": "CHF",
}
MINUS = "-\u2212"  # of keyboards, and of typography
GAPS = " \u00a0\u2009\u202f'\u2019"  # between groups of digits
DASHES = r"\-\u2013\u2014\u2212"
SHOWN = {
    ("money", "point"): "$1,234.50",
    ("money", "comma"): "1.234,50 €",
    ("percent", "point"): "45.3%",
    ("percent", "comma"): "45,3 %",
    (None, "point"): "1,234.5",
    (None, "comma"): "1.234,5",
}


def read_formatted(
    values: pd.Series, column: ColumnOptions, missing_values: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Read numbers in the format of their column: float64, NaN where missing, and a mark where it is none.

    Typed numbers are plain numbers. Text is read as `column` says; what may be missing is as for `as_numbers`, where a
    number among `missing_values` is read as `column` says too.
    Digits stand in groups of three or in no groups, so `1,23` is no amount with a decimal point. Commas or points
    group digits only in amounts of money and where `decimal` is declared, since `1,234` may mean two numbers.
    """
    numbers = typed_as(values, *NUMBERS)
    missing = [_missing_number(text, column) for text in missing_values]
    if numbers.all():
        read, failed = as_numbers(values, ())
        return np.where(np.isin(read, missing), np.nan, read), failed
    read = np.full(len(values), np.nan)
    failed = np.zeros(len(values), dtype=bool)
    if numbers.any():
        read[numbers], failed[numbers] = as_numbers(values[numbers], ())
    texts = as_texts(values[~numbers]).str.strip()
    plain = is_plain(texts) if column.decimal != "comma" else np.zeros(len(texts), dtype=bool)
    where = np.flatnonzero(~numbers)
    read[where[plain]] = read_plain(texts[plain]) + 0.0  # they mean the same in each format, and are read sooner
    codes, distinct = pd.factorize(texts[~plain], use_na_sentinel=False)
    each = np.array([_read_text(text, column, missing_values) for text in distinct], dtype=np.float64).reshape(-1, 2)
    read[where[~plain]], failed[where[~plain]] = each[codes, 0], each[codes, 1] == 1
    read[np.isin(read, missing)] = np.nan
    return read, failed


def as_declared(chunk: Chunk, name: str, column: ColumnOptions) -> pa.ChunkedArray:
    """Give a column of a chunk with its typed numbers as `column` writes numbers, if they are there as text."""
    values = chunk.table[name]
    if column.decimal != "comma" or name not in chunk.numbers:
        return values
    return pc.if_else(pa.chunked_array([chunk.numbers[name]]), pc.replace_substring(values, ".", ","), values)


def warn_of_currencies(values: pd.Series, column: ColumnOptions, name: str) -> None:
    """Warn if the amounts of a column are in several currencies and its options do not name one."""
    if column.format != "money" or column.unit is not None:
        return
    found = as_texts(values[~typed_as(values, *NUMBERS)]).str.extract(f"({CURRENCIES})", expand=False)
    counts = found.replace(SAME).value_counts()
    if len(counts) > 1:
        logger.warning(
            "column '%s' has amounts in %s, which are read as plain numbers; set data.columns.%s.unit to the "
            "currency whose rows are to be kept, or convert the amounts in the file",
            name, " and ".join(f"{currency} ({count} rows)" for currency, count in counts.items()), name,
        )  # fmt: skip


def rule_of(column: ColumnOptions) -> str:
    """Say in words what a number in the format of its column is."""
    what = {"money": "an amount of money", "percent": "a percentage"}.get(column.format or "", "a number")
    example = SHOWN[column.format if column.format in ("money", "percent") else None, column.decimal or "point"]
    if column.unit is None:
        return f"{what} such as {example}"
    if column.format == "money":
        return f"{what} in {column.unit}, such as {example.strip('$€ ')} {column.unit}"
    return f"{what} in {column.unit}, such as {'1,5' if column.decimal == 'comma' else '1.5'} {column.unit}"


def _read_text(text: str | float, column: ColumnOptions, missing_values: tuple[str, ...]) -> tuple[float, bool]:
    """Read one text: its number, and whether it is neither a number nor missing."""
    if not isinstance(text, str) or text in missing_values:
        return np.nan, False
    found = _read_amount(text, column.format, column.decimal, column.unit)
    return (np.nan, text.lower() not in MISSING_NUMBERS) if found is None else (found + 0.0, False)


def _missing_number(text: str, column: ColumnOptions) -> float:
    """Read one of the declared missing values, in the format of the column or as a plain number; NaN if it is none."""
    found = _read_amount(text, column.format, column.decimal, column.unit)
    return float(pd.to_numeric(text, errors="coerce")) if found is None else found


def _read_amount(text: str, form: str | None, decimal: str | None, unit: str | None) -> float | None:
    mark, whole = _patterns(form, decimal, unit)
    bracketed = form is not None and re.fullmatch(rf"({mark})?\s*\((?P<inside>.*)\)\s*({mark})?", text)
    found = whole.fullmatch(bracketed["inside"].strip() if bracketed else text)
    if found is None:
        return None
    signs = [sign for sign in found.group("sign", "inner", "after", "last") if sign]
    if len(signs) > (0 if bracketed else 1):
        return None
    digits = re.sub(rf"[{GAPS}{'.' if decimal == 'comma' else ','}]", "", found["number"]).replace(",", ".")
    return -float(digits) if bracketed or (signs and signs[0] in MINUS) else float(digits)


@cache
def _patterns(form: str | None, decimal: str | None, unit: str | None) -> tuple[str, re.Pattern[str]]:
    """Build the pattern of the sign of a unit, and that of a whole number."""
    sign, minus, number = (
        r"[+\-\u2212]",
        r"[\-\u2212]",
        _digits(decimal == "comma", form == "money" or decimal is not None),
    )
    if form == "money":
        mark = re.escape(unit.strip()) if unit else rf"(?:{CURRENCIES})"
        dash = rf"(?:[.,][{DASHES}])?"  # 5,- and 5.- are whole amounts
        pattern = (
            rf"(?P<sign>{sign})?\s*(?:{mark})?\s*(?P<inner>{sign})?\s*{number}{dash}"
            rf"(?P<after>{minus})?\s*(?:{mark})?\s*(?P<last>{minus})?"
        )
    else:
        mark = r"[%\uff05]" if form == "percent" else re.escape(unit.strip()) if unit else r"(?!)"
        before = rf"(?:{mark}\s*)?" if form == "percent" else ""
        pattern = rf"(?P<sign>{sign})?\s*{before}(?P<inner>{sign})?{number}\s*(?:{mark})?(?P<after>)(?P<last>)"
    return mark, re.compile(pattern)


def _digits(comma: bool, grouping: bool) -> str:
    """Build the pattern of a number without sign: in groups of three, in groups of Indian numbers, or plain."""
    point, group = (",", ".") if comma else (".", ",")
    fraction = rf"[{point}](?:[0-9]+|(?![{DASHES}]))"
    grouped = rf"[1-9][0-9]{{0,2}}(?:(?P<by>[{group if grouping else ''}{GAPS}])[0-9]{{3}}(?:(?P=by)[0-9]{{3}})*)"
    indian = rf"[1-9][0-9]?(?:[{group}][0-9]{{2}})+[{group}][0-9]{{3}}" if grouping else "(?!)"
    plain = rf"(?:[0-9]+(?:{fraction})?|[{point}][0-9]+)(?:[eE][+\-]?[0-9]+)?"
    return rf"(?P<number>(?:{grouped}|{indian})(?:{fraction})?|{plain})"
