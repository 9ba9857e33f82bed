"""Weights that the tests publish in the place of torchvision."""

import hashlib
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torchvision import models
from torchvision.models import Weights, WeightsEnum
from torchvision.transforms._presets import ImageClassification

from tests.core.exchange.exchanged import image_rows
from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.options import DataOptions, EncodingOptions, ModelOptions
from torchlane.core.rows.checking import check_rows

MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


CATEGORIES = [f"category {number}" for number in range(1000)]


NAME = "mobilenet_v3_small"


def publish(state: object, folder: Path, stem: str = NAME) -> Path:
    torch.save(state, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    return (folder / "new.pth").rename(folder / f"{stem}-{digest[:8]}.pth")


def announce(monkeypatch, url: str) -> None:
    """Let torchvision publish what is at `url`, beside an entry with other pixels."""

    class Published_Weights(WeightsEnum):  # noqa: N801
        FIRST = Weights(url, partial(ImageClassification, crop_size=224), {"categories": CATEGORIES})
        OTHER = Weights(
            url,
            partial(ImageClassification, crop_size=224, mean=(0.5,) * 3, std=(0.25,) * 3),
            {"categories": CATEGORIES},
        )
        DEFAULT = FIRST

    monkeypatch.setattr(models, "get_model_weights", lambda name: Published_Weights)


def options_with(folder: Path, **others: object) -> ModelOptions:
    settings = {"kind": "torchvision", "name": NAME, "weights": "DEFAULT", "weights_folder": str(folder)}
    return ModelOptions.model_validate({**settings, **others})


def data_and_encoder(channels: int = 3, pixels: str = "unit") -> tuple[DataOptions, Encoder, pd.DataFrame]:
    columns = {"image": {"kind": "image", "size": (channels, 32, 32)}, "label": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "multiclass", "target": "label", "columns": columns})
    clean, _ = check_rows(image_rows((channels, 32, 32)), data)
    return data, fit_encoder(clean, data, EncodingOptions(pixels=pixels)), clean
