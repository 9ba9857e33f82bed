"""One spelling for each level, however a file or a library has written the value."""

import re
from decimal import Decimal

WHOLE = r"-?[0-9]+\.0+"  # a whole number with decimals, as pandas writes 50 if another value is missing
NEGATIVE_ZERO = "-0"
POWER = r"-?[0-9](?:\.[0-9]+)?[eE][+-][0-9]{1,3}"  # as programs write numbers; 1E5 has no sign, and may be a code
BOOLEAN = r"[Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]"
DATE, TIME, OFFSET = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    r"\+?[0-9]{2}:[0-9]{2}:[0-9]{2}",
    r"[+-][0-9]{2}:?[0-9]{2}(?::[0-9]{2})?",
)
CLOCK = rf"(?:({DATE})[T ]|(-?[0-9]+ days) )?({TIME})(?:\.([0-9]+))?(Z|{OFFSET})?"
RESPELT_CLOCK = (
    rf"{DATE}T{TIME}.*|.*{TIME}\.[0-9]*0(?:{OFFSET})?|.*{TIME}.*Z|.*{TIME}.*[+-][0-9]{{4}}.*"
    rf"|(?:{DATE}|-?[0-9]+ days) \+?00:00:00"
)
RESPELT = (
    rf"^(?:{WHOLE}|{NEGATIVE_ZERO}|{POWER}|{BOOLEAN}|{RESPELT_CLOCK})$"  # every text that is not in its plain spelling
)

_CLOCK = re.compile(CLOCK)
_POWER = re.compile(POWER)
_WHOLE = re.compile(WHOLE)


def plain_level(value: object) -> str:
    """Write a level in its plain spelling, in which levels are compared.

    White space around it is removed. Whole numbers have no decimals and no number has an exponent: pandas
    writes 50 as 50.0 if another value is missing, and programs write 1e-05. True and False are capitalised. A
    point in time is date, space, time and offset, without trailing zeros in the fraction of a second; midnight
    without an offset is the date alone. Any other text stays as it is, such as 007, 1.50 or 1E5.

    >>> plain_level(" 50.0"), plain_level(1e16), plain_level(True), plain_level("true")
    ('50', '10000000000000000', 'True', 'True')
    >>> plain_level("2025-03-01 00:00:00"), plain_level("2025-03-01T06:30:00.500Z"), plain_level("007")
    ('2025-03-01', '2025-03-01 06:30:00.5+00:00', '007')
    """
    text = str(value).strip()
    if text.lower() in ("true", "false"):
        return text.capitalize()
    if clock := _CLOCK.fullmatch(text):
        return _plain_time(*clock.groups())
    text = plain_number(text) if _POWER.fullmatch(text) else text
    text = text.partition(".")[0] if _WHOLE.fullmatch(text) else text
    return "0" if text == NEGATIVE_ZERO else text


def plain_number(text: str) -> str:
    """Write a decimal number in full, without an exponent or superfluous zeros.

    >>> plain_number("1.50"), plain_number("1.5e+3"), plain_number("-0.0")
    ('1.5', '1500', '0')
    """
    full = format(Decimal(text), "f")
    full = full.rstrip("0").rstrip(".") if "." in full else full
    return "0" if full == NEGATIVE_ZERO else full


def _plain_time(date: str | None, days: str | None, time: str, fraction: str | None, offset: str | None) -> str:
    fraction = (fraction or "").rstrip("0")
    offset = "" if offset is None else "+00:00" if offset == "Z" else f"{offset[:3]}:{offset[3:].removeprefix(':')}"
    day = date or days
    if day and time.strip("+") == "00:00:00" and not fraction and not offset:
        return day
    return " ".join(filter(None, [day, time + (f".{fraction}" if fraction else "") + offset]))
