"""Raw rows: text as it stands in the file, so that nothing is misread before it is checked."""

import logging
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pyarrow as pa
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview
from pyarrow import csv as arrow_csv

from torchlane.core.digests import content_digest
from torchlane.core.files import replacing
from torchlane.datasets.headers import HEADER_BYTES, Header, read_header

logger = logging.getLogger(__name__)

SHOWN = 200  # characters of a broken row


class RawRowsDataset(AbstractDataset[NoReturn, pd.DataFrame]):
    """A table with a header, UTF-8, its fields between commas, semicolons, tabs or bars, loaded as text.

    `attrs` of what is loaded: `place` names the file, and `broken_rows` maps the numbers of rows with
    more or fewer fields than the header (1 is the row under it) to their text; such a row is missing in
    every column.

    Args:
        filepath: the file; endings such as `.gz` say how it is compressed.
        url: where a public file that is not there can be downloaded.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, url: str | None = None, metadata: dict[str, Any] | None = None):
        self._path = Path(filepath)
        self._url = url
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        if not self._path.exists():
            self._download()
        rows = self._read()
        rows.attrs["place"] = self.place
        return rows

    def save(self, data: NoReturn) -> None:
        raise DatasetError(f"raw rows are never written, so {self.place} stays as it is")

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows."""
        return TablePreview(self._read().head(nrows).to_dict(orient="split"))

    def fingerprint(self) -> str:
        """Give the SHA-256 of the file."""
        return content_digest(self._path)

    @property
    def place(self) -> str:
        """The path as a user would write it: relative to the working folder where it lies below."""
        here = Path.cwd()
        return str(self._path.relative_to(here) if self._path.is_relative_to(here) else self._path)

    def _read(self) -> pd.DataFrame:
        names, separator, n_skipped = self._read_header()
        broken: dict[int, str] = {}

        def set_apart(row: Any) -> str:
            broken[row.number - n_skipped] = row.text  # pyarrow counts what it skips
            return "skip"

        try:
            table = arrow_csv.read_csv(
                self._path,
                read_options=arrow_csv.ReadOptions(column_names=names, skip_rows=n_skipped, use_threads=False),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=separator, newlines_in_values=True, invalid_row_handler=set_apart
                ),
                convert_options=arrow_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error) or "Could not skip" in str(error):  # a header and nothing else
                return pd.DataFrame({name: pd.Series(dtype="str") for name in names})
            if "UTF8" in str(error):
                raise DatasetError(f"{self.place} is not UTF-8 ({error}); save it as UTF-8") from error
            raise DatasetError(f"{self.place} cannot be read as a table: {error}") from error
        except OSError as error:
            raise DatasetError(f"{self.place} cannot be read: {error}") from error
        rows = table.to_pandas()
        self._require_closed_quotes(rows, broken)
        if broken:
            every_row = pd.RangeIndex(1, len(rows) + len(broken) + 1)
            rows = rows.set_axis(every_row.drop(list(broken))).reindex(every_row).reset_index(drop=True)
        rows.attrs["broken_rows"] = {row: text[:SHOWN] for row, text in broken.items()}
        return rows

    def _read_header(self) -> Header:
        try:
            with pa.input_stream(str(self._path), compression="detect") as stream:
                return read_header(stream.read(HEADER_BYTES), self.place)
        except (OSError, pa.ArrowInvalid) as error:
            raise DatasetError(f"{self.place} cannot be read: {error}") from error
        except ValueError as error:
            raise DatasetError(str(error)) from error

    def _require_closed_quotes(self, rows: pd.DataFrame, broken: dict[int, str]) -> None:
        """Refuse a file in which an open quote swallowed rows.

        They would be part of a broken row, or, to the end of the file, of the last field.
        """
        swallowed = [row for row, text in broken.items() if "\n" in text]
        if not swallowed and not rows.empty and rows.iloc[-1].str.contains("\n").any() and self._n_quotes() % 2:
            swallowed = [len(rows) + len(broken)]
        if swallowed:
            raise DatasetError(f"a quote is left open in {self.place}, in or before row {swallowed[0]}; close it")

    def _n_quotes(self) -> int:
        with pa.input_stream(str(self._path), compression="detect") as stream:
            return sum(chunk.count(b'"') for chunk in iter(lambda: stream.read(1 << 24), b""))

    def _download(self) -> None:
        if self._url is None:
            raise DatasetError(f"{self.place} does not exist; put a CSV file with a header there")
        import pooch

        try:
            with replacing(self._path) as partial:
                pooch.retrieve(self._url, known_hash=None, path=partial.parent, fname=partial.name)
        except Exception as error:  # whatever the network came up with
            raise DatasetError(
                f"{self.place} does not exist and {self._url} cannot be downloaded ({error}); put it there by hand"
            ) from error

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path), "url": self._url}
