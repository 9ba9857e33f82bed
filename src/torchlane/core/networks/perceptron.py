"""The multilayer perceptron."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import nn

from torchlane.core.options import ModelOptions
from torchlane.core.options.torch_names import activation_class


def build_perceptron(options: ModelOptions, shape: Sequence[int], n_outputs: int) -> nn.Module:
    """Build a perceptron from (n_rows, *shape) to (n_rows, n_outputs).

    Each hidden layer is linear, batch norm, activation and dropout; the options may leave out the last three.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    n_features = prod(shape)
    if len(shape) > 1:
        layers["flatten"] = nn.Flatten()
    for number, (n_in, n_out) in enumerate(pairwise((n_features, *options.widths)), start=1):
        layers[f"linear_{number}"] = nn.Linear(n_in, n_out)
        if options.batch_norm:
            layers[f"batch_norm_{number}"] = nn.BatchNorm1d(n_out)
        if options.activation:
            layers[f"activation_{number}"] = activation_class(options.activation)()
        if options.dropout:
            layers[f"dropout_{number}"] = nn.Dropout(options.dropout)
    layers["head"] = nn.Linear((n_features, *options.widths)[-1], n_outputs)
    return nn.Sequential(layers)
