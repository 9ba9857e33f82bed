import base64
import struct
from pathlib import Path

import numpy as np
import pytest
from kedro.io import DatasetError
from PIL import Image

from torchlane.core.options import DataOptions
from torchlane.core.rows.checking import check_rows
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


def check_folder(root: Path, size: tuple[int, int, int]):
    columns = {"image": {"kind": "image", "size": size}, "label": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "binary", "target": "label", "columns": columns})
    return check_rows(ImageFolderDataset(filepath=str(root)).load(), data)


def test_each_file_that_is_no_such_image_is_a_rejected_row_with_its_name(tmp_path, monkeypatch):
    for name in ("cat/1.png", "cat/named_otherwise.txt", "dog/1.png"):
        write_image(tmp_path / "as.png")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / "as.png").rename(tmp_path / name)
    write_image(tmp_path / "cat/large.png", side=65)
    (tmp_path / "cat/notes.png").write_text("seen in the garden")
    (tmp_path / "cat/empty.jpg").touch()
    (tmp_path / "cat/cut.png").write_bytes((tmp_path / "cat/large.png").read_bytes()[:50])
    (tmp_path / "dog/gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "dog/Thumbs.db").write_bytes(bytes(100))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64)  # Pillow raises from twice as many on
    clean, rejected = check_folder(tmp_path, (1, 4, 4))
    assert len(clean) == 3
    assert set(rejected["rule"]) == {"an image of 1 x 4 x 4 pixels (channels, height, width), uint8"}
    reasons = dict(each.split(": ", 1) for each in rejected["value"])
    assert list(reasons) == [
        "cat/cut.png", "cat/empty.jpg", "cat/large.png", "cat/notes.png", "dog/Thumbs.db", "dog/gone.png"
    ]  # fmt: skip
    assert reasons["cat/large.png"].startswith("Image size (4225 pixels) exceeds limit")
    assert reasons["dog/gone.png"] == "cannot be read: No such file or directory"
    assert reasons["cat/notes.png"] == reasons["cat/empty.jpg"] == "no image"


def test_photos_of_either_orientation_give_the_same_rows(tmp_path):
    upright = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    for name, stored, orientation in (("cat/a.png", upright, 1), ("dog/b.png", np.rot90(upright), 6)):
        exif = Image.Exif()
        exif[0x0112] = orientation
        (tmp_path / name).parent.mkdir()
        Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif)
    clean, rejected = check_folder(tmp_path, (3, 6, 8))
    assert rejected.empty
    assert clean["image"][0] == clean["image"][1] == upright.transpose(2, 0, 1).tobytes()


def test_what_is_left_out_of_a_folder_is_said_with_its_name(tmp_path, caplog):
    frames = [Image.new("L", (4, 4), value) for value in (1, 2)]
    for label in ("cat", "dog"):
        write_image(tmp_path / "train" / label / "1.png")
        write_image(tmp_path / "test" / label / "1.png")
    frames[0].save(tmp_path / "train/cat/waves.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "labels.csv").touch()
    (tmp_path / "train/stray.png").touch()
    (tmp_path / ".hidden").touch()
    assert len(ImageFolderDataset(filepath=str(tmp_path)).load()) == 5
    assert "the first of several frames is used of train/cat/waves.gif" in caplog.text
    assert "left out, since in no folder of a class: labels.csv, train/stray.png" in caplog.text
    assert ".hidden" not in caplog.text and len(caplog.records) == 2


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
