"""Numbers as people write them, for logs, findings and messages."""

import math

from torchlane.core.options.levels import plain_number

GROUPED = 1_000  # whole numbers with separators from here on
TOO_LONG = 1e15  # more digits than anyone reads


def shown_number(value: float | None, digits: int = 4) -> str:
    """Write a measured number with some digits, or whole and with thousands separators from 1,000 on.

    >>> shown_number(30156.3), shown_number(0.64671), shown_number(-1234567), shown_number(0.00001234)
    ('30,156', '0.6467', '-1,234,567', '1.234e-05')
    >>> shown_number(None), shown_number(float("inf"))
    ('undefined', 'inf')
    """
    if value is None or math.isnan(value):
        return "undefined"
    short = f"{value:.{digits}g}"
    return f"{value:,.0f}" if GROUPED <= abs(float(short)) < TOO_LONG else short


def shown_limit(value: float | str | None) -> str:
    """Write a limit as it is set in YAML: all its digits, and no exponent; that of a date is text already.

    >>> shown_limit(2035.0), shown_limit(1234567.0), shown_limit(1e-07), shown_limit(0.1)
    ('2035', '1234567', '0.0000001', '0.1')
    """
    return plain_number(repr(float(value))) if isinstance(value, (int, float)) else str(value)
