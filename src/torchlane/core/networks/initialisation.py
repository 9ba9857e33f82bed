"""Initialisation of weights."""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor, nn

_INITIALISATIONS: Mapping[str, Callable[[Tensor], object]] = {
    "uniform": lambda weight: nn.init.uniform_(weight, -(weight[0].numel() ** -0.5), weight[0].numel() ** -0.5),
    "xavier": nn.init.xavier_uniform_,
    "kaiming": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
}
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNBase)


def initialise(model: nn.Module, how: str) -> None:
    """Redraw the weights of all linear, convolutional and recurrent layers; `default` keeps those of PyTorch.

    `uniform` is ±1/sqrt(n_in), `xavier` is Glorot & Bengio 2010, and `kaiming` is He et al. 2015; the latter two
    are uniform as well. Biases become 0.
    """
    if how == "default":
        return
    for layer in model.modules():
        for name, parameter in _own_parameters(layer):
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
            else:
                _INITIALISATIONS[how](parameter)


def _own_parameters(layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    if isinstance(layer, LAYERS):
        yield from layer.named_parameters(recurse=False)
