"""Files of rows, read chunk by chunk in bounded memory: CSV, Parquet and JSON lines."""

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa

from torchlane.core.options.levels import plain_number
from torchlane.core.rows.raw_rows import Chunk
from torchlane.datasets.contents import WAY_OUT, fault_in_json_lines, is_no_json_lines, require_plain_text
from torchlane.datasets.csv_tables import BLOCK_BYTES, SHOWN, CSVTable
from torchlane.datasets.headers import HEADER_BYTES
from torchlane.datasets.streams import FREE_BYTES, MAX_EXPANSION, Counted

CHUNK_ROWS = 100_000
LINE_BYTES = 1 << 20  # of JSON

MAX_DIGITS = 3  # of an exponent that is written out
BLANK = b"\xef\xbb\xbf \t\r\n"
OBJECT_RULE = "one JSON object with plain values, each name once"
CONSTANTS = {"NaN": None, "Infinity": "inf", "-Infinity": "-inf"}  # not valid JSON, but Python writes them

Chunks = Iterator[Chunk]
Objects = list[tuple[int, dict[str, Any]]]
Broken = list[tuple[int, str, str]]


class _Nested(NamedTuple):
    """A placeholder for a value that is an object or a list, with the start of its line."""

    line: str


class _Number(str):
    """The text of a number with a fraction or an exponent."""


ENDINGS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".parquet")


def is_table(name: str) -> bool:
    """Say whether a name has the ending of a table."""
    return name.lower().endswith(ENDINGS)


def open_table(file: IO[bytes], name: str, size: int) -> "CSVTable | ParquetTable | JSONLinesTable":
    """Open a table by the ending of its name, one of `ENDINGS`; `size` is the size of the file in bytes.

    Raises:
        ValueError: the content does not match the ending.
    """
    lower = name.lower()
    compressed_size = size if lower.endswith(".gz") else None
    if lower.endswith((".csv", ".csv.gz")):
        return CSVTable(file, name, size, "gzip" if lower.endswith(".gz") else None)
    if lower.endswith(".parquet"):
        return ParquetTable(file, name, size)
    return JSONLinesTable(file, name, compressed_size)


