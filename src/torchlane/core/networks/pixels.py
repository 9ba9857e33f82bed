"""The first step of a network of images."""

import torch
from torch import Tensor, nn

from torchlane.core.encoding.images import BRIGHTEST, ImageEncoder


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
