"""Raw rows: text as it stands in the file, so that nothing is misread before it is checked."""

from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from torchlane.core.files import replacing


class RawRowsDataset(AbstractDataset[NoReturn, pd.DataFrame]):
    """A CSV file with a header, UTF-8, loaded as text; `attrs["place"]` names the file.

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
        return self._read(n_rows=None)

    def save(self, data: NoReturn) -> None:
        raise DatasetError(f"raw rows are never written, so {self._path} stays as it is")

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows."""
        return TablePreview(self._read(nrows).to_dict(orient="split"))

    def _read(self, n_rows: int | None) -> pd.DataFrame:
        if not self._path.exists():
            self._download()
        try:
            rows = pd.read_csv(self._path, dtype="str", keep_default_na=False, encoding="utf-8-sig", nrows=n_rows)
        except pd.errors.EmptyDataError as error:
            raise DatasetError(f"{self.place} is empty; it needs a header and rows") from error
        except (ValueError, OSError) as error:
            raise DatasetError(f"{self.place} cannot be read as CSV in UTF-8: {error}") from error
        rows.attrs["place"] = self.place
        return rows

    @property
    def place(self) -> str:
        """The path as a user would write it: relative to the working folder where it lies below."""
        here = Path.cwd()
        return str(self._path.relative_to(here) if self._path.is_relative_to(here) else self._path)

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
