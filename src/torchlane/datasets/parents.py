"""The model that fine-tuning starts from, and the rows that model was trained and tested on."""

from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from torchlane.core.model import trained as inference
from torchlane.core.model.trained import TrainedModel
from torchlane.core.rows.checking import ROW
from torchlane.datasets.in_words import preview_model
from torchlane.datasets.paths import shown


class ParentDataset(AbstractDataset[NoReturn, "ParentStore"]):
    """The use case's own model, or any model file by path; loading it returns a store that reads either.

    Args:
        filepath: the use case's own model.
        written: the `filepath` that fine-tuning writes, which cannot be the parent.
        project: the `path` that other model files are relative to.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(
        self,
        *,
        filepath: str,
        written: dict[str, str],
        project: dict[str, str] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        self._path = Path(filepath)
        self._written = Path(written["filepath"])
        self._project = Path((project or {"path": ""})["path"])
        self.metadata = metadata

    def load(self) -> "ParentStore":
        return ParentStore(self._path, self._written, self._project)

    def save(self, data: NoReturn) -> None:
        raise DatasetError(f"a parent is never written, so {self._path} is unchanged")

    def preview(self) -> TablePreview:
        """Show what the use case's own model is, in words."""
        return preview_model(self.load().model(None))

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"model": str(self._path), "written": str(self._written)}


class ParentStore:
    """Model files, and the rows that a pipeline leaves under the same output root."""

    def __init__(self, own: Path, written: Path, project: Path = Path()):
        self._own = own
        self._written = written
        self._project = project

    def path_of(self, path: str | None) -> Path:
        """Return the file that `path` names, or the use case's own model if it is None."""
        return self._own if path is None else self._project / path

    def model(self, path: str | None) -> TrainedModel:
        """Read the model at `path`, or the use case's own.

        Raises:
            DatasetError: there is no such file, it is not a complete model file of this format, or it is the file
                that fine-tuning writes.
        """
        file = self.path_of(path)
        if file.resolve() == self._written.resolve():
            raise DatasetError(
                f"fine_tuning.parent {shown(file)} is the file that fine-tuning writes, and a parent is never "
                f"overwritten; copy it elsewhere and name the copy"
            )
        if not file.exists():
            first = "run the use case's pipeline first" if path is None else "train it first"
            raise DatasetError(
                f"there is no parent {shown(file)} to fine-tune; {first}, or name a model file in fine_tuning.parent"
            )
        try:
            return inference.load(file)
        except (ValueError, OSError) as error:
            raise DatasetError(f"the parent cannot be read: {error}") from error

    def rows(self, path: str | None) -> pd.DataFrame | None:
        """Read the clean rows, with `part`, that a pipeline left under the output root of the model at `path`.

        Return None if there are none, or if they cannot be read.
        """
        file = self.path_of(path).resolve()
        use_case, root = file.parent.name, file.parents[2] if len(file.parents) > 2 else file.parent
        try:
            clean = pd.read_parquet(root / "02_intermediate" / use_case / "clean_rows.parquet")
            splits = pd.read_parquet(root / "03_primary" / use_case / "splits.parquet")
            return splits.merge(clean.drop(columns="part", errors="ignore"), on=ROW, how="left")
        except (OSError, ValueError, KeyError):
            return None
