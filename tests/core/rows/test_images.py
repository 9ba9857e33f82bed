import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.encoding.images import ImageEncoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.model.trained import TrainedModel, load
from torchlane.core.networks import build_network
from torchlane.core.networks.pixels import Pixels
from torchlane.core.options import AugmentationOptions, DataOptions, EncodingOptions, ModelOptions, TrainingOptions
from torchlane.core.rows.checking import check_rows, rows_digest

SIZE = (1, 8, 8)


def data(size=SIZE, **changes) -> DataOptions:
    columns = {"image": {"kind": "image", "size": size}, "label": {"kind": "category"}}
    return DataOptions.model_validate({"task": "binary", "target": "label", "columns": columns, **changes})


@pytest.fixture
def raw_images() -> pd.DataFrame:
    """40 images, bright in the upper or in the lower half."""
    random = np.random.default_rng(0)
    images = random.integers(0, 100, (40, 8, 8), dtype=np.uint8)
    labels = ["up", "down"] * 20
    for image, label in zip(images, labels, strict=True):
        image[slice(0, 4) if label == "up" else slice(4, 8)] += 120
    return pd.DataFrame({"image": pd.Series(list(images), dtype=object), "label": pd.Series(labels, dtype="str")})


def train(rows: pd.DataFrame, kind: dict | None = None, **training) -> TrainedModel:
    clean, _ = check_rows(rows, data())
    encoder = fit_encoder(clean, data(), EncodingOptions(pixels="z_score"))
    tensors = build_tensors(clean, encoder)
    model = ModelOptions.model_validate(kind or {"kind": "cnn", "widths": [8]})
    options = TrainingOptions.model_validate({"epochs": 15, "learning_rate": 0.02, **training})
    return train_model(Lesson(tensors, tensors, encoder, options), data(), model, NoCheckpoints())[0]


def test_images_of_any_layout_are_read_to_the_same_bytes():
    colour = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)  # height, width, channels
    cells = [colour, colour.transpose(2, 0, 1), colour.transpose(2, 0, 1).tobytes()]
    rows = pd.DataFrame({"image": pd.Series(cells, dtype=object), "label": ["a", "b", "b"]})
    clean, rejected = check_rows(rows, data(size=(3, 2, 4)))
    assert rejected.empty
    assert set(clean["image"]) == {colour.transpose(2, 0, 1).tobytes()}


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (np.zeros((8, 9), np.uint8), "8 x 9, uint8"),
        (np.zeros((8, 8, 3), np.uint8), "8 x 8 x 3, uint8"),
        (np.zeros((8, 8), np.float32), "8 x 8, float32"),
        (b"1234", "4 bytes"),
        ("scan.png: no image", "scan.png: no image"),
        (None, ""),
    ],
    ids=["wrong size", "wrong channel count", "wrong type", "too short", "corrupt file", "missing"],
)
def test_what_is_no_such_image_is_rejected_with_the_rule(raw_images, cell, shown):
    raw_images.at[4, "image"] = cell
    clean, rejected = check_rows(raw_images, data())
    assert rejected.to_dict("records") == [
        {
            "row": 5,
            "column": "image",
            "value": shown,
            "rule": "an image of 1 x 8 x 8 pixels (channels, height, width), uint8",
        }
    ]
    assert len(clean) == 39


def test_images_stay_uint8_until_the_network_brings_them_to_scale(raw_images):
    clean, _ = check_rows(raw_images, data())
    encoder = fit_encoder(clean, data(), EncodingOptions())
    features, targets = build_tensors(clean, encoder).tensors
    assert (features.dtype, features.shape, targets.shape) == (torch.uint8, (40, 1, 8, 8), (40, 1))
    network = build_network(ModelOptions(widths=(4,)), encoder)
    assert torch.equal(network.pixels(features), features.float() / 255)


def test_scale_of_a_channel_is_that_of_train():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 3, 4, 5), dtype=np.uint8)
    encoder = ImageEncoder.fit(pd.Series([each.tobytes() for each in pixels], name="image"), (3, 4, 5), "z_score")
    scaled = Pixels(encoder)(torch.from_numpy(pixels))
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4, rtol=0)
    assert Encoder.model_validate_json(
        Encoder(columns=(encoder,), target={"name": "y", "task": "regression"}).model_dump_json()
    ).image == encoder  # fmt: skip


def test_every_kind_for_images_learns_and_predicts_the_same_after_a_reload(raw_images, tmp_path):
    for kind in ({"kind": "cnn", "widths": [8]}, {"kind": "rnn", "widths": [8]}, {"kind": "mlp", "widths": [8]}):
        model = train(raw_images, kind, members=2, augmentation={"shift": 0.05})
        predicted = model.predict(raw_images)
        assert (predicted["prediction"].to_numpy() == raw_images["label"].to_numpy()).mean() > 0.9, kind
        model.save(tmp_path / "model.safetensors")
        pd.testing.assert_frame_equal(load(tmp_path / "model.safetensors").predict(raw_images), predicted)
        pd.testing.assert_frame_equal(model.predict(raw_images[7:9]), predicted[7:9], check_exact=True)


def test_wrong_image_to_predict_is_named(raw_images):
    model = train(raw_images, epochs=1)
    with pytest.raises(ValueError, match="'image' is '28 x 28, uint8', which is not an image of 1 x 8 x 8 pixels"):
        model.predict(pd.DataFrame({"image": [np.zeros((28, 28), np.uint8)]}))


def test_digest_follows_the_pixels(raw_images):
    before = rows_digest(raw_images)
    assert rows_digest(raw_images.copy()) == before
    raw_images["image"].iloc[3][0, 0] ^= 1
    assert rows_digest(raw_images) != before


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": {"kind": "image"}}, "an image needs size: "),
        ({"image": {"kind": "number", "size": [1, 8, 8]}}, "an image needs size: .*, and other kinds have no size"),
        ({"image": {"kind": "image", "size": [8, 8]}}, "size"),
        (
            {"image": {"kind": "image", "size": [1, 8, 8]}, "age": {"kind": "number"}},
            "an image must be the only feature",
        ),
    ],
)
def test_columns_that_hold_no_image_that_can_be_used_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        DataOptions.model_validate({"task": "binary", "target": "label", "columns": columns})


def test_augmentation_of_a_table_is_refused(toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)
    encoder = fit_encoder(clean, toy_data, EncodingOptions())
    with pytest.raises(ValueError, match="training.augmentation is for images, but the features are a table"):
        build_network(ModelOptions(), encoder, AugmentationOptions(shift=0.1))


def test_augmentation_is_no_part_of_the_model_file(raw_images):
    model = train(raw_images, epochs=1, augmentation={"rotation": 30})
    assert isinstance(model.network(), nn.Sequential)
    assert set(dict(model.network().named_children())) == {"pixels", "network"}
