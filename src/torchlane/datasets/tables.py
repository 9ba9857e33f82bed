"""Files of rows, read chunk by chunk in bounded memory: CSV, Parquet and JSON lines."""

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from torchlane.core.chunks import Chunk
from torchlane.datasets.headers import HEADER_BYTES, read_header

BLOCK_BYTES = 8 << 20  # of text; also the longest row there may be
CHUNK_ROWS = 100_000
SHOWN = 200  # characters of a broken row
MOST_EXPANSION = 200  # times that content may be larger than the compressed file, once above FREE_BYTES
FREE_BYTES = 1 << 30
LINE_BYTES = 1 << 20  # of JSON

Chunks = Iterator[Chunk]


ENDINGS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz", ".parquet")


def is_table(name: str) -> bool:
    """Say whether the ending of a name is that of a table."""
    return name.lower().endswith(ENDINGS)


def open_table(file: IO[bytes], name: str, size: int) -> "CSVTable | ParquetTable | JSONLinesTable":
    """Open a table by the ending of its name, one of `ENDINGS`; `size` is that of the file, in bytes.

    Raises:
        ValueError: the file is not what its ending says.
    """
    lower = name.lower()
    compressed_size = size if lower.endswith(".gz") else None
    if lower.endswith((".csv", ".csv.gz")):
        return CSVTable(file, name, compressed_size)
    if lower.endswith(".parquet"):
        return ParquetTable(file, name, size)
    return JSONLinesTable(file, name, compressed_size)


class CSVTable:
    """UTF-8 text with a header, its fields between commas, semicolons, tabs or bars; all columns are text."""

    def __init__(self, file: IO[bytes], name: str, compressed_size: int | None):
        self._file, self._name, self._compressed_size = file, name, compressed_size
        self._swallowed: int | None = None
        self.names, self._separator, self._n_skipped = read_header(self._stream().read(HEADER_BYTES), name)

    def chunks(self, features: Iterable[str], keys: Iterable[str]) -> Chunks:
        stream, broken = self._stream(), dict[int, str]()
        encoded = dict.fromkeys(keys, pa.string()) | dict.fromkeys(features, pa.dictionary(pa.int32(), pa.string()))

        def set_apart(row: Any) -> str:
            if "\n" in row.text:  # an open quote has swallowed rows
                self._swallowed = row.number - self._n_skipped
                return "error"
            broken[row.number - self._n_skipped] = row.text[:SHOWN]
            return "skip"

        n_rows = n_broken = 0
        try:
            reader = arrow_csv.open_csv(
                stream,
                read_options=arrow_csv.ReadOptions(
                    column_names=self.names, skip_rows=self._n_skipped, block_size=BLOCK_BYTES, use_threads=False
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self._separator, newlines_in_values=True, invalid_row_handler=set_apart
                ),
                convert_options=arrow_csv.ConvertOptions(
                    include_columns=list(encoded), column_types=encoded, strings_can_be_null=False
                ),
            )
            for batch in reader:
                chunk = _numbered(batch, broken, n_rows + n_broken, f"{len(self.names)} fields, as the header has")
                n_rows, n_broken = n_rows + len(batch), n_broken + len(chunk.broken)
                yield chunk
        except pa.ArrowInvalid as error:
            if "Empty CSV" not in str(error) and "Could not skip" not in str(error):
                raise ValueError(self._explain(error)) from error
        if broken:
            nothing = pa.RecordBatch.from_pydict({name: pa.array([], pa.string()) for name in encoded})
            chunk = _numbered(nothing, broken, n_rows + n_broken, f"{len(self.names)} fields, as the header has")
            n_broken += len(chunk.broken)
            yield chunk
        if stream.n_lines - self._n_skipped not in (n_rows + n_broken, n_rows + n_broken - 1):
            self._require_closed_quotes(n_rows + n_broken)

    def _stream(self) -> "_Counted":
        self._file.seek(0)
        plain = _Counted(self._file, self._name, None)
        if self._compressed_size is None:
            return plain
        return _Counted(pa.CompressedInputStream(plain, "gzip"), self._name, self._compressed_size)

    def _require_closed_quotes(self, n_rows: int) -> None:
        """Where some value spans lines, see that the quotes are even; else one of them swallowed rows."""
        n_lines = n_quotes = 0
        rest = b""
        stream = self._stream()
        while block := stream.read(BLOCK_BYTES):
            n_quotes += block.count(b'"')
            *lines, rest = (rest + block).replace(b"\r", b"\n").split(b"\n")
            n_lines += sum(map(bool, lines))
        n_lines += bool(rest)
        if n_quotes % 2 and n_lines - 1 > n_rows:
            raise ValueError(f"a quote is left open in {self._name}; close it")

    def _explain(self, error: Exception) -> str:
        text = str(error)
        if self._swallowed is not None:
            return f"a quote is left open in {self._name}, in or before row {self._swallowed}; close it"
        if "UTF8" in text:
            return f"{self._name} is not UTF-8 ({text}); save it as UTF-8"
        if "straddling" in text:
            return f"{self._name} has a row of more than {BLOCK_BYTES >> 20} MiB, or a quote is left open in it"
        return f"{self._name} cannot be read as a table: {text}"


