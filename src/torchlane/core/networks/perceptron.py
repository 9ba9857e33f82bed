"""The multilayer perceptron."""

from collections import OrderedDict
from collections.abc import Sequence
from math import prod

from torch import nn

from torchlane.core.layers.coded import CodedLinear
from torchlane.core.layers.layout import Layout
from torchlane.core.options import ModelOptions
from torchlane.core.options.torch_names import activation_class


def build_perceptron(
    options: ModelOptions, shape: Sequence[int], n_outputs: int, layout: Layout | None = None
) -> nn.Module:
    """Build a perceptron from (n_rows, *shape) to (n_rows, n_outputs).

    Each hidden layer is linear, batch norm, activation and dropout; the options may leave out the last three. With a
    `layout`, the first linear layer takes rows of numbers and codes.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    sizes = (prod(shape), *options.widths)
    if len(shape) > 1:
        layers["flatten"] = nn.Flatten()

    def linear(number: int, n_out: int) -> nn.Linear:
        if layout is not None and number == 0:
            return CodedLinear(layout, n_out)
        return nn.Linear(sizes[number], n_out)

    for number, n_out in enumerate(options.widths, start=1):
        layers[f"linear_{number}"] = linear(number - 1, n_out)
        if options.batch_norm:
            layers[f"batch_norm_{number}"] = nn.BatchNorm1d(n_out)
        if options.activation:
            layers[f"activation_{number}"] = activation_class(options.activation)()
        if options.dropout:
            layers[f"dropout_{number}"] = nn.Dropout(options.dropout)
    layers["head"] = linear(len(options.widths), n_outputs)
    return nn.Sequential(layers)
