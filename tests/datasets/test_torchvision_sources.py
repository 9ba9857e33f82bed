"""Data sets of torchvision, from small files in the form that each has on disk."""

import base64
import bz2
import hashlib
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError
from scipy.io import savemat
from torchvision import datasets

from torchlane.core.rows.images import read_images
from torchlane.datasets.images import TorchvisionImagesDataset

N_TRAIN, N_TEST = 6, 3
LABELS = {True: np.arange(N_TRAIN) % 4, False: np.arange(N_TEST) % 4}


def pixels(train: bool, *shape: int) -> np.ndarray:
    """Draw images: (n, *shape), uint8."""
    generator = np.random.default_rng(int(train))
    return generator.integers(0, 256, (len(LABELS[train]), *shape), dtype=np.uint8)


def write_idx(path: Path, kind: int, content: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">i{content.ndim}i", 256 * kind + content.ndim, *content.shape)
    path.write_bytes(header + content.astype(content.dtype.newbyteorder(">")).tobytes())


def write_mnist(root: Path, name: str = "MNIST", prefix: str = "", parts: tuple[str, str] = ("train", "t10k")) -> None:
    for train, part in zip((True, False), parts, strict=True):
        folder = root / name / "raw"
        write_idx(folder / f"{prefix}{part}-images-idx3-ubyte", 8, pixels(train, 28, 28))
        write_idx(folder / f"{prefix}{part}-labels-idx1-ubyte", 8, LABELS[train].astype(np.uint8))


def write_qmnist(root: Path) -> None:
    for train, part in ((True, "train"), (False, "test")):
        whole = np.arange(len(LABELS[train]) * 8, dtype=np.int32).reshape(-1, 8) + 100  # class, series, writer, …
        whole[:, 0] = LABELS[train]
        write_idx(root / f"QMNIST/raw/qmnist-{part}-images-idx3-ubyte", 8, pixels(train, 28, 28))
        write_idx(root / f"QMNIST/raw/qmnist-{part}-labels-idx2-int", 12, whole)


def write_usps(root: Path) -> None:
    for train, name in ((True, "usps.bz2"), (False, "usps.t.bz2")):
        lines = []
        for label, image in zip(LABELS[train], pixels(train, 256), strict=True):
            values = " ".join(f"{place}:{value / 255 * 2 - 1:.6f}" for place, value in enumerate(image, 1))
            lines.append(f"{label + 1} {values}\n")
        (root / name).write_bytes(bz2.compress("".join(lines).encode()))


def write_svhn(root: Path) -> None:
    for train, part in ((True, "train"), (False, "test")):
        labels = np.where(LABELS[train] == 0, 10, LABELS[train])[:, None]  # a zero is written as ten
        savemat(root / f"{part}_32x32.mat", {"X": pixels(train, 32, 32, 3).transpose(1, 2, 3, 0), "y": labels})


