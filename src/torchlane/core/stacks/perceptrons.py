"""Perceptrons of one structure as one program of batched matrix products."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from torchlane.core.stacks.layout import Noise, Slot, Tensors, pad_last, padded_length
from torchlane.core.stacks.steady import STEADY_ACTIVATIONS, steadily

ACTIVATIONS: tuple[type[nn.Module], ...] = (
    *STEADY_ACTIVATIONS,
    nn.CELU,
    nn.ELU,
    nn.LogSigmoid,
    nn.Mish,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softsign,
)


def is_perceptron(model: nn.Module) -> bool:
    """Say whether a network is one that `PerceptronProgram` takes."""
    known = (nn.Linear, nn.BatchNorm1d, nn.Dropout, nn.PReLU, *ACTIVATIONS)
    layers = list(model.children()) if type(model) is nn.Sequential else []
    cumulative = any(isinstance(layer, nn.BatchNorm1d) and layer.momentum is None for layer in layers)
    first = next((layer for layer in layers if type(layer) is not nn.Dropout), None)
    return type(first) is nn.Linear and not cumulative and all(type(each) in known for each in layers)


class PerceptronProgram:
    """The program of `nn.Sequential` networks of linear layers, batch norms, activations and dropout.

    The first layer, apart from dropout, is linear. Batch norms with `momentum=None` are not supported.
    """

    def __init__(self, models: Sequence[nn.Module]):
        self._places = sorted(set().union(*map(_dropout_places, models)))  # no layer where the rate is 0
        self._layers = _with_dropout(models[0], self._places)
        self._filling: dict[str, Tensor] = {}  # masks (n_columns,) for activations that do not map 0 to 0
        self.slots: list[Slot] = []
        self.noise_shapes: list[tuple[int, ...]] = []
        self.still_norms: frozenset[str] = frozenset()
        self.n_columns: int | None = padded_length(max(_n_features(model) for model in models))
        self._width, columns = _n_features(models[0]), self.n_columns
        for name, layer in self._layers:
            if isinstance(layer, nn.Linear):
                self._width, n_in, columns = layer.out_features, columns, padded_length(layer.out_features)
                self._add(f"{name}.weight", columns, n_in)
            elif isinstance(layer, nn.PReLU):
                self._add(f"{name}.weight", padded_length(layer.num_parameters))
            elif isinstance(layer, nn.BatchNorm1d) and layer.affine:
                self._add(f"{name}.weight", columns)
            elif isinstance(layer, nn.Dropout):
                self.noise_shapes.append((self._width,))
            elif isinstance(layer, ACTIVATIONS) and columns > self._width and float(layer(torch.zeros(1))) != 0:
                self._filling[name] = torch.arange(columns) < self._width
            if getattr(layer, "bias", None) is not None:
                self._add(f"{name}.bias", columns)

    def _add(self, name: str, *shape: int) -> None:
        self.slots.append(Slot(name, shape, self.slots[-1].end if self.slots else 0))

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, noise: Noise) -> Tensor:
        masks = iter(noise or ())
        for name, layer in self._layers:
            weight, bias = parameters.get(f"{name}.weight"), parameters.get(f"{name}.bias")
            if isinstance(layer, nn.Linear):
                features = _linear(features, weight, bias)
            elif isinstance(layer, nn.BatchNorm1d):
                statistics = {key: buffers.get(f"{name}.{key}") for key in ("running_mean", "running_var")}
                training = noise is not None and name not in self.still_norms
                if training and layer.num_batches_tracked is not None:
                    buffers[f"{name}.num_batches_tracked"].add_(1)
                features = _batch_norm(layer, features, weight, bias, statistics, training)
            elif isinstance(layer, nn.Dropout):
                features = features if noise is None else features * pad_last(next(masks), features.shape[2])
            elif isinstance(layer, nn.PReLU):
                assert weight is not None
                slopes = weight[:, None] if layer.num_parameters > 1 else weight[:, None, :1]
                features = features.clamp_min(0) + slopes * features.clamp_max(0)
            else:
                features = layer(features) if isinstance(layer, STEADY_ACTIVATIONS) else steadily(layer, features)
                if name in self._filling:
                    features = features * self._filling[name].to(features)
        return features[..., : self._width]

    def dropout_rates(self, model: nn.Module) -> list[float]:
        rates = _dropout_places(model)
        return [rates.get(place, 0.0) for place in self._places]


def _dropout_places(model: nn.Module) -> dict[tuple[int, int], float]:
    """Map the place of each dropout layer to its rate.

    A place is the number of other layers before it, and its number among the dropout layers at that point.
    """
    rates: dict[tuple[int, int], float] = {}
    others = 0
    for place, layer in enumerate(model.children()):
        if isinstance(layer, nn.Dropout):
            rates[others, place - others - sum(before < others for before, _ in rates)] = layer.p
        else:
            others += 1
    return rates


def _with_dropout(model: nn.Module, places: list[tuple[int, int]]) -> list[tuple[str, nn.Module]]:
    """List a perceptron's layers with their names, with dropout in exactly these places."""
    others = [(name, layer) for name, layer in model.named_children() if not isinstance(layer, nn.Dropout)]
    layers: list[tuple[str, nn.Module]] = []
    for number in range(len(others) + 1):
        layers += [("", nn.Dropout()) for before, _ in places if before == number]
        layers += others[number : number + 1]
    return layers


def _n_features(model: nn.Module) -> int:
    return next(layer.in_features for layer in model.children() if isinstance(layer, nn.Linear))


def _linear(features: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    assert weight is not None
    transposed = weight.transpose(1, 2)  # (members, n_in, n_out)
    return torch.bmm(features, transposed) if bias is None else torch.baddbmm(bias[:, None], features, transposed)


def _batch_norm(
    layer: nn.BatchNorm1d,
    features: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    statistics: Mapping[str, Tensor | None],
    training: bool,
) -> Tensor:
    """Normalise features (members, n_rows, n_columns) as one batch of members * n_columns channels."""
    assert layer.momentum is not None
    side_by_side = features.transpose(0, 1).flatten(1)  # (n_rows, members * n_columns)
    flat = {key: None if each is None else each.view(-1) for key, each in statistics.items()}
    normalised = functional.batch_norm(
        side_by_side,
        flat["running_mean"],
        flat["running_var"],
        None if weight is None else weight.flatten(),
        None if bias is None else bias.flatten(),
        training or flat["running_mean"] is None,
        layer.momentum,
        layer.eps,
    )
    return normalised.unflatten(1, (features.shape[0], features.shape[2])).transpose(0, 1)
