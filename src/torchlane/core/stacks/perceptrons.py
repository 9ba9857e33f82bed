"""Perceptrons of one structure as one program of batched matrix products."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from torchlane.core.layers.coded import CodedLinear, looked_up
from torchlane.core.layers.layout import Layout
from torchlane.core.layers.numbers import Numbers
from torchlane.core.stacks.layout import MOVED, STATISTICS, Noise, Slot, Tensors, pad_last, padded_length
from torchlane.core.stacks.numbers import StackedNumbers, numbers_of
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
    layers = [layer for layer in layers if layer is not numbers_of(model)]
    first = next((layer for layer in layers if type(layer) is not nn.Dropout), None)
    others = [each for each in layers if each is not first]
    return type(first) in (nn.Linear, CodedLinear) and not cumulative and all(type(each) in known for each in others)


class PerceptronProgram:
    """The program of `nn.Sequential` networks of linear layers, batch norms, activations and dropout.

    The first layer, apart from dropout and one that embeds numbers, is linear. Batch norms with `momentum=None` are not
    supported.

    A first layer that takes codes becomes a table (n_rows, n_out). It begins with a row for each column of the rows
    that it takes, which is 0 for columns of codes, and goes on with a row for each feature that indicates a code.
    """

    def __init__(self, models: Sequence[nn.Module]):
        self._places = sorted(set().union(*map(_dropout_places, models)))  # no layer where the rate is 0
        self._layers = _with_dropout(models[0], self._places)
        self._filling: dict[str, Tensor] = {}  # masks (n_columns,) for activations that do not map 0 to 0
        self.slots: list[Slot] = []
        self.noise_shapes: list[tuple[int, ...]] = []
        self.still_norms: frozenset[str] = frozenset()
        self.n_columns: int = padded_length(max(map(_n_columns, models)))
        self.table: str | None = None
        self.numbers: StackedNumbers | None = None
        self._width, self.n_taken = _n_columns(models[0]), self.n_columns
        columns = self.n_columns
        for name, layer in self._layers:
            if isinstance(layer, Numbers):
                self.numbers = StackedNumbers(name, layer)
                self._width, self.n_taken = layer.n_out, self.numbers.n_columns
                columns = self.n_taken
                for own, shape in self.numbers.slots.items():
                    self._add(own, *shape)
            elif isinstance(layer, CodedLinear):
                self.table = f"{name}.weight"
                self._width, columns = layer.out_features, padded_length(layer.out_features)
                n_indicators = max(_layout(model).n_indicators for model in models)
                self._add(f"{name}.weight", padded_length(self.n_taken + n_indicators + 1), columns)
            elif isinstance(layer, nn.Linear):
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
        return self._through(self._layers, parameters, buffers, features, noise)[..., : self._width]

    def hidden(self, parameters: Tensors, buffers: Tensors, features: Tensor) -> Tensor:
        """Give the result of the first linear layer in evaluation: (members, n_rows, n_columns), with padding."""
        return self._through(self._layers[: self._first + 1], parameters, buffers, features, None)

    def beyond(self, parameters: Tensors, buffers: Tensors, hidden: Tensor) -> Tensor:
        """Map the result of `hidden` to outputs (members, n_rows, width)."""
        after = self._layers[self._first + 1 :]
        return self._through(after, parameters, buffers, hidden, None)[..., : self._width]

    @property
    def _first(self) -> int:
        return next(place for place, (_, layer) in enumerate(self._layers) if isinstance(layer, nn.Linear))

    @property
    def first_layer(self) -> str:
        """The name of the first linear layer."""
        return self._layers[self._first][0]

    def _through(
        self,
        layers: Sequence[tuple[str, nn.Module]],
        parameters: Tensors,
        buffers: Tensors,
        features: Tensor,
        noise: Noise,
    ) -> Tensor:
        masks, rows = iter(noise or ()), features
        for name, layer in layers:
            weight, bias = parameters.get(f"{name}.weight"), parameters.get(f"{name}.bias")
            if isinstance(layer, Numbers):
                assert self.numbers is not None
                features = self.numbers(parameters, buffers, features)
            elif isinstance(layer, CodedLinear):
                assert weight is not None
                numbers = features * buffers[f"{name}.numbers"][:, None]
                places = self.places_in(buffers, rows)
                if MOVED in buffers:
                    places = buffers[MOVED].gather(1, places)
                places = places.unflatten(1, (features.shape[1], -1))
                features = looked_up(numbers, places, weight, slice(numbers.shape[2]), bias)
            elif isinstance(layer, nn.Linear):
                features = _linear(features, weight, bias)
            elif isinstance(layer, nn.BatchNorm1d):
                statistics = {key: buffers.get(f"{name}.{key}") for key in STATISTICS}
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
        return features

    def dropout_rates(self, model: nn.Module) -> list[float]:
        rates = _dropout_places(model)
        return [rates.get(place, 0.0) for place in self._places]

    @property
    def table_shape(self) -> tuple[int, ...]:
        """The shape of the table of a member, with padding."""
        return next(slot.shape for slot in self.slots if slot.name == self.table)

    def table_rows(self, model: nn.Module, name: str) -> Tensor | None:
        if name != self.table:
            return None
        return torch.from_numpy(self._places_in(_layout(model)))

    def places_in(self, buffers: Tensors, features: Tensor) -> Tensor:
        assert self.table is not None
        name = self.table.rpartition(".")[0]
        coded, starts, lookup = (buffers[f"{name}.{each}"] for each in ("coded", "starts", "lookup"))
        codes = features.gather(2, coded[:, None].expand(-1, features.shape[1], -1)).long() + starts[:, None]
        return lookup.gather(1, codes.flatten(1))

    def constants(self, models: Sequence[nn.Module]) -> dict[str, Tensor]:
        """Give masks of the columns of numbers, and the rows of the table for the codes of each member.

        A member with fewer columns of codes than others reads code 0 from the last column, which is padding, and
        finds no feature for it.
        """
        of_numbers = {} if self.numbers is None else self.numbers.constants(models)
        if self.table is None:
            return of_numbers
        nowhere = self.table_shape[0] - 1
        layouts = [_layout(model) for model in models]
        n_coded = max(len(layout.coded) for layout in layouts)
        n_codes = max(sum(layout.n_codes.values()) for layout in layouts)
        numbers = np.zeros((len(models), self.n_taken), dtype=np.float32)
        coded = np.full((len(models), n_coded), self.n_columns - 1)
        starts = np.full((len(models), n_coded), n_codes)
        lookup = np.full((len(models), n_codes + 1), nowhere)
        for row, layout in enumerate(layouts):
            numbers[row, layout.numbers[0]] = 1
            coded[row, : len(layout.coded)] = layout.coded if self.numbers is None else self.numbers.raw(layout.coded)
            table, starts[row, : len(layout.coded)] = layout.lookup(self._places_in(layout), nowhere)
            lookup[row, : len(table)] = table
        first = next(models[0].parameters())
        name = self.table.rpartition(".")[0]
        made = {"numbers": numbers, "coded": coded, "starts": starts, "lookup": lookup}
        tensors = {f"{name}.{each}": torch.from_numpy(array).to(first.device) for each, array in made.items()}
        return {**of_numbers, **tensors, f"{name}.numbers": tensors[f"{name}.numbers"].to(first.dtype)}

    def _places_in(self, layout: Layout) -> np.ndarray:
        """Give the row of the table for each feature of a layout: int64 (n_features,)."""
        return np.where(layout.indicating, self.n_taken + np.cumsum(layout.indicating) - 1, layout.columns)


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


def _first_linear(model: nn.Module) -> nn.Linear:
    return next(layer for layer in model.children() if isinstance(layer, nn.Linear))


def _layout(model: nn.Module) -> Layout:
    first = _first_linear(model)
    assert isinstance(first, CodedLinear)
    return first.layout


def _n_columns(model: nn.Module) -> int:
    """Count the columns of the rows that a network takes, and one more for padding if some hold codes."""
    first, numbers = _first_linear(model), numbers_of(model)
    is_coded = isinstance(first, CodedLinear)
    n_taken = first.layout.n_columns if isinstance(first, CodedLinear) else first.in_features
    return (n_taken if numbers is None else numbers.n_columns) + is_coded


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