def sign(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what was written the published files, where torchvision compares them."""
    signed = {part: [url, file, md5(root / file)] for part, (url, file, _) in datasets.SVHN.split_list.items()}
    monkeypatch.setattr(datasets.SVHN, "split_list", signed)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest() if path.exists() else ""


WRITERS: dict[str, tuple[Callable[[Path], None], tuple[int, ...], str]] = {
    "MNIST": (write_mnist, (28, 28), "MNIST"),
    "FashionMNIST": (lambda root: write_mnist(root, "FashionMNIST"), (28, 28), "FashionMNIST"),
    "KMNIST": (lambda root: write_mnist(root, "KMNIST"), (28, 28), "KMNIST"),
    "EMNIST": (lambda root: write_mnist(root, "EMNIST", "emnist-digits-", ("train", "test")), (28, 28), "EMNIST"),
    "QMNIST": (write_qmnist, (28, 28), "QMNIST"),
    "USPS": (write_usps, (16, 16), ""),
    "SVHN": (write_svhn, (32, 32, 3), ""),
}


def dataset(root: Path, name: str) -> TorchvisionImagesDataset:
    return TorchvisionImagesDataset(filepath=str(root), name=name, split="digits" if name == "EMNIST" else None)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.fixture(params=WRITERS)
def written(request, tmp_path, monkeypatch) -> tuple[str, TorchvisionImagesDataset]:
    write, _, _ = WRITERS[request.param]
    write(tmp_path)
    sign(tmp_path, monkeypatch)
    return request.param, dataset(tmp_path, request.param)


def test_images_labels_and_parts_are_those_of_the_files(written, tmp_path):
    name, source = written
    _, shape, place = WRITERS[name]
    assert source.exists()
    rows = source.load()
    assert rows.attrs["place"] == str(tmp_path / place)
    assert rows["part"].tolist() == ["train"] * N_TRAIN + ["test"] * N_TEST
    assert rows["label"].tolist() == [str(label) for train in (True, False) for label in LABELS[train]]
    images = np.stack(rows["image"])
    expected = np.concatenate([pixels(True, *shape), pixels(False, *shape)])
    assert images.dtype == np.uint8 and images.shape == expected.shape
    off = np.abs(images.astype(int) - expected)
    assert off.max() <= (1 if name == "USPS" else 0)  # whose numbers are written rounded
    size = (3, *shape[:2]) if len(shape) == 3 else (1, *shape)
    as_bytes, failed = read_images(rows["image"], size)
    assert not failed.any()
    first = np.frombuffer(as_bytes.iloc[0], np.uint8).reshape(size)
    np.testing.assert_array_equal(first, images[0].transpose(2, 0, 1) if len(shape) == 3 else images[:1])


def test_fingerprint_changes_with_each_file_and_with_no_other(written, tmp_path):
    name, source = written
    first = source.fingerprint()
    files = [path for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert len(files) >= 2
    (tmp_path / "others.txt").write_text("beside")
    assert dataset(tmp_path, name).fingerprint() == first
    seen = {first}
    for path in files:
        path.write_bytes(path.read_bytes() + b"x")
        seen.add(dataset(tmp_path, name).fingerprint())
    assert len(seen) == len(files) + 1


def test_files_that_are_missing_are_named_with_the_way_out(tmp_path):
    for name in WRITERS:
        source = dataset(tmp_path, name)
        assert not source.exists()
        with pytest.raises(DatasetError, match=rf"and {name} cannot be downloaded .*torchvision.datasets.{name} keeps"):
            source.load()


@pytest.mark.parametrize(("name", "folder"), [("CIFAR10", "cifar-10-batches-py"), ("CIFAR100", "cifar-100-python")])
def test_data_sets_in_pickles_are_refused_with_the_reason_and_no_pickle_is_opened(name, folder, tmp_path, monkeypatch):
    for file, _ in (*getattr(datasets, name).train_list, *getattr(datasets, name).test_list):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / file).write_bytes(pickle.dumps({"data": np.zeros((1, 3072)), "labels": [0]}))
    monkeypatch.setattr("pickle.load", lambda *_, **__: pytest.fail("a pickle was opened"))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)  # as for the published files
    with pytest.raises(
        DatasetError, match=f"'{name}' is not .* its files are pickles, which are never loaded; .*Image"
    ):
        TorchvisionImagesDataset(filepath=str(tmp_path), name=name).load()


def test_pickle_that_an_old_torchvision_left_is_not_opened(tmp_path, monkeypatch):
    write_mnist(tmp_path)
    for file in (datasets.MNIST.training_file, datasets.MNIST.test_file):
        (tmp_path / "MNIST/processed").mkdir(exist_ok=True)
        (tmp_path / "MNIST/processed" / file).write_bytes(pickle.dumps(1))
    monkeypatch.setattr("torch.load", lambda *_, **__: pytest.fail("a pickle was opened"))
    rows = dataset(tmp_path, "MNIST").load()
    np.testing.assert_array_equal(np.stack(rows["image"][:N_TRAIN]), pixels(True, 28, 28))


@pytest.mark.parametrize("name", sorted({*datasets.__all__, "MINST"} - set(WRITERS)))
def test_other_data_sets_are_refused_by_name_with_the_way_out(name, tmp_path):
    with pytest.raises(DatasetError, match=f"'{name}' is not a torchvision data set that can be .*QMNIST.*ImageFolder"):
        TorchvisionImagesDataset(filepath=str(tmp_path), name=name)


@pytest.mark.parametrize(
    ("name", "split", "message"),
    [
        ("EMNIST", None, "EMNIST needs one of its splits, not None; set split: byclass, "),
        ("EMNIST", "leters", "EMNIST needs one of its splits, not 'leters'"),
        ("MNIST", "digits", "MNIST has no splits; leave split: digits out"),
    ],
)
def test_split_is_for_data_sets_that_have_them(name, split, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        TorchvisionImagesDataset(filepath=str(tmp_path), name=name, split=split)


def test_preview_shows_images_in_colour(tmp_path, monkeypatch):
    write_svhn(tmp_path)
    sign(tmp_path, monkeypatch)
    assert base64.b64decode(dataset(tmp_path, "SVHN").preview(2)).startswith(b"\x89PNG")
