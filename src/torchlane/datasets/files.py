"""The base class of datasets that are one local file, read and written as a whole."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, Generic, TypeVar

from kedro.io import AbstractDataset, DatasetError

from torchlane.core.machine.files import replacing

Content = TypeVar("Content")


class FileDataset(AbstractDataset[Content, Content], Generic[Content]):
    """One file at `path`; subclasses implement `read` and `write`.

    Args:
        filepath: the file.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self.path = Path(filepath)
        self.metadata = metadata

    @abstractmethod
    def read(self, path: Path) -> Content:
        """Read a file that exists."""

    @abstractmethod
    def write(self, content: Content, path: Path) -> None:
        """Write a new file; it is renamed to its final name once it is complete."""

    def load(self) -> Content:
        if not self.path.exists():
            raise DatasetError(f"{self.path} does not exist; run the stage that writes it, or the whole pipeline")
        try:
            return self.read(self.path)
        except ValueError as error:
            raise DatasetError(f"{self.path} cannot be read: {error}") from error

    def save(self, data: Content) -> None:
        with replacing(self.path) as partial:
            self.write(data, partial)

    def _exists(self) -> bool:
        return self.path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self.path)}
