"""The header of a table as text: the names of the columns, and the separator between them."""

import csv
import logging
import re
from collections import Counter
from typing import NamedTuple

from torchlane.datasets.contents import require_plain_text
from torchlane.datasets.streams import Counted

logger = logging.getLogger(__name__)

SEPARATORS = (",", ";", "\t", "|")
HEADER_BYTES = 1 << 17  # in which most headers end; at most the length of the longest field that csv.reader accepts
MOST_HEADER_BYTES = 1 << 22  # a header of 50,000 columns may be longer


class Header(NamedTuple):
    """The column names, the separator, and the number of lines up to and including the header."""

    names: list[str]
    separator: str
    n_lines: int


def read_start(file: Counted) -> bytes:
    """Read the first bytes of a table for `read_header`: `HEADER_BYTES`, or more if the header is longer."""
    start = file.read(HEADER_BYTES)
    while HEADER_BYTES <= len(start) < MOST_HEADER_BYTES and not re.search(rb"[\r\n]", start.lstrip()):
        more = file.read(len(start))
        if not more:
            break
        start += more
    return start


def read_header(start: bytes, place: str) -> Header:
    """Read the header from the first bytes of a table, as `read_start` gives them.

    Raises:
        ValueError: there is no header, it is not UTF-8, is too long, leaves a quote open or names a column twice.
    """
    require_plain_text(start, place)
    try:
        text = start.decode("utf-8-sig", errors="strict" if len(start) < HEADER_BYTES else "ignore")
    except UnicodeDecodeError as error:
        line = start[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{place} is not UTF-8: byte 0x{start[error.start]:02x} in line {line}; save it as UTF-8"
        ) from error
    if "\x00" in text.partition("\n")[0]:
        raise ValueError(f"{place} is not UTF-8 text: its header contains NUL bytes; save it as UTF-8")
    header, n_lines = _first_line(text)
    if not header:
        raise ValueError(f"{place} is empty; it needs a header and rows")
    if re.match(r'\s*(\[\s*)?\{\s*("|$)|\s*\[\s*("|$)', header):
        raise ValueError(f"{place} is JSON, not a table with a header; name it .jsonl if it has one object a line")
    if len(start) >= MOST_HEADER_BYTES and text.endswith(header):
        raise ValueError(f"{place} is not a table: its header is longer than {MOST_HEADER_BYTES >> 20} MiB")
    separator = max(SEPARATORS, key=lambda each: _n_fields(header, each))
    if not _n_fields(header, separator):
        longest = csv.field_size_limit() >> 10
        raise ValueError(f"{place} is not a table: a name in its header is longer than {longest} KiB")
    if separator != ",":
        logger.info("%s: the fields are separated by %r", place, separator)
    read = next(csv.reader([f"{header}\n"], delimiter=separator))
    if read[-1].endswith("\n"):  # the line end has become part of a name
        raise ValueError(f"a quote is left open in the header of {place}; a header is one line")
    names = [name.strip() for name in read]
    names = [name or f"Unnamed: {number}" for number, name in enumerate(names)]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f"column '{repeated[0]}' occurs {names.count(repeated[0])} times in the header of {place}; "
            f"rename or drop one"
        )
    return Header(names, separator, n_lines)


def _n_fields(header: str, separator: str) -> int:
    """Count the names between separators; 0 if one is longer than csv.reader accepts."""
    try:
        return len(next(csv.reader([header], delimiter=separator)))
    except csv.Error:
        return 0


def _first_line(text: str) -> tuple[str, int]:
    """Return the first line that is not empty, or "", and the number of lines up to and including it."""
    start = 0
    for number, end in enumerate(re.finditer(r"\r\n|\r|\n|\Z", text), start=1):  # as pyarrow counts them
        line = text[start : end.start()]
        if line.strip():
            return line, number
        start = end.end()
    return "", 0
