"""Activations of torch.nn by name."""

from torch import nn


def activation_class(name: str) -> type[nn.Module]:
    """Look up an activation of torch.nn.

    Raises:
        ValueError: torch.nn has no activation of that name.
    """
    from torch.nn.modules import activation

    known = [other for other in activation.__all__ if other != "MultiheadAttention"]
    if name not in known:
        raise ValueError(f"activation '{name}' is not one of torch.nn: {', '.join(known)}")
    found: type[nn.Module] = getattr(nn, name)
    return found
