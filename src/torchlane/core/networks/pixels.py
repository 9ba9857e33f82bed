"""Scaling of pixels, the first layer of an image network."""

import torch
from torch import Tensor, nn

from torchlane.core.encoding.images import BRIGHTEST, ImageEncoder


class Pixels(nn.Module):
    """Scale uint8 images (n_rows, channels, height, width) to float32, on their device.

    For the encoding `unit`, the result is exactly `images / 255`.
    """

    def __init__(self, encoder: ImageEncoder):
        super().__init__()
        unit = encoder.encoding == "unit"
        self.means: Tensor | None
        self.deviations: Tensor | None
        for name, values in (("means", encoder.means), ("deviations", encoder.deviations)):
            # On the CPU even if the network is built on meta. Not persistent, since the encoder stores the values.
            scale = None if unit else torch.tensor(values, device="cpu")[:, None, None]
            self.register_buffer(name, scale, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        scaled = images.float() / BRIGHTEST
        if self.means is None or self.deviations is None:
            return scaled
        return (scaled - self.means) / self.deviations