class ParquetTable:
    """A Parquet file; columns keep their types."""

    remark = ""

    def __init__(self, file: IO[bytes], name: str, size: int):
        from pyarrow import parquet

        self._name = name
        try:
            self._file = parquet.ParquetFile(file, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{name} is not a complete Parquet file: {error}") from error
        self.names = self._file.schema_arrow.names
        repeated = [each for each, count in Counter(self.names).items() if count > 1]
        if repeated:
            raise ValueError(f"column '{repeated[0]}' occurs {self.names.count(repeated[0])} times in {name}")
        self._most = max(FREE_BYTES, MAX_EXPANSION * size)
        metadata = self._file.metadata
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            if group.total_byte_size > FREE_BYTES:
                raise ValueError(f"{name} has a row group of {group.total_byte_size >> 20} MiB; write smaller ones")

    def chunks(self, features: Iterable[str], keys: Iterable[str]) -> Chunks:
        n_rows = n_bytes = 0
        columns = list(dict.fromkeys((*features, *keys)))
        try:
            for batch in self._file.iter_batches(CHUNK_ROWS, columns=columns, use_threads=False):
                yield Chunk(np.arange(n_rows + 1, n_rows + len(batch) + 1), pa.Table.from_batches([batch]))
                n_rows, n_bytes = n_rows + len(batch), n_bytes + batch.nbytes
                if n_bytes > self._most:
                    raise ValueError(f"{self._name} expands to more than {self._most >> 20} MiB")
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{self._name} is cut off or damaged: {error}") from error
        if n_rows != self._file.metadata.num_rows:
            raise ValueError(f"{self._name} declares {self._file.metadata.num_rows} rows but has {n_rows}")


class JSONLinesTable:
    """A file with one JSON object per line; the columns are the names in the first chunk, and a row may lack some.

    All values are text. A row is broken if a column that is read has an object or a list in it. `remark` says
    where the rows may be if a file has only one object and columns are missing.
    """

    def __init__(self, file: IO[bytes], name: str, compressed_size: int | None):
        self._name = name
        stream: Any = file if compressed_size is None else gzip.GzipFile(fileobj=file)
        self._stream = Counted(_Lines(stream), name, compressed_size)
        self._n_lines = 0
        self._start = b""
        self._first = self._read_objects()
        self.names = list(dict.fromkeys(key for _, each in self._first[0] for key in each))
        objects, broken = self._first
        require_plain_text(self._start, name)
        if not objects or (broken and broken[0][0] < objects[0][0] and is_no_json_lines(self._start)):
            raise ValueError(fault_in_json_lines(self._start, name))
        inner = [each for _, values in objects[:2] for each in values if isinstance(values[each], _Nested)]
        alone = len(objects) == 1 and not broken
        self.remark = f"it is one JSON object with more values in '{inner[0]}'; {WAY_OUT}" if alone and inner else ""

    def chunks(self, features: Iterable[str], keys: Iterable[str]) -> Chunks:
        columns = list(dict.fromkeys((*features, *keys)))
        (objects, broken), self._first = self._first, ([], [])
        while objects or broken:
            objects, broken = _without_nested(objects, broken, columns)
            values = {name: pa.array([each.get(name) for _, each in objects], pa.string()) for name in columns}
            rows = np.array([row for row, _ in objects], dtype=np.int64)
            numbers = {name: np.array([type(each.get(name)) is _Number for _, each in objects]) for name in columns}
            yield Chunk(rows, pa.table(values), broken, {name: each for name, each in numbers.items() if each.any()})
            objects, broken = self._read_objects()

    def _read_objects(self) -> tuple[Objects, Broken]:
        """Read the next rows: number and values of each, and the lines that are not objects."""
        objects: Objects = []
        broken: Broken = []
        n_bytes = 0
        while len(objects) + len(broken) < CHUNK_ROWS and n_bytes < BLOCK_BYTES:
            self._n_lines = row = self._n_lines + 1
            line = self._stream.read(LINE_BYTES)
            if not line:
                break
            n_bytes += len(line)
            self._start += line if len(self._start) < HEADER_BYTES else b""
            if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                array = f"; it is a JSON array; {WAY_OUT}" if self._start.lstrip(BLANK).startswith(b"[") else ""
                raise ValueError(f"line {row} of {self._name} is longer than {LINE_BYTES >> 20} MiB{array}")
            if not line.strip():
                continue
            try:
                objects.append((row, _read_object(line)))
            except (ValueError, RecursionError):
                broken.append((row, _start(line), OBJECT_RULE))
        return objects, broken


class _Lines:
    """Returns one line each time a block is read."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream

    def read(self, n_bytes: int) -> bytes:
        """Read one line, or as much of it as may be read."""
        return self._stream.readline(n_bytes)


class _Object(list[tuple[str, Any]]):
    """The names and values of a JSON object, including repeated names."""


def _read_object(line: bytes) -> dict[str, Any]:
    """Read one line into text, None, and `_Nested` for each value that is itself an object or a list.

    A number becomes the text of its exact digits, not of the nearest float.
    """
    text = line.decode("utf-8-sig")
    read = json.loads(
        text, parse_int=str, parse_float=_decimal, parse_constant=CONSTANTS.get, object_pairs_hook=_Object
    )
    if not isinstance(read, _Object):
        raise ValueError("not an object")
    values = dict(read)
    if len(values) < len(read):
        raise ValueError("a name is repeated")
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = _Nested(_start(line))
        elif isinstance(value, bool):
            values[name] = str(value)
    if "\\u" in text:
        "".join(
            each for each in values.values() if isinstance(each, str)
        ).encode()  # raises an error at a lone surrogate
    return values


def _decimal(text: str) -> str:
    """Write a JSON number as typed numbers are written; one outside the range of floats is left unchanged."""
    if text[-1] != "0" and "e" not in text and "E" not in text:
        return _Number(text)
    power = text.lower().partition("e")[2]
    return _Number(text if len(power.lstrip("+-")) > MAX_DIGITS else plain_number(text))


def _without_nested(objects: Objects, broken: Broken, columns: list[str]) -> tuple[Objects, Broken]:
    """Move the rows in which one of these columns has an object or a list to the broken ones."""
    nested = {
        row: (name, each[name].line) for row, each in objects for name in columns if isinstance(each.get(name), _Nested)
    }
    if not nested:
        return objects, broken
    apart = [(row, line, f"{OBJECT_RULE}; '{name}' holds more than one value") for row, (name, line) in nested.items()]
    return [each for each in objects if each[0] not in nested], sorted([*broken, *apart])


def _start(line: bytes) -> str:
    return line[:SHOWN].decode(errors="replace").rstrip()
