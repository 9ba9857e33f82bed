"""Tables as text, read chunk by chunk in bounded memory."""

import gzip
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from torchlane.core.rows.raw_rows import Chunk, torn_rule
from torchlane.datasets.headers import read_header, read_start
from torchlane.datasets.streams import Counted, count_lines

BLOCK_BYTES = 8 << 20  # of text; a row cannot be longer
SHOWN = 200  # characters of a broken row
QUOTED = r'"[^"]*+(?:""[^"]*+)*+" *+'
FIELDS = rf'(?:[^"\r\n]*+[\r\n]|(?:{QUOTED}|[^",\r\n][^,\r\n]*+)?+[,\r\n])++'  # each with the character that ends it
FIELD_WITH_TEXT_BEHIND = rf"{QUOTED}[^,\r\n]*+(?=[,\r\n])"


class CSVTable:
    """UTF-8 text with a header, separated by commas, semicolons, tabs or bars; all columns are text.

    `size` is the size of the file in bytes; `compression` is a codec of pyarrow.
    """

    remark = ""

    def __init__(self, file: IO[bytes], name: str, size: int, compression: str | None = None):
        self._file, self._name, self._size, self._compression = file, name, size, compression
        self.names, self._separator, self._n_skipped = read_header(read_start(self._stream()), name)

    def chunks(self, features: Iterable[str], keys: Iterable[str]) -> Iterator[Chunk]:
        """Read these columns of all rows; rows with more or fewer fields than the header are reported as broken.

        Raises:
            ValueError: the text is not UTF-8, or rows are lost in an open quote. The latter may be found only at
                the end.
        """
        apart = _SetApart(
            self._n_skipped, self._separator, last=secrets.token_hex(8) + len(self.names) * self._separator
        )
        stream = self._stream(last_line=apart.last.encode())
        n_rows = 0
        try:
            for batch in self._batches(stream, features, keys, apart):
                chunk = _numbered(batch, apart.rows, n_rows)
                n_rows += (size := len(chunk.rows) + len(chunk.broken))
                if size:
                    yield chunk
        except pa.ArrowInvalid as error:
            if "Could not skip" in str(error):  # the file is a header without a line end
                return
            raise ValueError(self._explain(error, apart.swallowed)) from error
        if not apart.ended:
            raise ValueError(self._open_quote(f"row {n_rows}"))
        if stream.n_lines != self._n_skipped + n_rows + 1:  # some lines are empty, or some values span lines
            self._require_closed_quotes()

    def _batches(
        self, stream: Counted, features: Iterable[str], keys: Iterable[str], apart: "_SetApart"
    ) -> Iterator[pa.RecordBatch]:
        types = dict.fromkeys(keys, pa.string()) | dict.fromkeys(features, pa.dictionary(pa.int32(), pa.string()))
        yield from arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(
                column_names=self.names, skip_rows=self._n_skipped, block_size=BLOCK_BYTES, use_threads=False
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=self._separator, newlines_in_values=True, invalid_row_handler=apart
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(types), column_types=types, strings_can_be_null=False
            ),
        )
        yield pa.RecordBatch.from_pydict(
            {name: pa.array([], pa.string()) for name in types}
        )  # for the last broken rows

    def _stream(self, last_line: bytes | None = None) -> Counted:
        self._file.seek(0)
        if self._compression is None:
            return Counted(self._file, self._name, None, last_line)
        if self._compression == "gzip":  # pyarrow rejects the trailing zeros that tapes and some copies leave
            return Counted(gzip.GzipFile(fileobj=self._file), self._name, self._size, last_line)
        plain = Counted(self._file, self._name, None)
        return Counted(pa.CompressedInputStream(plain, self._compression), self._name, self._size, last_line)

    def _require_closed_quotes(self) -> None:
        """Refuse a value over several lines that is followed by text after its closing quote.

        In such a value an open quote was closed by the opening quote of a later one.
        """
        separator = re.escape(self._separator)
        fields, odd_field = (
            re.compile(pattern.replace(",", separator).encode()) for pattern in (FIELDS, FIELD_WITH_TEXT_BEHIND)
        )
        stream, rest, n_lines = self._stream(last_line=b""), b"", 1
        while block := stream.read(BLOCK_BYTES):
            rest, place = rest + block, 0
            while passed := fields.match(rest, place) or odd_field.match(rest, place):
                n_lines += count_lines(passed[0])
                if passed.re is odd_field and count_lines(passed[0]):
                    raise ValueError(self._open_quote(f"line {n_lines}"))
                place = passed.end()
            rest = rest[place:]

    def _open_quote(self, place: str) -> str:
        return f"a quote is left open in {self._name}, in or before {place}; close it"

    def _explain(self, error: Exception, swallowed: int | None) -> str:
        text = str(error)
        if swallowed is not None:
            return self._open_quote(f"row {swallowed}")
        if "UTF8" in text:
            return f"{self._name} is not UTF-8 ({text}); save it as UTF-8"
        if "straddling" in text:
            return f"{self._name} has a row of more than {BLOCK_BYTES >> 20} MiB, or a quote is left open in it"
        return f"{self._name} cannot be read as a table: {text}"


class _SetApart:
    """Collects the rows with more or fewer fields than the header, by number, as pyarrow reports them.

    `last` is a line that is appended to the file. It comes out as a row of its own unless a quote is still open
    at the end.
    """

    def __init__(self, n_skipped: int, separator: str, last: str):
        self._n_skipped, self._separator, self.last = n_skipped, separator, last
        self.rows: dict[int, tuple[str, str]] = {}  # text and rule
        self.swallowed: int | None = None  # the row in which lines have become part of a value
        self.ended = False

    def __call__(self, row: Any) -> str:
        number = row.number - self._n_skipped  # pyarrow counts the lines it skips
        if row.text == self.last:
            self.ended = True
        elif "\n" in row.text or "\r" in row.text:
            self.swallowed = number
            return "error"
        else:
            rule = torn_rule(row.expected_columns, row.text, row.actual_columns, self._separator)
            self.rows[number] = row.text[:SHOWN], rule
        return "skip"


def _numbered(batch: pa.RecordBatch, apart: dict[int, tuple[str, str]], before: int) -> Chunk:
    """Number the rows of a batch from `before + 1` on, and move the broken rows among them out of `apart`."""
    n_rows = len(batch)
    broken = np.sort(np.fromiter(apart, np.int64, len(apart)))
    candidates = np.arange(before + 1, before + 1 + n_rows + len(broken))
    rows = np.setdiff1d(candidates, broken, assume_unique=True)[:n_rows]
    last = rows[-1] if n_rows else np.inf
    passed = [(int(row), *apart.pop(int(row))) for row in broken if row < last]
    return Chunk(rows, pa.Table.from_batches([batch]), passed)
