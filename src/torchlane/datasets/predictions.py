"""The predictions of scored files: one file for each, and another for its rejected rows."""

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NoReturn

import pyarrow as pa
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview
from pyarrow import csv as arrow_csv

from torchlane.core.machine.files import replacing, target_name
from torchlane.core.scoring.contracts import Predictions
from torchlane.datasets.in_words import preview_files
from torchlane.datasets.prediction_lines import PredictionLines

MAX_BYTES = 150  # of the input's name within the name of its predictions; file systems allow 255 in all


class PredictionsDataset(AbstractDataset[NoReturn, "PredictionFolder"]):
    """A folder of predictions; loading it returns a store that the scoring writes to.

    Args:
        path: the folder.
        file_format: of the predictions; rejected rows are always CSV.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(
        self, *, path: str, file_format: Literal["csv", "parquet"] = "csv", metadata: dict[str, Any] | None = None
    ):
        if file_format not in ("csv", "parquet"):
            raise DatasetError(f"predictions are written as csv or parquet, not {file_format}")
        self._folder, self._format = Path(path), file_format
        self.metadata = metadata

    def load(self) -> "PredictionFolder":
        return PredictionFolder(self._folder, self._format)

    def save(self, data: NoReturn) -> None:
        raise DatasetError("predictions are written during scoring, through the store that load() returns")

    def preview(self) -> TablePreview:
        """Show the files, the newest first."""
        return preview_files(self._folder.glob("*.*"), "no file is scored yet")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._folder), "file_format": self._format}


class PredictionFolder:
    """Predictions named after the file they belong to and the start of its checksum."""

    def __init__(self, folder: Path, file_format: str = "csv"):
        self._folder, self._format = folder, file_format

    def output_name(self, name: str, checksum: str) -> str:
        """Return the name of the predictions of a file; two contents never share one."""
        return f"{_shortened(_stem(name))}-{checksum[:12]}.{self._format}"

    def path_of(self, output: str) -> Path:
        """Return the path of predictions by their name."""
        return self._folder / output

    def read(self, output: str) -> Iterator[pa.Table]:
        """Read predictions by their name, chunk by chunk; all columns of a CSV file are text.

        Raises:
            OSError: they no longer exist.
        """
        path = self.path_of(output)
        if path.suffix == ".parquet":
            from pyarrow import parquet

            batches = parquet.ParquetFile(path).iter_batches()
        else:
            with path.open(encoding="utf-8", newline="") as file:
                names = next(csv.reader(file))
            text = arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
            parse = arrow_csv.ParseOptions(newlines_in_values=True)  # keys may contain newlines
            batches = arrow_csv.open_csv(path, parse_options=parse, convert_options=text)
        for batch in batches:
            yield pa.Table.from_batches([batch])

    def sweep(self, at_work: Callable[[], set[str]]) -> None:
        """Delete what killed jobs left half-written, except the outputs `at_work()` of running jobs.

        `at_work` is called after the folder is listed: a job claims a file before it begins the output, so every
        output that is listed and still being written is among those returned.
        """
        leftovers = list(self._folder.rglob(".partial-*"))
        paths = map(self.path_of, at_work() if leftovers else ())
        kept = {each.name for path in paths for each in (path, _rejected(path))}
        for leftover in leftovers:
            if target_name(leftover) not in (None, *kept):
                leftover.unlink(missing_ok=True)

    @contextmanager
    def writer(self, name: str, checksum: str) -> Iterator["PredictionFiles"]:
        """Open the outputs of a file under temporary names; on exit, what was not published is deleted."""
        predictions = self.path_of(self.output_name(name, checksum))
        files = PredictionFiles(predictions, _rejected(predictions))
        try:
            yield files
        finally:
            files.discard()


class PredictionFiles:
    """Predictions and rejected rows of one file while they are written."""

    def __init__(self, predictions: Path, rejected: Path):
        self._predictions, self._rejected = predictions, rejected
        self._is_typed = predictions.suffix == ".parquet"
        self._open = ExitStack()
        self._partial: dict[Path, Path] = {}
        self._writers: dict[Path, Any] = {}

    def write(self, predictions: Predictions, rejected: pa.Table) -> None:
        """Append a chunk; the file of rejected rows exists only if there are any."""
        if self._is_typed:
            table = predictions.table()
            self._writer_of(self._predictions, table.schema).write_table(table)
        else:
            self._writer_of(self._predictions, predictions.own.schema).write(predictions)
        if rejected.num_rows:
            self._writer_of(self._rejected, rejected.schema).write_table(rejected)

    def close(self) -> None:
        """Write everything to the disk, still under temporary names."""
        for path, writer in self._writers.items():
            writer.close()
            with self._partial[path].open("rb") as written:
                os.fsync(written.fileno())
        self._writers = {}

    def publish(self) -> None:
        """Give the files their final names, and delete rejected rows that an earlier attempt left."""
        if self._rejected not in self._partial:
            self._rejected.unlink(missing_ok=True)
        self._open.close()
        _sync_folder(self._predictions.parent)

    def discard(self) -> None:
        """Delete what was not published."""
        with suppress(OSError, pa.ArrowException):  # such as a full disk
            for writer in self._writers.values():
                writer.close()
        with suppress(_DiscardedError):
            self._open.__exit__(_DiscardedError, _DiscardedError(), None)

    def _writer_of(self, path: Path, schema: pa.Schema) -> Any:
        if path not in self._writers:
            self._partial[path] = self._open.enter_context(replacing(path, durable=False))  # `close` sees to that
            self._writers[path] = self._make_writer(path, schema)
        return self._writers[path]

    def _make_writer(self, path: Path, schema: pa.Schema) -> Any:
        partial = self._partial[path]
        if path.suffix == ".parquet":
            from pyarrow import parquet

            return parquet.ParquetWriter(partial, schema)
        if path == self._predictions:
            return PredictionLines(partial)
        return arrow_csv.CSVWriter(partial, schema, write_options=arrow_csv.WriteOptions(quoting_style="needed"))


class _DiscardedError(Exception):
    """Makes `replacing` end without leaving a file."""


def _sync_folder(folder: Path) -> None:
    """Write a folder's entries to the disk, so that after a power cut the ledger names no file that is missing."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _shortened(stem: str) -> str:
    """Shorten a name so that file systems still accept it with a prefix and a suffix."""
    folder, slash, name = stem.rpartition("/")
    return folder + slash + name.encode()[:MAX_BYTES].decode(errors="ignore")


def _rejected(predictions: Path) -> Path:
    return predictions.with_name(f"{predictions.stem}.rejected.csv")


def _stem(name: str) -> str:
    """Remove the endings of tables from a name."""
    for ending in (".gz", ".csv", ".jsonl", ".ndjson", ".parquet"):
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
    return name
