"""Random augmentation of images during training, for a whole batch at once."""

import math

import torch
from torch import Tensor, nn

from torchlane.core.options import AugmentationOptions

ERASED_AREA = (0.02, 0.2)  # smallest and largest share of the image
ERASED_ASPECT = (0.3, 3.3)  # height to width


class Augmentation(nn.Module):
    """Shift, rotate, scale, shear and erase each image of a batch at random, in training mode only.

    Images (n_rows, channels, height, width) of any dtype become float32 of the same shape and units. Areas
    from outside the image are black. Random numbers come from the global generator of the images' device.
    Erasing follows Zhong et al., Random Erasing Data Augmentation, 2020.
    """

    def __init__(self, options: AugmentationOptions):
        super().__init__()
        self._options = options

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return images
        images = images.float()
        options = self._options
        if options.shift or options.rotation or options.scale or options.shear:
            grid = nn.functional.affine_grid(self._draw_maps(images), list(images.shape), align_corners=False)
            images = nn.functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)
        if options.erasing:
            images = images * ~self._draw_rectangles(images)
        return images

    def _draw_maps(self, images: Tensor) -> Tensor:
        """Draw the maps from points of a new image to points of the old: float32 (n_rows, 2, 3), in half sides."""
        options = self._options
        n_rows, _, height, width = images.shape
        angle, size, slant, right, down = (torch.rand(5, n_rows, device=images.device) * 2 - 1).unbind()
        angle = angle * math.radians(options.rotation)
        size = 1 + size * options.scale
        slant = torch.tan(slant * math.radians(options.shear))
        cos, sin = angle.cos() / size, angle.sin() / size
        aspect = height / width  # half sides differ unless the image is square
        rows = [
            torch.stack([cos, (slant * cos - sin) * aspect, 2 * options.shift * right], dim=1),
            torch.stack([sin / aspect, cos + slant * sin, 2 * options.shift * down], dim=1),
        ]
        return torch.stack(rows, dim=1)

    def _draw_rectangles(self, images: Tensor) -> Tensor:
        """Draw the pixels of each image that become black: bool (n_rows, 1, height, width)."""
        n_rows, _, height, width = images.shape
        chance, area, aspect, top, left = torch.rand(5, n_rows, 1, device=images.device).unbind()
        area = ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0])
        low, high = map(math.log, ERASED_ASPECT)
        aspect = torch.exp(low + aspect * (high - low))
        tall, wide = (area * aspect).sqrt().clamp_max(1), (area / aspect).sqrt().clamp_max(1)
        inside_rows = _between(height, top * (1 - tall), tall)
        inside_columns = _between(width, left * (1 - wide), wide) & (chance < self._options.erasing)
        return (inside_rows[:, :, None] & inside_columns[:, None, :])[:, None]


def _between(length: int, start: Tensor, extent: Tensor) -> Tensor:
    """Find the pixels between start and start + extent, which are shares of the side: bool (n_rows, length)."""
    middles = (torch.arange(length, device=start.device) + 0.5) / length
    return (middles >= start) & (middles < start + extent)