class _Counted:
    """A stream that counts line ends and stops where a compressed file expands beyond all reason."""

    closed = False

    def __init__(self, stream: Any, name: str, compressed_size: int | None):
        self._stream, self._name = stream, name
        self._most = None if compressed_size is None else max(FREE_BYTES, MOST_EXPANSION * compressed_size)
        self._n_bytes = 0
        self.n_lines = 0

    def read(self, n_bytes: int) -> bytes:
        """Read on."""
        try:
            block: bytes = self._stream.read(n_bytes)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{self._name} is cut off or damaged: {error}") from error
        self.n_lines += block.count(b"\n")
        self._n_bytes += len(block)
        if self._most is not None and self._n_bytes > self._most:
            raise ValueError(
                f"{self._name} expands to more than {self._most >> 20} MiB, {MOST_EXPANSION} times its size; "
                f"unpack it if that is meant"
            )
        return block

    def readable(self) -> bool:
        """Say so to pyarrow."""
        return True

    def close(self) -> None:
        """Leave the file open for who opened it."""


def _numbered(batch: pa.RecordBatch, broken: dict[int, str], before: int, rule: str) -> Chunk:
    """Give the rows of a batch their numbers, which go on after `before`, and take the broken ones among them."""
    n_rows = len(batch)
    apart = np.sort(np.fromiter(broken, np.int64, len(broken)))
    candidates = np.arange(before + 1, before + 1 + n_rows + len(apart))
    rows = np.setdiff1d(candidates, apart, assume_unique=True)[:n_rows]
    last = rows[-1] if n_rows else np.inf
    passed = [(int(row), broken.pop(int(row)), rule) for row in apart if row < last]
    return Chunk(rows, pa.Table.from_batches([batch]), passed)


class ParquetTable:
    """Parquet; columns come with their types."""

    def __init__(self, file: IO[bytes], name: str, size: int):
        from pyarrow import parquet

        self._name = name
        try:
            self._file = parquet.ParquetFile(file, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise ValueError(f"{name} is no whole Parquet file: {error}") from error
        self.names = self._file.schema_arrow.names
        repeated = [each for each, count in Counter(self.names).items() if count > 1]
        if repeated:
            raise ValueError(f"column '{repeated[0]}' stands {self.names.count(repeated[0])} times in {name}")
        self._most = max(FREE_BYTES, MOST_EXPANSION * size)
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
            raise ValueError(f"{self._name} says that it has {self._file.metadata.num_rows} rows and has {n_rows}")


class JSONLinesTable:
    """One JSON object a line; the columns are the names in the first chunk, a row may lack some."""

    def __init__(self, file: IO[bytes], name: str, compressed_size: int | None):
        self._name = name
        stream: Any = file if compressed_size is None else gzip.GzipFile(fileobj=file)
        self._stream = _Counted(_Lines(stream), name, compressed_size)
        self._first = self._read_objects()
        self.names = list(dict.fromkeys(key for _, each in self._first[0] for key in each))
        if not self._first[0]:
            raise ValueError(f"{name} holds no JSON object a line")

    def chunks(self, features: Iterable[str], keys: Iterable[str]) -> Chunks:
        columns = list(dict.fromkeys((*features, *keys)))
        (objects, broken), self._first = self._first, ([], [])
        while objects or broken:
            values = {name: pa.array([each.get(name) for _, each in objects], pa.string()) for name in columns}
            rows = np.array([row for row, _ in objects], dtype=np.int64)
            yield Chunk(rows, pa.table(values), broken)
            objects, broken = self._read_objects()

    def _read_objects(self) -> tuple[list[tuple[int, dict[str, str | None]]], list[tuple[int, str, str]]]:
        """Read the next rows: number and values of each, and the lines that hold no object."""
        objects: list[tuple[int, dict[str, str | None]]] = []
        broken: list[tuple[int, str, str]] = []
        n_bytes = 0
        while len(objects) + len(broken) < CHUNK_ROWS and n_bytes < BLOCK_BYTES:
            row = self._stream.n_lines + 1
            line = self._stream.read(LINE_BYTES)
            if not line:
                break
            n_bytes += len(line)
            if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                raise ValueError(f"line {row} of {self._name} is longer than {LINE_BYTES >> 20} MiB")
            if not line.strip():
                continue
            try:
                objects.append((row, _read_object(line)))
            except (ValueError, RecursionError):
                rule = "one JSON object with plain values, each name once"
                broken.append((row, line[:SHOWN].decode(errors="replace").rstrip(), rule))
        return objects, broken


class _Lines:
    """Reads a line where a block is asked for."""

    def __init__(self, stream: IO[bytes]):
        self._stream = stream

    def read(self, n_bytes: int) -> bytes:
        """Read one line, or as much of it as may be read."""
        return self._stream.readline(n_bytes)


def _read_object(line: bytes) -> dict[str, str | None]:
    """Read one line; numbers stay the text that they are."""
    text = line.decode("utf-8-sig")
    read = json.loads(text, parse_int=str, parse_float=str, parse_constant=str, object_pairs_hook=_unique)
    if not isinstance(read, dict):
        raise ValueError("no object")
    if "\\u" in text:
        "".join(value or "" for value in read.values()).encode()  # raises where there is half a character
    return read


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, str | None]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name stands twice")
    for name, value in values.items():
        if isinstance(value, (dict, list)):
            raise ValueError("a value is nested")
        values[name] = value if value is None else str(value)
    return values
