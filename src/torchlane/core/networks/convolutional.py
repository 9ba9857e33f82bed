"""A small convolutional network."""

from collections import OrderedDict
from collections.abc import Sequence

from torch import nn

from torchlane.core.options import ModelOptions
from torchlane.core.options.torch_names import activation_class

KERNEL = 3
LEAST_SIDE = 4  # smallest side of an image that is halved again


def build_convolutional(options: ModelOptions, shape: Sequence[int], n_outputs: int) -> nn.Module:
    """Build a convolutional network from (n_rows, channels, height, width) to (n_rows, n_outputs).

    A stage repeats convolution (3 x 3), batch norm and activation `depth` times. Between stages, the image is
    halved if its sides have at least 4 pixels. The last stage is followed by the mean over each channel,
    dropout and a linear layer. Convolutions have no bias, since the batch norm has one.
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
