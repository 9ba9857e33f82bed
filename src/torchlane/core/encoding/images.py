"""From images as bytes to uint8 tensors, and the scale of their pixels."""

from typing import Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from torchlane.core.options import PixelEncoding
from torchlane.core.rows.images import Size

BRIGHTEST = 255


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


def _stack(values: pd.Series, size: Size) -> np.ndarray:
    return np.frombuffer(bytearray(b"".join(values)), np.uint8).reshape(-1, *size)
