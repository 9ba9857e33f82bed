"""A small convolutional network."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from torchlane.core.options import ModelOptions
from torchlane.core.options.torch_names import activation_class

KERNEL = 3
LEAST_SIDE = 4  # of an image that is still halved


def build_convolutional(options: ModelOptions, shape: Sequence[int], n_outputs: int) -> nn.Module:
    """Build a network of stages: (n_rows, channels, height, width) to (n_rows, n_outputs).

    A stage is `depth` times convolution (3 x 3), batch norm, activation. Between stages the image is
    halved as long as it has 4 pixels a side; after the last one each channel's mean is taken, then
    dropout and a linear layer. The batch norm has the bias, so the convolutions have none.
    """
    n_in, *sides = shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, n_out in enumerate(options.widths, start=1):
        if stage > 1 and min(sides) >= LEAST_SIDE:
            layers[f"pool_{stage - 1}"] = nn.MaxPool2d(2)
            sides = [side // 2 for side in sides]
        for number in range(1, options.depth + 1):
            layers[f"convolution_{stage}_{number}"] = nn.Conv2d(n_in, n_out, KERNEL, padding="same", bias=False)
            layers[f"batch_norm_{stage}_{number}"] = nn.BatchNorm2d(n_out)
            if options.activation:
                layers[f"activation_{stage}_{number}"] = activation_class(options.activation)()
            n_in = n_out
    layers["mean"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    if options.dropout:
        layers["dropout"] = nn.Dropout(options.dropout)
    layers["head"] = nn.Linear(n_in, n_outputs)
    return nn.Sequential(layers)
