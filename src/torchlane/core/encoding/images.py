"""Images, stored as bytes, to uint8 arrays; and the statistics that scale their pixels."""

from typing import Literal, Self

import numpy as np
import pandas as pd

from torchlane.core.encoding.fitted import Fitted
from torchlane.core.options import PixelEncoding
from torchlane.core.rows.images import Size

BRIGHTEST = 255


class ImageEncoder(Fitted):
    """Images as uint8, unscaled. The network's first layer scales them: (pixel / 255 - mean) / deviation."""

    kind: Literal["image"] = "image"
    name: str
    encoding: PixelEncoding
    size: Size
    means: tuple[float, ...]  # per channel, of train, between 0 and 1
    deviations: tuple[float, ...]

    @classmethod
    def fit(cls, values: pd.Series, size: Size, encoding: PixelEncoding) -> Self:
        """Learn the mean and deviation of each channel from the images of train (bytes)."""
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
