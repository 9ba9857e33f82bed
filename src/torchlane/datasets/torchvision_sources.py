"""The torchvision data sets that can be read: where each keeps its files, and how its arrays are laid out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from kedro.io import DatasetError

EMNIST_SPLITS = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")


@dataclass(frozen=True)
class Source:
    """One class of torchvision.datasets.

    `folder` is its folder inside the one that torchvision calls root, and `files` is a pattern inside that folder.
    `part_argument` is the argument that selects train or test, and `labels` the attribute with the labels. Images
    with several channels have them last unless `channels_first` is set.
    """

    folder: str
    files: str = "**/*"
    part_argument: str = "train"
    labels: str = "targets"
    channels_first: bool = False
    splits: tuple[str, ...] = ()  # if there are any, one of them has to be named


SOURCES = {
    **{name: Source(folder=name) for name in ("MNIST", "FashionMNIST", "KMNIST", "QMNIST")},
    "EMNIST": Source(folder="EMNIST", splits=EMNIST_SPLITS),
    "USPS": Source(folder=".", files="usps*.bz2"),
    "SVHN": Source(folder=".", files="t*_32x32.mat", part_argument="split", labels="labels", channels_first=True),
}
PICKLED = ("CIFAR10", "CIFAR100")  # whatever MD5 their files have


def source_of(name: str, split: str | None) -> Source:
    """Find a source by the name of its class.

    Raises:
        DatasetError: there is no such source, or it does not have this `split`.
    """
    source = SOURCES.get(name)
    if source is None:
        reason = ", since its files are pickles, which are never loaded" if name in PICKLED else ""
        raise DatasetError(
            f"'{name}' is not a torchvision data set that can be read here{reason}; there are {', '.join(SOURCES)}; "
            f"save the images of another into one sub-folder per class, for "
            f"torchlane.datasets.images.ImageFolderDataset"
        )
    if source.splits and split not in source.splits:
        raise DatasetError(f"{name} needs one of its splits, not {split!r}; set split: {', '.join(source.splits)}")
    if split is not None and not source.splits:
        raise DatasetError(f"{name} has no splits; leave split: {split} out")
    return source


def files_of(source: Source, root: Path) -> list[Path]:
    """List the files of a source that exist, in alphabetical order."""
    return sorted(path for path in (root / source.folder).glob(source.files) if path.is_file())


def read_part(name: str, split: str | None, root: Path, train: bool, download: bool) -> tuple[np.ndarray, np.ndarray]:
    """Read one part: images as uint8 (n, height, width) or (n, height, width, channels), and their labels (n,).

    If files are missing or damaged, any error of torchvision may be raised.
    """
    from torchvision import datasets

    source = source_of(name, split)
    part: dict[str, Any] = {"train": train} if source.part_argument == "train" else {"split": _part(train)}
    chosen = {"split": split} if split is not None else {}
    found = _without_pickle(getattr(datasets, name))(root, **part, **chosen, download=download)
    images, labels = np.asarray(found.data), np.asarray(getattr(found, source.labels))
    if source.channels_first:
        images = images.transpose(0, 2, 3, 1)
    return images, labels[:, 0] if labels.ndim == 2 else labels  # QMNIST: the class, then writer and more


def _without_pickle(of_name: Any) -> Any:
    """Keep MNIST and its relatives from a pickle that an old version of torchvision may have left beside the files."""
    if not hasattr(of_name, "_check_legacy_exist"):
        return of_name
    return type(of_name.__name__, (of_name,), {"_check_legacy_exist": lambda _: False})


def _part(train: bool) -> str:
    return "train" if train else "test"
