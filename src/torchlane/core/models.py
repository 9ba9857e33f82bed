"""Networks from options."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import pairwise

from torch import nn

from torchlane.core.options import ModelOptions


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


def build_model(options: ModelOptions, n_features: int, n_outputs: int) -> nn.Module:
    """Build a perceptron: (n_rows, n_features) to (n_rows, n_outputs), weights drawn from the global generator.

    Each hidden layer is Linear, batch norm, activation, dropout, as far as the options ask for them.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (n_in, n_out) in enumerate(pairwise((n_features, *options.widths)), start=1):
        layers[f"linear_{number}"] = nn.Linear(n_in, n_out)
        if options.batch_norm:
            layers[f"batch_norm_{number}"] = nn.BatchNorm1d(n_out)
        if options.activation:
            layers[f"activation_{number}"] = activation_class(options.activation)()
        if options.dropout:
            layers[f"dropout_{number}"] = nn.Dropout(options.dropout)
    layers["head"] = nn.Linear((n_features, *options.widths)[-1], n_outputs)
    model = nn.Sequential(layers)
    initialise(model, options.initialisation)
    return model


_INITIALISATIONS: Mapping[str, Callable[[nn.Linear], object]] = {
    "uniform": lambda layer: nn.init.uniform_(layer.weight, -(layer.in_features**-0.5), layer.in_features**-0.5),
    "xavier": lambda layer: nn.init.xavier_uniform_(layer.weight),
    "kaiming": lambda layer: nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu"),
}


def initialise(model: nn.Module, how: str) -> None:
    """Draw the weights of all linear layers anew; `default` leaves what PyTorch drew.

    `uniform` is ±1/sqrt(n_in), `xavier` Glorot & Bengio 2010, `kaiming` He et al. 2015 (both
    uniform); the biases become 0.
    """
    if how == "default":
        return
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            _INITIALISATIONS[how](layer)
            nn.init.zeros_(layer.bias)


def describe_capacity(model: nn.Module) -> str:
    """Count parameters, a layer each and in total.

    >>> describe_capacity(nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2)))
    'Linear(8, 4) 36, Linear(4, 2) 10; 46 parameters'
    """
    layers = []
    for layer in model.modules():
        own = sum(parameter.numel() for parameter in layer.parameters(recurse=False))
        if own:
            size = f"{layer.in_features}, {layer.out_features}" if isinstance(layer, nn.Linear) else f"{own // 2}"
            layers.append(f"{type(layer).__name__}({size}) {own}")
    return f"{', '.join(layers)}; {sum(parameter.numel() for parameter in model.parameters())} parameters"
