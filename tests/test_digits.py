"""Images from a raw source to predictions, as a user runs them, and the digits notebook to its printed digits."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import torchlane
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.machine.threads import torch_threads
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import SECTIONS
from torchlane.core.rows.checking import check_rows
from torchlane.datasets.images import BundledDigitsDataset, TorchvisionImagesDataset

from .commands import PROJECT, run_command

MNIST = PROJECT / "data/01_raw/public/MNIST"
needs_mnist = pytest.mark.skipif(not MNIST.exists(), reason=f"MNIST is not in {MNIST.parent}")
PRINTED = [(0.3272, 0.9175), (0.1421, 0.9604), (0.0999, 0.9721), (0.0760, 0.9790), (0.0611, 0.9828)]


def plain_loop(images: torch.Tensor, labels: torch.Tensor, epochs: int) -> nn.Sequential:
    """The notebook's loop."""
    torch.manual_seed(1234)
    features = images.flatten(1).float() / 255
    n_features = features.shape[1]
    model = nn.Sequential(nn.Linear(n_features, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 10))
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(epochs):
        for inputs, targets in DataLoader(TensorDataset(features, labels), batch_size=100, shuffle=True):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()
    return model


def assert_same_bits(model: torchlane.TrainedModel, images: torch.Tensor, labels: torch.Tensor, epochs: int) -> None:
    """Compare with the notebook's loop on the same number of threads."""
    with torch_threads(model.details["threads"]):
        plain = plain_loop(images, labels, epochs)
    ours = model.network().state_dict()
    assert len(ours) == len(plain.state_dict())
    for (name, one), other in zip(ours.items(), plain.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_notebook_settings_have_the_bits_of_the_plain_dataloader_loop():
    settings = {
        "data": {
            "task": "multiclass",
            "target": "label",
            "columns": {"image": {"kind": "image", "size": [1, 8, 8]}, "label": {"kind": "category"}},
        },
        "model": {"widths": [100], "batch_norm": True, "activation": "ReLU", "dropout": 0},
        "training": {"seed": 1234, "epochs": 3, "batch_size": 100, "optimizer": {"name": "Adam"}, "device": "cpu"},
    }
    options = {name: section.model_validate(settings.get(name, {})) for name, section in SECTIONS.items()}
    clean, _ = check_rows(BundledDigitsDataset().load(), options["data"])
    encoder = fit_encoder(clean, options["data"], options["encoding"])
    train = build_tensors(clean, encoder)
    nobody = TensorDataset(*(tensor[:0] for tensor in train.tensors))
    lesson = Lesson(train, nobody, encoder, options["training"])
    model, _ = train_model(lesson, options["data"], options["model"], NoCheckpoints())
    assert_same_bits(model, *train.tensors, epochs=3)


@needs_mnist
def test_first_epochs_of_the_notebook_are_those_it_printed(tmp_path):
    settings = f"--params=output_root={tmp_path},digits.training.epochs=5"
    done = run_command("kedro", "run", "--pipeline=digits", "--env=notebook", settings)
    assert done.returncode == 0, done.stderr
    history = pd.read_csv(tmp_path / "08_reporting/digits/history.csv")
    shown = [(f"{loss:.4f}", f"{accuracy:.4f}") for loss, accuracy in zip(history["train_loss"], history["train_accuracy_score"], strict=True)]  # fmt: skip
    assert shown == [(f"{loss:.4f}", f"{accuracy:.4f}") for loss, accuracy in PRINTED]
    metrics = json.loads((tmp_path / "08_reporting/digits/metrics.json").read_text())
    assert metrics["rows"] == {"train": 60000, "valid": 0, "test": 10000}
    assert metrics["data"] == "MNIST"


@needs_mnist
@pytest.mark.slow
def test_whole_notebook_has_the_bits_of_the_plain_loop_and_the_test_score_it_printed(tmp_path):
    done = run_command("kedro", "run", "--pipeline=digits", "--env=notebook", f"--params=output_root={tmp_path}")
    assert done.returncode == 0, done.stderr
    test = json.loads((tmp_path / "08_reporting/digits/metrics.json").read_text())["test"]
    assert test["accuracy_score"] == pytest.approx(0.9774, abs=0.003)
    assert test["cross_entropy_loss"] == pytest.approx(0.0882, abs=0.01)
    rows = TorchvisionImagesDataset(filepath=str(MNIST.parent), name="MNIST").load()
    train = rows[rows["part"] == "train"]
    images = torch.from_numpy(np.stack(train["image"].to_list()))
    labels = torch.from_numpy(train["label"].to_numpy(np.int64))
    model = torchlane.load(tmp_path / "06_models/digits/model.safetensors")
    assert_same_bits(model, images, labels, epochs=20)


def test_bundled_digits_run_by_configuration_alone_and_a_diagnosis_is_given(tmp_path):
    done = run_command("kedro", "run", "--pipeline=digits", "--env=test", f"--params=output_root={tmp_path}")
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "08_reporting/digits/metrics.json").read_text())
    assert metrics["data"] == "handwritten digits of scikit-learn, 8 x 8 pixels"
    assert metrics["test"]["accuracy_score"] > 0.9
    diagnosis = json.loads((tmp_path / "08_reporting/digits/diagnosis.json").read_text())
    assert diagnosis["overfit_one_batch"]["fitted"]
    assert diagnosis["findings"] == []
    saved = pd.read_csv(tmp_path / "07_model_output/digits/test_predictions.csv")
    raw = BundledDigitsDataset().load().iloc[saved["row"] - 1]
    predicted = torchlane.load(tmp_path / "06_models/digits/model.safetensors").predict(raw)
    np.testing.assert_array_equal(predicted["prediction"], saved["prediction"])


