"""Elementwise functions whose result for a member does not depend on the other members."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

STEADY_BLOCK = 64  # numbers; no vector unit takes more at once
SERIAL_NUMBERS = 1 << 15  # torch runs an elementwise operation on fewer numbers in one thread

STEADY_ACTIVATIONS: tuple[type[nn.Module], ...] = (  # the position of a number does not change its result
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.ReLU,
    nn.ReLU6,
    nn.Tanh,
)


def steadily(function: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """Apply an elementwise function to tensors (members, …) so that a member's bits do not depend on the others.

    SIMD code and its scalar tail round exp and log differently, so each member is padded to whole vector
    blocks. The function is called on as many numbers at a time as torch leaves to one thread.
    """
    flat = [value.flatten(1) for value in values]
    n_numbers = flat[0].shape[1]
    padded = [functional.pad(each, (0, -n_numbers % STEADY_BLOCK)).flatten() for each in flat]
    pieces = zip(*(each.split(SERIAL_NUMBERS - STEADY_BLOCK) for each in padded), strict=True)
    done = torch.cat([function(*piece) for piece in pieces])
    return done.view(len(flat[0]), -1)[:, :n_numbers].reshape(values[0].shape)
