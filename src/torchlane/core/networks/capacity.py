"""The capacity of a network: the number of its parameters."""

from torch import nn

from torchlane.core.layers.numbers import Numbers


def describe_capacity(model: nn.Module) -> str:
    """Count the parameters of each layer and in total.

    >>> describe_capacity(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2)))
    'Linear(8, 4) 36, Linear(4, 2) 10; 46 parameters'
    """
    layers = []
    for layer in model.modules():
        own = sum(parameter.numel() for parameter in layer.parameters(recurse=False))
        if own:
            name = "Linear" if isinstance(layer, nn.Linear) else type(layer).__name__
            layers.append(f"{name}({_size_of(layer, own)}) {own}")
    return f"{', '.join(layers)}; {sum(parameter.numel() for parameter in model.parameters())} parameters"


def _size_of(layer: nn.Module, n_own: int) -> str:
    if isinstance(layer, nn.Linear):
        return f"{layer.in_features}, {layer.out_features}"
    if isinstance(layer, Numbers):
        return f"{len(layer.measured)}, {layer.n_basis}, {layer.width}"
    if isinstance(layer, nn.Conv2d):
        return f"{layer.in_channels}, {layer.out_channels}, {' x '.join(map(str, layer.kernel_size))}"
    if isinstance(layer, nn.RNNBase):
        return f"{layer.input_size}, {layer.hidden_size}"
    return str(getattr(layer, "num_features", "") or n_own // 2)