@pytest.fixture
def shapes(tmp_path) -> Path:
    """A project of the user's own: 60 images of 16 x 16 pixels in a folder, a bar upright or flat."""
    for name in ("conf", "pyproject.toml", "src", ".telemetry"):
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, tmp_path / name)
    random = np.random.default_rng(0)
    for label in ("upright", "flat"):
        folder = tmp_path / "data/01_raw/shapes" / label
        folder.mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 80, (16, 16), dtype=np.uint8)
            place = random.integers(2, 12)
            pixels[(slice(None), slice(place, place + 3)) if label == "upright" else slice(place, place + 3)] = 255
            Image.fromarray(pixels).save(folder / f"{number:02}.png")
    (tmp_path / "conf/base/parameters/shapes.yml").write_text(
        "shapes:\n"
        "  data:\n"
        "    task: binary\n"
        "    target: label\n"
        "    columns: {image: {kind: image, size: [1, 16, 16]}, label: {kind: category}}\n"
        "  model: {kind: cnn, widths: [8, 16]}\n"
        "  training: {epochs: 15, batch_size: 16, learning_rate: 0.01}\n"
    )
    with (tmp_path / "conf/base/catalog.yml").open("a") as catalog:
        catalog.write(
            "\nshapes.raw_rows:\n  type: torchlane.datasets.images.ImageFolderDataset\n  filepath: data/01_raw/shapes\n"
        )
    return tmp_path


def test_image_folder_needs_a_catalog_entry_and_parameters_only_and_bad_files_are_set_apart(shapes):
    folder = shapes / "data/01_raw/shapes"
    (folder / "flat/broken.png").write_bytes((folder / "flat/00.png").read_bytes()[:50])
    Image.new("RGB", (16, 16)).save(folder / "flat/colour.png")
    Image.new("L", (16, 17)).save(folder / "flat/high.png")
    done = run_command("kedro", "run", "--pipeline=shapes", folder=shapes)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((shapes / "data/08_reporting/shapes/metrics.json").read_text())
    assert metrics["test"]["accuracy_score"] >= 0.8
    rejected = pd.read_csv(shapes / "data/02_intermediate/shapes/rejected_rows.csv")
    rule = "an image of 1 x 16 x 16 pixels (channels, height, width), uint8"
    assert set(rejected["rule"]) == {rule}
    assert rejected["value"].str.startswith("flat/").all()
    shown = [value.partition(": ")[2] for value in rejected["value"]]
    assert shown[1:] == ["16 x 16 x 3, uint8", "17 x 16, uint8"]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: (folder / "round").mkdir(), "class folder data/01_raw/shapes/round is empty"),
        (shutil.rmtree, "data/01_raw/shapes is not a folder; put one sub-folder per class there"),
    ],
    ids=["empty class folder", "no folder"],
)
def test_folder_that_cannot_be_used_ends_in_one_line(shapes, harm, message):
    harm(shapes / "data/01_raw/shapes")
    done = run_command("kedro", "run", "--pipeline=shapes", folder=shapes)
    assert done.returncode == 1
    (error,) = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert error.startswith("Error: ")
    assert message in error
