"""Raw images, one row each: uint8 arrays with their labels."""

import hashlib
import logging
from abc import abstractmethod
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import ImagePreview

from torchlane.datasets.image_files import first_line, read_image
from torchlane.datasets.paths import shown
from torchlane.datasets.previews import preview_images
from torchlane.datasets.torchvision_sources import files_of, read_part, source_of

logger = logging.getLogger(__name__)

PARTS = ("train", "valid", "test")
NAMED = 5  # files, in a warning


class RawImagesDataset(AbstractDataset[NoReturn, pd.DataFrame]):
    """Images that load as a table of `image` (uint8 array), `label` (text), and `part` if the source has parts.

    `attrs["place"]` of the table names the source.

    Args:
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None):
        self.metadata = metadata
        self._fingerprint: str | None = None

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the images come from, as a user would write it."""

    @abstractmethod
    def compute_fingerprint(self) -> str:
        """Return a SHA-256 of the content."""

    @abstractmethod
    def read(self) -> pd.DataFrame:
        """Read all images; if all their bytes are read anyway, set `_fingerprint` to their digest."""

    def fingerprint(self) -> str:
        """Return a SHA-256 of what was loaded last, or else of what would be loaded; it is computed once."""
        if self._fingerprint is None:
            self._fingerprint = self.compute_fingerprint()
        return self._fingerprint

    def load(self) -> pd.DataFrame:
        self._fingerprint = None
        rows = self.read()
        rows.attrs["place"] = self.place
        return rows

    def save(self, data: NoReturn) -> None:
        raise DatasetError(f"raw images are never written, so {self.place} is unchanged")

    def read_first(self, n_rows: int) -> pd.DataFrame:
        """Read some images from the start, without the others where the source allows it, and download none."""
        return self.read().head(n_rows)

    def preview(self, nrows: int = 20) -> ImagePreview:
        """Show the first images, each over its label.

        Raises:
            DatasetError: there are none yet.
        """
        if not self.exists():
            raise DatasetError(f"{self.place} has no images yet")
        rows = self.read_first(nrows)
        shown_rows = [row for row in zip(rows["image"], rows["label"], strict=True) if isinstance(row[0], np.ndarray)]
        return preview_images([image for image, _ in shown_rows], [str(label) for _, label in shown_rows])

    def _describe(self) -> dict[str, Any]:
        return {"place": self.place}


class BundledDigitsDataset(RawImagesDataset):
    """The 1,797 handwritten digits of 8 x 8 pixels bundled with scikit-learn, scaled from 0 … 16 to 0 … 255."""

    @property
    def place(self) -> str:
        return "sklearn.datasets.load_digits"

    def _exists(self) -> bool:
        return True

    def compute_fingerprint(self) -> str:
        return _digest(cell.tobytes() for cell in self.read()["image"])

    def read(self) -> pd.DataFrame:
        from sklearn.datasets import load_digits

        bundled = load_digits()
        return _table((bundled.images * (255 / 16)).round().astype(np.uint8), bundled.target)


