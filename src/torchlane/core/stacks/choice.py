"""The choice of a program for networks of one structure."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

from torch import Tensor, nn

from torchlane.core.layers.coded import CodedLinear
from torchlane.core.stacks.describing import describe_network
from torchlane.core.stacks.functional import FunctionalProgram
from torchlane.core.stacks.layout import Program, pad_columns, stack_members, views_of
from torchlane.core.stacks.perceptrons import PerceptronProgram, is_perceptron


def structure_of(model: nn.Module, features: Tensor) -> Hashable:
    """Describe what networks of one stack have in common, and the `features` (n_rows, …) that they take.

    Parameters, buffers and dropout rates may differ between networks of one structure. Perceptrons may
    also differ in the features, unless they embed numbers, and in which layers are followed by dropout.
    """
    if not is_perceptron(model):
        return describe_network(model), features.dtype, tuple(features.shape[1:])
    layers = OrderedDict((name, layer) for name, layer in model.named_children() if type(layer) is not nn.Dropout)
    name, first = next((name, layer) for name, layer in layers.items() if isinstance(layer, nn.Linear))
    layers[name] = first = copy.copy(first)
    first.in_features = 0
    if isinstance(first, CodedLinear):
        del first.layout
        first._buffers = {}
    first._parameters = {**first._parameters, "weight": nn.Parameter(first.weight[:, :0], first.weight.requires_grad)}
    return describe_network(nn.Sequential(layers)), features.dtype


def make_program(models: Sequence[nn.Module], features: Tensor) -> Program:
    """Choose the program for networks whose `structure_of` agrees, and try it on `features` (n_rows, …).

    Raises:
        NotStackableError: no program runs these networks; the message gives the reason.
    """
    if all(map(is_perceptron, models)):
        return PerceptronProgram(models)
    return FunctionalProgram(models[0], features)


def stacked_forward(models: Sequence[nn.Module], features: Tensor) -> Callable[[Tensor], Tensor]:
    """Stack networks for evaluation only; the function maps features (n_rows, …) to outputs (members, n_rows, width).

    `features` are a few rows to try the program on.

    Raises:
        NotStackableError: the networks cannot be stacked; the message gives the reason.
    """
    program = make_program(models, features)
    numbers, buffers = stack_members(program, models)
    parameters = views_of(program, numbers)

    def forward(features: Tensor) -> Tensor:
        padded = pad_columns(features, program.n_columns)
        return program.forward(parameters, buffers, padded.expand(len(models), *padded.shape), None)

    return forward
