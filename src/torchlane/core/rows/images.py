"""Images: from what a raw source gives to uint8 tensors, and to what a network sees."""

import hashlib
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from torchlane.core.options import PixelEncoding

Size = tuple[int, int, int]  # channels, height, width
BRIGHTEST = 255


def holds_images(values: pd.Series) -> bool:
    """Say whether a raw column holds images: an array or bytes in some row."""
    return values.dtype == object and any(isinstance(cell, (np.ndarray, bytes)) for cell in values)


def digest(values: pd.Series) -> bytes:
    """Give the SHA-256 of all images of a column; what is no image counts as text."""
    whole = hashlib.sha256()
    for cell in values:
        content = cell.tobytes() if isinstance(cell, np.ndarray) else cell
        whole.update(content if isinstance(content, bytes) else str(content).encode())
    return whole.digest()


def read_images(values: pd.Series, size: Size) -> tuple[pd.Series, np.ndarray]:
    """Give each image as bytes, a byte a pixel in the order of `size`, and where a cell is no such image.

    A cell is bytes already, or a uint8 array in the order of `size`, in that of image files (height,
    width, channels), or of one channel alone (height, width). Anything else, such as the text of an
    error where a file could not be read, fails.
    """
    read = [_bytes_of(cell, size) for cell in values]
    index = pd.RangeIndex(1, len(read) + 1)
    return pd.Series(read, index=index, dtype=object), np.array([cell is None for cell in read], dtype=bool)


def rule_of(size: Size) -> str:
    """Say what an image has to be."""
    return f"an image of {_shown(size)} pixels (channels, height, width), uint8"


def describe(cell: Any) -> str:
    """Write a cell of any column for people: pixels as their shape, missing as nothing."""
    if isinstance(cell, np.ndarray):
        return f"{_shown(cell.shape)}, {cell.dtype}"
    if isinstance(cell, bytes):
        return f"{len(cell)} bytes"
    return "" if pd.isna(cell) else str(cell)


class ImageEncoder(BaseModel):
    """Images as they are, uint8, with what brings their pixels to scale: (pixel / 255 - mean) / deviation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["image"] = "image"
    name: str
    encoding: PixelEncoding
    size: Size
    means: tuple[float, ...]  # a channel, of train, in 0 … 1
    deviations: tuple[float, ...]

    @classmethod
    def fit(cls, values: pd.Series, size: Size, encoding: PixelEncoding) -> Self:
        """Learn the scale of each channel from the images of train, as bytes."""
        pixels = _stack(values, size)
        counts = [np.bincount(pixels[:, channel].ravel(), minlength=BRIGHTEST + 1) for channel in range(size[0])]
        levels = np.arange(BRIGHTEST + 1) / BRIGHTEST
        means = [float(np.average(levels, weights=count)) for count in counts]
        deviations = [
            float(np.average((levels - mean) ** 2, weights=count)) ** 0.5
            for mean, count in zip(means, counts, strict=True)
        ]
        return cls(
            name=str(values.name),
            encoding=encoding,
            size=size,
            means=tuple(means),
            deviations=tuple(deviation or 1.0 for deviation in deviations),
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        return (self.name,)

    def encode(self, values: pd.Series) -> np.ndarray:
        """Stack images given as bytes: uint8 (n_rows, channels, height, width)."""
        return _stack(values, self.size)


class Pixels(nn.Module):
    """Bring uint8 images to scale, on the device they are on.

    Shape: (n_rows, channels, height, width) to the same, float32. Where the encoding is `unit` the
    result is `images / 255` to the bit.
    """

    def __init__(self, encoder: ImageEncoder):
        super().__init__()
        unit = encoder.encoding == "unit"
        self.means: Tensor | None
        self.deviations: Tensor | None
        for name, values in (("means", encoder.means), ("deviations", encoder.deviations)):
            # On the CPU, also where a network is built without storage; the encoder holds them, not the weights.
            scale = None if unit else torch.tensor(values, device="cpu")[:, None, None]
            self.register_buffer(name, scale, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        scaled = images.float() / BRIGHTEST
        if self.means is None or self.deviations is None:
            return scaled
        return (scaled - self.means) / self.deviations


def _bytes_of(cell: Any, size: Size) -> bytes | None:
    if isinstance(cell, bytes):
        return cell if len(cell) == size[0] * size[1] * size[2] else None
    if not isinstance(cell, np.ndarray) or cell.dtype != np.uint8:
        return None
    if cell.shape == size or (size[0] == 1 and cell.shape == size[1:]):
        return cell.tobytes()
    if cell.shape == (*size[1:], size[0]):
        return cell.transpose(2, 0, 1).tobytes()
    return None


def _stack(values: pd.Series, size: Size) -> np.ndarray:
    return np.frombuffer(bytearray(b"".join(values)), np.uint8).reshape(-1, *size)


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
