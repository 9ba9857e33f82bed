"""The multilayer perceptron."""

from collections import OrderedDict
from collections.abc import Sequence
from math import prod

import numpy as np
from torch import nn

from torchlane.core.layers.coded import CodedLinear
from torchlane.core.layers.layout import NUMBER, Layout
from torchlane.core.layers.numbers import BinnedNumbers, Numbers, PeriodicNumbers, PiecewiseLinearNumbers
from torchlane.core.options import ModelOptions, NumbersOptions
from torchlane.core.options.torch_names import activation_class


def build_perceptron(
    options: ModelOptions, shape: Sequence[int], n_outputs: int, layout: Layout | None = None
) -> nn.Module:
    """Build a perceptron from (n_rows, *shape) to (n_rows, n_outputs).

    Each hidden layer is linear, batch norm, activation and dropout; the options may leave out the last three. With a
    `layout`, the first linear layer takes rows of numbers and codes. Numbers that the options embed are replaced by
    their embeddings before it. Without a layout, all columns of a table are such numbers. Images have none.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if len(shape) > 1:
        layers["flatten"] = nn.Flatten()
    layout = _plain_layout(prod(shape)) if layout is None else layout
    if options.numbers.kind != "plain" and len(shape) == 1 and len(layout.measured):
        layers["numbers"] = build_numbers(options.numbers, layout)
        layout = layout.widened(options.numbers.n_out)
    sizes = (layout.n_columns, *options.widths)

    def linear(number: int, n_out: int) -> nn.Linear:
        if number == 0 and not layout.is_plain:
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


def build_numbers(options: NumbersOptions, layout: Layout) -> Numbers:
    """Build the layer that embeds the measured numbers of a layout."""
    if options.is_binned:
        return BinnedNumbers(layout, options.bins)
    if options.kind == "periodic":
        return PeriodicNumbers(layout, options.width, options.frequencies, options.sigma)
    return PiecewiseLinearNumbers(layout, options.width, options.bins)


def _plain_layout(n_columns: int) -> Layout:
    columns = np.arange(n_columns)
    return Layout(n_columns, columns, np.full(n_columns, NUMBER), {}, measured=columns)
