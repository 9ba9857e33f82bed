"""What a file is, as its first bytes tell, where its name promises something else."""

import json

KINDS = {
    b"\x1f\x8b": "gzip, but its name does not end in .gz",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PAR1": "a Parquet file, but its name does not end in .parquet",
    b"PK\x03\x04": "a zip file, such as an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"BZh": "compressed with bzip2",
    b"\x28\xb5\x2f\xfd": "compressed with zstd",
    b"\xfd7zXZ": "compressed with xz",
}
WAY_OUT = "write one object a line, for example with pandas' to_json(orient='records', lines=True)"
SHOWN = 40  # characters of a line


def require_plain_text(start: bytes, place: str) -> None:
    """Check that a file of text does not begin as one of another kind.

    Raises:
        ValueError: it does; the message says what it is.
    """
    for magic, what in KINDS.items():
        if start.startswith(magic):
            raise ValueError(f"{place} is {what}; save it as UTF-8 text, or name it after what it is")


def is_no_json_lines(start: bytes) -> bool:
    """Whether a file begins with a JSON array or object that does not end in its first line."""
    text = _text(start)
    line = text.partition("\n")[0]
    if not _goes_on(line):
        return False
    try:  # a first line that is cut off is a torn row
        return line.startswith("[") or json.JSONDecoder().raw_decode(text)[1] > len(line)
    except (ValueError, RecursionError):
        return False


def fault_in_json_lines(start: bytes, place: str) -> str:
    """Say what a file is that should hold one JSON object a line but holds none, by its first bytes."""
    text = _text(start)
    line = text.partition("\n")[0].rstrip()
    shape = _shape(text)
    if shape is not None:
        return f"{place} is {shape}, not JSON lines; {WAY_OUT}"
    shown = repr(line if len(line) <= SHOWN else f"{line[:SHOWN]}…")
    if _is_json(line):
        return f"{place} holds JSON values such as {shown}, not objects with the columns by name; {WAY_OUT}"
    table = "" if text.startswith("{") else "if it is a table with separators, name it .csv; otherwise "
    return f"{place} does not have one JSON object per line: its first line is {shown}; {table}{WAY_OUT}"


def _is_list_of_objects(value: object) -> bool:
    """Whether a JSON value may be a table: a list of objects."""
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _text(start: bytes) -> str:
    return start.decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")


def _shape(text: str) -> str | None:
    """Name a form of JSON other than one object a line; None if the text has none of them."""
    line = text.partition("\n")[0].rstrip()
    if not text:
        return "empty"
    if text.startswith("["):
        if _goes_on(line):
            return "one pretty-printed JSON array over several lines"
        return "a JSON array a line" if text[len(line) :].strip() else "one JSON array"
    if not text.startswith("{"):
        return None
    if _goes_on(line):
        return f"one pretty-printed JSON object over several lines{_rows_within(text)}"
    try:
        end = json.JSONDecoder().raw_decode(line)[1]
    except (ValueError, RecursionError):
        return None
    return "a row of JSON objects without line breaks" if line[end:].strip() else None


def _rows_within(text: str) -> str:
    try:
        read, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):  # also where the text is only the start of a file
        return ""
    return next(
        (f", with the rows in its list '{name}'" for name, value in read.items() if _is_list_of_objects(value)), ""
    )


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _goes_on(line: str) -> bool:
    """Whether JSON that begins in a line is sound, but does not end in it."""
    try:
        json.JSONDecoder().raw_decode(line)
    except json.JSONDecodeError as error:
        return error.pos >= len(line.rstrip())
    except RecursionError:
        return False
    return False
