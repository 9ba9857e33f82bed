"""Kedro's own datasets, saved atomically. Kedro writes in place, so a kill would leave half a file."""

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import loads
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from kedro_datasets import json, text
from kedro_datasets._typing import ImagePreview, JSONPreview, TablePreview

from torchlane.core.machine.files import replacing
from torchlane.datasets.in_words import preview_metrics
from torchlane.datasets.pages import words_of
from torchlane.datasets.previews import (
    COLUMNS,
    TextPreview,
    preview_images,
    preview_json,
    preview_table,
    preview_text,
    seen,
)


@contextmanager
def importing_without(module: str) -> Iterator[None]:
    """Import a package without one of its modules, which the package then imports when it is asked for."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


with importing_without("kedro_datasets.pandas.sql_dataset"):  # it imports SQLAlchemy
    from kedro_datasets import pandas


class AtomicSave:
    """Mixin for a Kedro dataset class: a local save, versioned or not, appears complete or not at all."""

    def save(self: Any, data: Any) -> None:
        if self._protocol != "file":  # object stores write complete objects anyway
            super().save(data)  # type: ignore[misc]
            return
        with replacing(Path(self._get_save_path())) as partial:
            beside = copy.copy(self)
            beside._filepath, beside._version = PurePosixPath(partial), None
            beside._save_args = self._save_args | self._added_args(data)
            super(AtomicSave, beside).save(data)  # type: ignore[misc]
        self.release()

    def _added_args(self, data: Any) -> dict[str, Any]:
        """Give arguments of the save that follow from the data."""
        return {}


class CSVDataset(AtomicSave, pandas.CSVDataset):
    """pandas.CSVDataset, saved atomically."""

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows."""
        return preview_table(super().preview(nrows))


class ParquetDataset(AtomicSave, pandas.ParquetDataset):
    """pandas.ParquetDataset, saved atomically; rows of images are shown as pictures.

    Numbers with a fraction are written without a dictionary of their values, which takes longer than the numbers.
    Files are read by one thread, since several would each take memory for every column.
    """

    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = {"use_threads": False}

    def _added_args(self, data: Any) -> dict[str, Any]:
        if "use_dictionary" in self._save_args:
            return {}
        return {"use_dictionary": [str(name) for name, dtype in data.dtypes.items() if dtype.kind != "f"]}

    @property
    def preview(self) -> Callable[..., Any]:
        """The function for a preview of this file: Kedro-Viz tells tables from pictures by its annotation."""
        return self._preview_images if self._sizes() else self._preview_table

    def _preview_table(self, nrows: int = 5) -> TablePreview:
        with self._open() as file:
            names = file.schema_arrow.names
            rows = _first_rows(file, nrows, names[:COLUMNS])
        values = list(zip(*rows.values(), strict=True))
        return preview_table({"index": range(len(values)), "columns": names, "data": values})

    def _preview_images(self, nrows: int = 20) -> ImagePreview:
        ((name, size), *_) = self._sizes().items()
        with self._open() as file:
            rows = _first_rows(file, nrows, file.schema_arrow.names)
        texts = [[each for each in row if isinstance(each, str)] for row in zip(*rows.values(), strict=True)]
        images = [seen(np.frombuffer(cell, np.uint8).reshape(size)) for cell in rows[name]]
        return preview_images(images, [", ".join(each) for each in texts])

    def _sizes(self) -> dict[str, tuple[int, int, int]]:
        """Return the sizes of the file's images by column, as (channels, height, width)."""
        try:
            with self._open() as file:
                stored = file.schema_arrow.pandas_metadata or {}
            return {name: tuple(size) for name, size in stored["attributes"]["sizes"].items()}
        except Exception:  # there is no such file, or not of ours; whoever reads it hears of this
            return {}

    @contextmanager
    def _open(self) -> Iterator[Any]:
        from pyarrow import parquet

        with self._fs.open(str(self._get_load_path()), "rb") as file:
            yield parquet.ParquetFile(file)


class JSONDataset(AtomicSave, json.JSONDataset):
    """json.JSONDataset, saved atomically."""

    def preview(self) -> JSONPreview:
        """Show the values."""
        return preview_json(loads(super().preview()))


class MetricsDataset(JSONDataset):
    """Metrics by part, as JSON."""

    def preview(self) -> TablePreview:
        """Show a table of the metrics by part."""
        return preview_metrics(self.load())


class TextDataset(AtomicSave, text.TextDataset):
    """text.TextDataset, saved atomically, in UTF-8 and with the line ends of Unix on every machine."""

    DEFAULT_FS_ARGS: ClassVar[dict[str, Any]] = {
        "open_args_save": {"mode": "w", "encoding": "utf-8", "newline": "\n"},
        "open_args_load": {"mode": "r", "encoding": "utf-8"},
    }
    _save_args: ClassVar[dict[str, Any]] = {}

    def preview(self) -> TextPreview:
        """Show the text; of a page in HTML its words."""
        content = self.load()
        return preview_text(words_of(content) if self._filepath.suffix == ".html" else content)


def _first_rows(file: Any, nrows: int, names: list[str]) -> dict[str, list[Any]]:
    """Read the first values of columns of an open Parquet file, without the others."""
    batch = next(file.iter_batches(max(1, nrows), columns=names), None)
    return {name: batch.column(name)[:nrows].to_pylist() if batch is not None else [] for name in names}
