"""Raw rows: the text of the file unchanged, so that nothing is misread before it is checked."""

from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from torchlane.core.machine.digests import content_digest
from torchlane.core.machine.files import replacing
from torchlane.core.rows.raw_rows import columns_of, mark_torn
from torchlane.datasets.csv_tables import CSVTable
from torchlane.datasets.paths import shown
from torchlane.datasets.previews import preview_table


class RawRowsDataset(AbstractDataset[NoReturn, pd.DataFrame]):
    """A UTF-8 table with a header, separated by commas, semicolons, tabs or bars, loaded as text.

    `attrs["place"]` of the table names the file. A row with more or fewer fields than the header has missing
    values only, and its text in an extra column that only tables with such rows have; see
    `torchlane.core.rows.raw_rows.mark_torn`.

    Args:
        filepath: the file; an ending such as `.gz` tells how it is compressed.
        url: where the file is downloaded from if it does not exist.
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
        raise DatasetError(f"raw rows are never written, so {self.place} is unchanged")

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows."""
        rows = self._read(n_chunks=1)
        return preview_table(rows[columns_of(rows)].head(nrows).to_dict(orient="split"))

    def fingerprint(self) -> str:
        """Return the SHA-256 of the file."""
        return content_digest(self._path)

    @property
    def place(self) -> str:
        """The path as a user would write it: relative to the working folder if it is inside."""
        return str(shown(self._path))

    def _read(self, n_chunks: int | None = None) -> pd.DataFrame:
        try:
            with self._path.open("rb") as file:
                table = CSVTable(file, self.place, self._path.stat().st_size, _compression(self._path.name))
                chunks = list(islice(table.chunks((), table.names), n_chunks))
        except OSError as error:
            raise DatasetError(f"{self.place} cannot be read: {error}") from error
        except ValueError as error:
            raise DatasetError(str(error)) from error
        if not chunks:
            return pd.DataFrame({name: pd.Series(dtype="str") for name in table.names})
        rows = pa.concat_tables([chunk.table for chunk in chunks]).combine_chunks().to_pandas()
        rows = rows.set_axis(np.concatenate([chunk.rows for chunk in chunks]))
        broken = [each for chunk in chunks for each in chunk.broken]
        return mark_torn(rows, {row: text for row, text, _ in broken}, {row: rule for row, _, rule in broken})

    def _download(self) -> None:
        if self._url is None:
            raise DatasetError(f"{self.place} does not exist; put a CSV file with a header there")
        import pooch

        try:
            with replacing(self._path) as partial:
                pooch.retrieve(self._url, known_hash=None, path=partial.parent, fname=partial.name)
        except Exception as error:  # a download can fail in many ways
            raise DatasetError(
                f"{self.place} does not exist and {self._url} cannot be downloaded ({error}); put it there by hand"
            ) from error

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._path), "url": self._url}


def _compression(name: str) -> str | None:
    """Return the compression that a file's name indicates, if any."""
    try:
        return str(pa.Codec.detect(name).name)
    except TypeError:  # not compressed
        return None