class TorchvisionImagesDataset(RawImagesDataset):
    """One of the torchvision data sets in `torchlane.datasets.torchvision_sources`; downloaded if absent.

    Args:
        filepath: the folder that torchvision calls root.
        name: the class of torchvision.datasets.
        split: which of its splits, for EMNIST.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, name: str, split: str | None = None, metadata: dict[str, Any] | None = None):
        super().__init__(metadata=metadata)
        self._root = Path(filepath)
        self._name, self._split = name, split
        self._source = source_of(name, split)

    @property
    def place(self) -> str:
        return str(shown(self._root / self._source.folder))

    def compute_fingerprint(self) -> str:
        return _digest(path.read_bytes() for path in self._files())

    def read(self) -> pd.DataFrame:
        parts = []
        for part in ("train", "test"):
            images, labels = self._read_part(part == "train")
            if len(images) != len(labels):
                raise DatasetError(
                    f"{self.place} has {len(images)} images and {len(labels)} labels to {part} with; "
                    f"one of its files is cut off or belongs elsewhere: remove them to download them again"
                )
            parts.append(_table(images, labels).assign(part=part))
        return pd.concat(parts, ignore_index=True)

    def read_first(self, n_rows: int) -> pd.DataFrame:
        images, labels = read_part(self._name, self._split, self._root, train=True, download=False)
        return _table(images[:n_rows], labels[:n_rows])

    def _read_part(self, train: bool) -> tuple[np.ndarray, np.ndarray]:
        try:
            return read_part(self._name, self._split, self._root, train, download=False)
        except Exception as error:
            if self._files():  # torchvision says just "not found" if a file is cut off or missing
                problem = f"has files that cannot be read ({first_line(error)})"
            else:
                is_there = (self._root / self._source.folder).is_dir()
                problem = f"has no files of {self._name}" if is_there else "does not exist"
        try:
            return read_part(self._name, self._split, self._root, train, download=True)
        except Exception as error:  # a download can fail in many ways
            raise DatasetError(
                f"{self.place} {problem}, and {self._name} cannot be downloaded ({first_line(error)}); "
                f"put the files there as torchvision.datasets.{self._name} keeps them"
            ) from error

    def _files(self) -> list[Path]:
        return files_of(self._source, self._root)

    def _exists(self) -> bool:
        return bool(self._files())


class ImageFolderDataset(RawImagesDataset):
    """A folder with one sub-folder per class; or with train, test (and valid), and the classes in each of them.

    A file that cannot be read as an image is a row too, with the reason in place of the image, so that it is
    rejected. The index has the paths relative to the folder. `torchlane.datasets.image_files` says how a file
    is read.

    Args:
        filepath: the folder.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        super().__init__(metadata=metadata)
        self._folder = Path(filepath)

    @property
    def place(self) -> str:
        return str(shown(self._folder))

    def compute_fingerprint(self) -> str:
        whole = hashlib.sha256()
        for path, *_ in self._files():
            self._read_bytes(path, whole)
        return whole.hexdigest()

    def read_first(self, n_rows: int) -> pd.DataFrame:
        files = list(islice(self._files(), n_rows))
        cells = [self._read_cell(path, hashlib.sha256())[0] for path, *_ in files]
        return pd.DataFrame({"image": pd.Series(cells, dtype=object), "label": [label for _, label, _ in files]})

    def read(self) -> pd.DataFrame:
        files = list(self._files())
        whole = hashlib.sha256()
        cells = [self._read_cell(path, whole) for path, *_ in files]
        self._fingerprint = whole.hexdigest()
        paths = [str(path.relative_to(self._folder)) for path, *_ in files]
        self._warn(paths, [several for _, several in cells])
        rows = pd.DataFrame({"label": [label for _, label, _ in files]}, index=pd.Index(paths), dtype="str")
        rows["image"] = pd.Series([cell for cell, _ in cells], index=rows.index, dtype=object)
        if any(part for *_, part in files):
            rows["part"] = [part for *_, part in files]
        return rows

    def _read_cell(self, path: Path, whole: Any) -> tuple[np.ndarray | str, bool]:
        content = self._read_bytes(path, whole)
        return read_image(content) if isinstance(content, bytes) else (content, False)

    def _read_bytes(self, path: Path, whole: Any) -> bytes | str:
        """Read a file into the digest too; if that fails, return the reason."""
        whole.update(str(path.relative_to(self._folder)).encode())
        try:
            content = path.read_bytes()
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        whole.update(content)
        return content

    def _warn(self, paths: list[str], several: list[bool]) -> None:
        """Name files of which only a part is used, and those that are in no class."""
        frames = [path for path, each in zip(paths, several, strict=True) if each]
        if frames:
            logger.warning("%s: the first of several frames is used of %s", self.place, _named(frames))
        outside = {self._folder, *(folder for folder, _ in self._parts())}
        files = sorted(path for folder in outside for path in folder.iterdir() if path.is_file() and _is_seen(path))
        if files:
            beside = [str(path.relative_to(self._folder)) for path in files]
            logger.warning("%s: left out, since in no folder of a class: %s", self.place, _named(beside))

    def _files(self) -> Iterator[tuple[Path, str, str]]:
        """Yield path, label and part (or "") of each image, in alphabetical order."""
        for folder, part in self._parts():
            for of_class in _folders_in(folder):
                files = sorted(path for path in of_class.rglob("*") if _is_seen(path) and _may_be_read(path))
                if not files:
                    raise DatasetError(f"class folder {shown(of_class)} is empty; put images there or remove it")
                for path in files:
                    yield path, of_class.name, part

    def _parts(self) -> list[tuple[Path, str]]:
        """List the folders that hold one folder per class, with the name of their part, or ""."""
        folders = _folders_in(self._folder)
        if not folders:
            raise DatasetError(
                f"{self.place} {'has no sub-folders' if self._folder.is_dir() else 'is not a folder'}; "
                f"put one sub-folder per class there, with its images"
            )
        has_parts = {folder.name for folder in folders} <= set(PARTS) and len(folders) > 1
        return [(folder, folder.name) for folder in folders] if has_parts else [(self._folder, "")]

    def _exists(self) -> bool:
        return self._folder.is_dir()


def _table(images: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    cells = pd.Series(list(images), dtype=object)
    return pd.DataFrame({"image": cells, "label": pd.Series(labels).astype("str")})


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir() and _is_seen(path))


def _is_seen(path: Path) -> bool:
    return not path.name.startswith(".")


def _may_be_read(path: Path) -> bool:
    """Whether a path is a file, or a link to one that is gone, which is a row too; no folder, and no pipe."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _named(names: list[str]) -> str:
    shown_names = ", ".join(names[:NAMED])
    return shown_names if len(names) <= NAMED else f"{shown_names} and {len(names) - NAMED} others"


def _digest(contents: Iterator[bytes]) -> str:
    whole = hashlib.sha256()
    for content in contents:
        whole.update(content)
    return whole.hexdigest()
