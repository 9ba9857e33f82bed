"""Activations of torch.nn by name."""

import warnings
from functools import cache

import torch
from torch import nn
from torch.nn.modules import activation


def activation_class(name: str) -> type[nn.Module]:
    """Look up an activation of torch.nn that works on each number by itself.

    Raises:
        ValueError: torch.nn has none of that name, or what it has cannot stand between two layers.
    """
    if name not in activation.__all__ or not _works(name):
        known = ", ".join(other for other in activation.__all__ if _works(other))
        what = "needs arguments or mixes numbers" if name in activation.__all__ else "is not one of torch.nn"
        raise ValueError(f"activation '{name}' {what}; there are {known}")
    found: type[nn.Module] = getattr(nn, name)
    return found


@cache
def _works(name: str) -> bool:
    """Whether a class is made without arguments and gives for each number what it gives for that number alone."""
    numbers = torch.linspace(-2, 2, 6, device="cpu").view(2, 3)
    with torch.device("cpu"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = getattr(nn, name)().eval()
            alone = torch.cat([module(number.view(1, 1)) for number in numbers.flatten()])
            return torch.allclose(module(numbers), alone.view_as(numbers))
        except (TypeError, ValueError, RuntimeError):
            return False
