"""Points in time as text: ISO 8601 or a declared format, in a declared zone."""

import datetime as dt
import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

UTC = "UTC"
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
SAMPLE = dt.datetime(2024, 11, 23, 14, 45, 56, 789_000, tzinfo=dt.UTC)
PARTS = ("year", "month", "day", "hour", "minute", "second", "microsecond")

_ISO = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,](?P<fraction>[0-9]+))?)?)"
    r" ?(?P<offset>Z|UTC|[+-][0-9]{2}(?::?[0-9]{2}(?::?[0-9]{2})?)?)?)?"
)


def instant_of(text: str, zone: str = UTC, form: str | None = None) -> int | None:
    """Read a point in time as microseconds since 1970 in UTC; None if it is none.

    Without `form`, the text is ISO 8601: a date, or date and time, with or without an offset. Digits beyond
    microseconds are cut off. `form` is a format of `strptime`. A time without an offset is in `zone`; of two
    with the same clock the first is meant, and one that a clock change skips is read with the offset before it.

    >>> instant_of("1970-01-02"), instant_of("1970-01-01 01:00", "Europe/Rome"), instant_of("2.1.70", form="%d.%m.%y")
    (86400000000, 0, 86400000000)
    >>> instant_of("1970-02-30"), instant_of("2.1.70")
    (None, None)
    """
    try:
        moment = dt.datetime.strptime(text, form) if form else _iso(text)
        if moment is None:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
        moment.astimezone(ZoneInfo(zone))  # refuses what the calendar of the zone does not reach
        return (moment - EPOCH) // MICROSECOND
    except (ValueError, OverflowError):
        return None


def last_instant_of(text: str, zone: str) -> int | None:
    """Read the end of a day given as ISO date, or a point in time, as microseconds since 1970 in UTC."""
    instant, is_date = instant_of(text, zone), len(text) == len("2025-03-01")
    if instant is None or not is_date or text == str(dt.date.max):
        return instant
    following = instant_of(str(dt.date.fromisoformat(text) + dt.timedelta(days=1)), zone)
    return instant if following is None else following - 1


def check_zone(zone: str) -> None:
    """Check that a time zone exists.

    Raises:
        ValueError: it does not.
    """
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"zone '{zone}' is not a time zone; name one such as Europe/Amsterdam or UTC") from error


def check_form(form: str) -> None:
    """Check that a format of `strptime` says which day or time is meant, the same on every machine.

    Raises:
        ValueError: it does not.
    """
    directives = set(re.findall(r"%(.)", form, re.DOTALL))
    local = directives & set("ZcxX")
    if local:
        named = ", ".join(f"%{each}" for each in sorted(local))
        raise ValueError(f"format '{form}' has {named}, which means something else on another machine; spell it out")
    try:
        read = dt.datetime.strptime(SAMPLE.strftime(form), form).replace(tzinfo=None)
    except ValueError as error:
        raise ValueError(f"format '{form}' is not one of strptime, such as %d.%m.%Y: {error}") from error
    given = [getattr(read, part) == getattr(SAMPLE, part) for part in PARTS]
    n_given = given.index(False) if False in given else len(given)
    start = {"month": 1, "day": 1}
    rest = [getattr(read, part) == start.get(part, 0) for part in PARTS[n_given:]]
    if not n_given or not all(rest):
        raise ValueError(
            f"format '{form}' leaves open which {PARTS[n_given]} is meant; give year, month and day, such as %d.%m.%Y"
            + (", and %p beside %I" if "I" in directives else "")
        )


def _iso(text: str) -> dt.datetime | None:
    found = _ISO.fullmatch(text)
    if found is None:
        return None
    offset = (found["offset"] or "").replace("UTC", "Z")
    time = (found["time"] or "00:00").partition(".")[0].partition(",")[0]
    fraction = (found["fraction"] or "")[:6].ljust(6, "0")
    return dt.datetime.fromisoformat(f"{found['date']}T{time}{offset}").replace(microsecond=int(fraction))
