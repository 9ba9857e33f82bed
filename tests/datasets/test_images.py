import base64
import struct
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from torchlane.datasets.images import BundledDigitsDataset, ImageFolderDataset, TorchvisionImagesDataset


def write_mnist(root: Path, n_train: int = 6, n_test: int = 3, n_labels: int | None = None) -> Path:
    """Write files in MNIST's format, image k bright with k, labelled k % 10."""
    folder = root / "MNIST/raw"
    folder.mkdir(parents=True)
    for name, count in (("train", n_train), ("t10k", n_test)):
        pixels = bytes(np.repeat(np.arange(count, dtype=np.uint8), 28 * 28))
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">iiii", 2051, count, 28, 28) + pixels)
        labels = count if name == "t10k" or n_labels is None else n_labels
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(
            struct.pack(">ii", 2049, labels) + bytes(number % 10 for number in range(labels))
        )
    return folder


def mnist(root: Path) -> TorchvisionImagesDataset:
    return TorchvisionImagesDataset(filepath=str(root), name="MNIST")


def write_image(path: Path, side: int = 4, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (side, side)).save(path)


@pytest.fixture
def offline(monkeypatch):
    """No network, whatever torchvision tries."""

    def refuse(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def test_official_parts_come_with_their_labels(tmp_path):
    write_mnist(tmp_path)
    rows = mnist(tmp_path).load()
    assert rows["part"].tolist() == ["train"] * 6 + ["test"] * 3
    assert rows["label"].tolist() == ["0", "1", "2", "3", "4", "5", "0", "1", "2"]
    assert [int(image.max()) for image in rows["image"]] == [0, 1, 2, 3, 4, 5, 0, 1, 2]
    assert rows["image"][0].shape == (28, 28)
    assert rows.attrs["place"] == f"{tmp_path}/MNIST"


def test_fingerprint_follows_the_files(tmp_path):
    folder = write_mnist(tmp_path)
    before = mnist(tmp_path).fingerprint()
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    assert mnist(tmp_path).fingerprint() != before


def test_labels_and_images_of_different_length_are_refused(tmp_path):
    write_mnist(tmp_path, n_labels=5)
    with pytest.raises(DatasetError, match="has 6 images and 5 labels to train with; one of its files is cut off"):
        mnist(tmp_path).load()


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-100], lambda content: b"no image" + content, lambda _: b""]
)
def test_damaged_file_is_refused_with_the_way_out(tmp_path, offline, damage):
    path = write_mnist(tmp_path) / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=r"MNIST (has files that cannot be read|has \d+ images)"):
        mnist(tmp_path).load()


def test_missing_files_that_cannot_be_downloaded_are_named(tmp_path, offline):
    with pytest.raises(
        DatasetError, match=r"MNIST does not exist, and MNIST cannot be downloaded \(.*\); put the files there as"
    ):
        mnist(tmp_path).load()
    with pytest.raises(DatasetError, match="'MINST' is not a torchvision data set"):
        TorchvisionImagesDataset(filepath=str(tmp_path), name="MINST").load()


def test_bundled_digits_need_no_file():
    rows = BundledDigitsDataset().load()
    assert len(rows) == 1797
    assert rows["image"][0].dtype == np.uint8
    assert max(int(image.max()) for image in rows["image"]) == 255
    assert sorted(set(rows["label"])) == [str(digit) for digit in range(10)]


def test_folder_gives_a_row_an_image_and_its_folder_as_label(tmp_path):
    write_image(tmp_path / "cat/1.png")
    write_image(tmp_path / "cat/deep/2.bmp")
    write_image(tmp_path / "dog/1.png", mode="RGB")
    (tmp_path / "cat/.hidden").touch()
    rows = ImageFolderDataset(filepath=str(tmp_path)).load()
    assert rows["label"].tolist() == ["cat", "cat", "dog"]
    assert rows.index.tolist() == ["cat/1.png", "cat/deep/2.bmp", "dog/1.png"]
    assert [image.shape for image in rows["image"]] == [(4, 4), (4, 4), (4, 4, 3)]
    assert "part" not in rows


def test_images_of_a_folder_are_read_once_for_table_and_fingerprint(tmp_path, monkeypatch):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        write_image(tmp_path / name)
    read = []
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or plain(path))
    dataset = ImageFolderDataset(filepath=str(tmp_path))
    dataset.load()
    first = dataset.fingerprint()
    assert len(read) == 3
    assert ImageFolderDataset(filepath=str(tmp_path)).fingerprint() == first
    write_image(tmp_path / "dog/2.png")
    assert dataset.fingerprint() == first  # of what was loaded
    dataset.load()
    assert dataset.fingerprint() != first


def test_folder_with_parts_keeps_them(tmp_path):
    for part in ("train", "test"):
        for label in ("cat", "dog"):
            write_image(tmp_path / part / label / "1.png")
    rows = ImageFolderDataset(filepath=str(tmp_path)).load()
    assert rows["part"].tolist() == ["test", "test", "train", "train"]
    assert rows["label"].tolist() == ["cat", "dog", "cat", "dog"]


def test_file_that_cannot_be_read_stays_a_row_with_the_reason(tmp_path):
    write_image(tmp_path / "cat/1.png", side=64)
    (tmp_path / "cat/2.png").write_bytes((tmp_path / "cat/1.png").read_bytes()[:60])
    (tmp_path / "cat/3.png").write_text("no image")
    (tmp_path / "cat/4.png").touch()
    cells = ImageFolderDataset(filepath=str(tmp_path)).load()["image"].tolist()
    assert isinstance(cells[0], np.ndarray)
    assert all(isinstance(cell, str) for cell in cells[1:])
    assert cells[2:] == ["no image", "no image"]


def test_empty_class_folder_and_no_folder_are_refused(tmp_path):
    write_image(tmp_path / "cat/1.png")
    (tmp_path / "dog").mkdir()
    with pytest.raises(DatasetError, match=r"class folder .*/dog is empty; put images there or remove it"):
        ImageFolderDataset(filepath=str(tmp_path)).load()
    with pytest.raises(DatasetError, match="is not a folder; put one sub-folder per class there"):
        ImageFolderDataset(filepath=str(tmp_path / "none")).load()
    with pytest.raises(DatasetError, match="has no sub-folders; put one sub-folder per class there"):
        ImageFolderDataset(filepath=str(tmp_path / "cat")).load()


def test_raw_images_are_never_written():
    with pytest.raises(
        DatasetError, match="raw images are never written, so sklearn.datasets.load_digits is unchanged"
    ):
        BundledDigitsDataset().save(BundledDigitsDataset().load())


def test_preview_shows_the_first_images_side_by_side():
    shown = base64.b64decode(BundledDigitsDataset().preview(3))
    assert shown.startswith(b"\x89PNG")
