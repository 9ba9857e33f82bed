"""Pixels to look at: mistaken images, augmented images and the filters of a network's first layer."""

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from torchlane.core.machine.randomness import RandomState
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks.augmentation import Augmentation
from torchlane.core.options import AugmentationOptions
from torchlane.core.rows.checking import ROW

MOST_FILTERS = 64


def images_of(rows: pd.Series, predictions: pd.DataFrame, tensors: TensorDataset) -> Tensor | None:
    """Select the images uint8 (n_rows, channels, height, width) of `rows`; None if the features are a table.

    `predictions` has a line for each row of `tensors`, in the same order, with the number of the `row`.

    Raises:
        ValueError: the three do not belong together.
    """
    features = tensors.tensors[0]
    if features.ndim != 4:
        return None
    places = pd.Index(predictions[ROW]).get_indexer(pd.Index(rows))
    if len(predictions) != len(features) or (places < 0).any():
        raise ValueError(
            f"the mistakes, the predictions ({len(predictions)} rows) and the images ({len(features)}) of test are of "
            f"different runs; run the stages train and evaluate again"
        )
    return features[torch.from_numpy(places)]


def augment_some(
    tensors: TensorDataset, options: AugmentationOptions, seed: int, n_images: int, n_copies: int
) -> Tensor:
    """Distort the first images as training does: uint8 (n_images, 1 + copies, channels, height, width).

    The first of each row is the image as it is.
    """
    images = tensors.tensors[0][:n_images]
    augmentation, random = Augmentation(options).train(), RandomState(seed, torch.device("cpu"))
    with random.in_use():
        copies = [augmentation(images).round().clamp(0, 255).to(torch.uint8) for _ in range(n_copies)]
    return torch.stack([images, *copies], dim=1)


def first_filters(model: TrainedModel) -> Tensor | None:
    """Read the weights that the first layer of the first member gives to pixels: float32 (filters, channels, h, w).

    The layer is the first convolution over the channels of the image or the first linear layer over its pixels.
    Of a network without either, or for a table, the result is None.
    """
    if model.encoder.image is None:
        return None
    shape = model.encoder.feature_shape
    for module in model.network().modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == shape[0] and module.groups == 1:
            return module.weight.detach()[:MOST_FILTERS]
        if isinstance(module, nn.Linear):
            fits = module.in_features == torch.Size(shape).numel()
            return module.weight.detach()[:MOST_FILTERS].reshape(-1, *shape) if fits else None
    return None
