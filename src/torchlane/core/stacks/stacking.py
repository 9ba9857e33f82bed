"""Networks of one structure as one tensor program: what K of them compute, in one pass.

Every tensor has a leading member axis. Perceptrons run through `torch.baddbmm`, other networks
through `torch.func.vmap`. What a member computes does not depend on the other members, and for
perceptrons not even its bits do: matrix kernels choose their way by where a matrix lies in memory, so
all rows are padded to whole blocks of `BLOCK` numbers with zeros, which training leaves at zero.
"""

import copy
import math
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional

from torchlane.core.stacks.describing import describe_network

BLOCK = 32  # numbers: what the widest vector units take at once
STEADY_BLOCK = 64  # numbers: no vector unit takes more at once
SERIAL_NUMBERS = 1 << 15  # with fewer, torch does not share an elementwise operation among threads

STEADY_ACTIVATIONS: tuple[type[nn.Module], ...] = (  # their bits do not depend on where a number stands
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

Tensors = Mapping[str, Tensor]
Noise = Sequence[Tensor] | None


class NotStackableError(Exception):
    """Why some networks are no one program; they can still be used one after another."""


@dataclass(frozen=True)
class Slot:
    """Where a parameter stands among the numbers of a member, and its shape with the padding."""

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def end(self) -> int:
        return self.start + math.prod(self.shape)


class Program(Protocol):
    """How networks of one structure compute together.

    `noise_shapes` are those of the dropout masks for one row, in the order in which a network asks
    for them; features are padded to `n_columns` where that is not None. The batch norms in `still_norms`
    keep their running statistics in training, too.
    """

    slots: list[Slot]
    noise_shapes: list[tuple[int, ...]]
    n_columns: int | None
    still_norms: frozenset[str]

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, noise: Noise) -> Tensor:
        """Map features (members, n_rows, …) to outputs (members, n_rows, width).

        With `noise`, a mask (members, n_rows, …) a dropout layer, it is a step of training, which
        changes running statistics in `buffers` in place; with None it is evaluation.
        """

    def dropout_rates(self, model: nn.Module) -> list[float]:
        """The rates of one of the networks, a mask each; 0 where it has no dropout."""


def make_program(models: Sequence[nn.Module], features: Tensor) -> Program:
    """Find the program of networks whose `structure_of` agrees; `features` (n_rows, …) serve to try it out.

    Raises:
        NotStackableError: there is none, for this reason.
    """
    if all(map(_is_perceptron, models)):
        return PerceptronProgram(models)
    return FunctionalProgram(models[0], features)


def structure_of(model: nn.Module, features: Tensor) -> Hashable:
    """Describe what networks of one stack have in common, and the `features` (n_rows, …) that they take.

    Parameters, buffers and dropout rates may differ, and for perceptrons also the number of features,
    and where there is dropout.
    """
    if not _is_perceptron(model):
        return describe_network(model), features.dtype, tuple(features.shape[1:])
    layers = OrderedDict((name, layer) for name, layer in model.named_children() if type(layer) is not nn.Dropout)
    name, first = next(iter(layers.items()))
    assert isinstance(first, nn.Linear)
    layers[name] = first = copy.copy(first)
    first.in_features = 0
    first._parameters = {**first._parameters, "weight": nn.Parameter(first.weight[:, :0], first.weight.requires_grad)}
    return describe_network(nn.Sequential(layers)), features.dtype


def stack_members(program: Program, models: Sequence[nn.Module]) -> tuple[Tensor, dict[str, Tensor]]:
    """Gather the networks' numbers: parameters (members, n_numbers), and buffers by name (members, …)."""
    states = [dict(model.named_parameters()) for model in models]
    numbers = next(iter(states[0].values())).new_zeros(len(models), program.slots[-1].end)
    with torch.no_grad():
        for slot in program.slots:
            for row, state in zip(numbers[:, slot.start : slot.end], states, strict=True):
                _corner(row.view(slot.shape), state[slot.name].shape).copy_(state[slot.name])
    padded = {slot.name: slot.shape for slot in program.slots}
    buffers = {}
    for name, buffer in models[0].named_buffers():
        # Running statistics are as long as the padded weights of their layer.
        shape = padded.get(f"{name.rpartition('.')[0]}.weight", buffer.shape) if buffer.ndim else buffer.shape
        buffers[name] = buffer.new_zeros(len(models), *shape)
        for row, model in zip(buffers[name], models, strict=True):
            _corner(row, buffer.shape).copy_(model.get_buffer(name))
    return numbers, buffers


def views_of(program: Program, numbers: Tensor) -> dict[str, Tensor]:
    """Name the parameters in `numbers` (members, n_numbers): views (members, …), with the padding."""
    return {slot.name: numbers[:, slot.start : slot.end].unflatten(1, slot.shape) for slot in program.slots}


def pieces_of(program: Program, names: Collection[str], n_numbers: int) -> list[slice]:
    """Say where the parameters that are named stand among the `n_numbers` of a member; neighbours are one piece."""
    ends = [*(slot.start for slot in program.slots[1:]), n_numbers]
    pieces: list[slice] = []
    for slot, end in zip(program.slots, ends, strict=True):
        if slot.name not in names:
            continue
        if pieces and pieces[-1].stop == slot.start:
            pieces[-1] = slice(pieces[-1].start, end)
        else:
            pieces.append(slice(slot.start, end))
    return pieces


def unstack_member(program: Program, model: nn.Module, numbers: Tensor, buffers: Tensors) -> dict[str, Tensor]:
    """Give one member's `state_dict` without the padding, from its numbers (n_numbers,) and buffers; on the CPU."""
    stacked = {name: view[0] for name, view in views_of(program, numbers[None]).items()} | dict(buffers)
    first_names = _first_names(model)
    return {
        name: _corner(stacked[first_names[name]], tensor.shape).detach().cpu().clone()
        for name, tensor in model.state_dict().items()
    }


def stacked_forward(models: Sequence[nn.Module], features: Tensor) -> Callable[[Tensor], Tensor]:
    """Join networks for evaluation alone: from features (n_rows, …) to outputs (members, n_rows, width).

    Raises:
        NotStackableError: they cannot be joined; found out with `features`, a few rows.
    """
    program = make_program(models, features)
    numbers, buffers = stack_members(program, models)
    parameters = views_of(program, numbers)

    def forward(features: Tensor) -> Tensor:
        padded = pad_columns(features, program.n_columns)
        return program.forward(parameters, buffers, padded.expand(len(models), *padded.shape), None)

    return forward


def _first_names(model: nn.Module) -> dict[str, str]:
    """Map each name of a parameter or buffer to the first that it has, where layers share it."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    first: dict[Tensor, str] = {}
    return {name: first.setdefault(tensor, name) for name, tensor in named}


def pad_columns(features: Tensor, n_columns: int | None) -> Tensor:
    """Pad features (n_rows, n_features) with zeros to `n_columns`, where that is not None."""
    return features if n_columns is None else _widened(features, n_columns)


def steadily(function: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """Apply an elementwise function to tensors (members, …) so that a member's bits are its own.

    Vector units and the rest of a loop round exp and log differently, so each member gets whole blocks,
    and no more numbers go in at a time than one thread takes.
    """
    flat = [value.flatten(1) for value in values]
    n_numbers = flat[0].shape[1]
    padded = [functional.pad(each, (0, -n_numbers % STEADY_BLOCK)).flatten() for each in flat]
    pieces = zip(*(each.split(SERIAL_NUMBERS - STEADY_BLOCK) for each in padded), strict=True)
    done = torch.cat([function(*piece) for piece in pieces])
    return done.view(len(flat[0]), -1)[:, :n_numbers].reshape(values[0].shape)


class PerceptronProgram:
    """`nn.Sequential` of linear layers, batch norms, activations and dropout, the first one (but dropout) linear."""

    def __init__(self, models: Sequence[nn.Module]):
        self._places = sorted(set().union(*map(_dropout_places, models)))  # a rate of 0 has no layer
        self._layers = _with_dropout(models[0], self._places)
        self._filling: dict[str, Tensor] = {}  # masks (n_columns,) where an activation makes something of 0
        self.slots: list[Slot] = []
        self.noise_shapes: list[tuple[int, ...]] = []
        self.still_norms: frozenset[str] = frozenset()
        self.n_columns: int | None = _padded(max(_n_features(model) for model in models))
        self._width, columns = _n_features(models[0]), self.n_columns
        for name, layer in self._layers:
            if isinstance(layer, nn.Linear):
                self._width, n_in, columns = layer.out_features, columns, _padded(layer.out_features)
                self._add(f"{name}.weight", columns, n_in)
            elif isinstance(layer, nn.PReLU):
                self._add(f"{name}.weight", _padded(layer.num_parameters))
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
                features = features if noise is None else features * _widened(next(masks), features.shape[2])
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


class FunctionalProgram:
    """Any network that `vmap` takes: no random layers but `nn.Dropout`, no recurrent kernels."""

    def __init__(self, model: nn.Module, features: Tensor):
        self.n_columns: int | None = None
        self.still_norms: frozenset[str] = frozenset()
        self.slots: list[Slot] = []
        for name, parameter in model.named_parameters():
            start = _padded(self.slots[-1].end) if self.slots else 0
            self.slots.append(Slot(name, tuple(parameter.shape), start))
        self.noise_shapes: list[tuple[int, ...]] = []
        self._dropouts: list[str] = []  # the layers' names, a mask each
        self._template = copy.deepcopy(model)
        if len({(parameter.dtype, parameter.device) for parameter in model.parameters()}) > 1:
            raise NotStackableError("the parameters are of several types, or on several devices")
        for name, layer in model.named_modules():
            if type(layer) is nn.Dropout:
                self._template.set_submodule(name, _GivenNoise())
        self._watch_dropout(features)
        self._try_out(model, features)

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, noise: Noise) -> Tensor:
        self._template.train(noise is not None)
        for name in self.still_norms:
            self._template.get_submodule(name).eval()

        def of_member(tensors: dict[str, Tensor], features: Tensor) -> Tensor:
            outputs: Tensor = functional_call(self._template, tensors, (features,))
            return outputs

        masks = {} if noise is None else dict(zip((f"{name}.noise" for name in self._dropouts), noise, strict=True))
        return vmap(of_member)({**parameters, **buffers, **masks}, features)

    def dropout_rates(self, model: nn.Module) -> list[float]:
        layers = dict(model.named_modules())
        return [layers[name].p for name in self._dropouts]

    def _watch_dropout(self, features: Tensor) -> None:
        """Learn in which order a network asks for masks, and of which shapes.

        Raises:
            NotStackableError: a mask is used twice, or is no block of numbers a row, in the order of the rows.
        """
        few, more = features, torch.cat([features, features[:1]])
        seen = self._asked_for(few), self._asked_for(more)
        for (name, shape), (_, longer) in zip(*seen, strict=True):
            if name in self._dropouts:
                raise NotStackableError("a dropout layer is used twice in one pass")
            blocks = shape[0] // len(few)  # such as heads, which attention lays beside the rows
            if (shape[0], *longer) != (blocks * len(few), blocks * len(more), *shape[1:]):
                raise NotStackableError(f"dropout '{name}' acts on a tensor whose first dimension is not the rows")
            self._dropouts.append(name)
            self.noise_shapes.append((blocks, *shape[1:]))

    def _asked_for(self, features: Tensor) -> list[tuple[str, tuple[int, ...]]]:
        """The dropout layers in the order of their use in one pass, with the shapes that they act on."""
        layers = [(layer, name) for name, layer in self._template.named_modules() if isinstance(layer, _GivenNoise)]
        names: dict[nn.Module, str] = dict(layers)
        asked: list[tuple[str, tuple[int, ...]]] = []

        def note(layer: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            if not arguments[0].is_contiguous():  # masks are drawn in the order of memory
                raise NotStackableError(f"dropout '{names[layer]}' acts on a transposed tensor")
            asked.append((names[layer], tuple(arguments[0].shape)))

        handles = [layer.register_forward_pre_hook(note) for layer in names]
        try:
            with torch.no_grad():
                self._template.eval()(features)
        finally:
            for handle in handles:
                handle.remove()
        return asked

    def _try_out(self, model: nn.Module, features: Tensor) -> None:
        numbers, buffers = stack_members(self, [model, model])
        noise = [features.new_ones(2, len(features), *shape) for shape in self.noise_shapes]
        try:
            parameters = {name: view.clone().requires_grad_() for name, view in views_of(self, numbers).items()}
            outputs = self.forward(parameters, buffers, torch.stack([features, features]), noise)
            torch.autograd.grad(outputs.sum(), list(parameters.values()))
        except (RuntimeError, ValueError, NotImplementedError) as error:
            raise NotStackableError(str(error).strip().partition("\n")[0]) from error


class _GivenNoise(nn.Module):
    """Dropout whose mask is passed in as if it were a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.noise: Tensor
        self.register_buffer("noise", torch.empty(0), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return features * self.noise.reshape(features.shape) if self.training else features


def _is_perceptron(model: nn.Module) -> bool:
    known = (nn.Linear, nn.BatchNorm1d, nn.Dropout, nn.PReLU, *ACTIVATIONS)
    layers = list(model.children()) if type(model) is nn.Sequential else []
    cumulative = any(isinstance(layer, nn.BatchNorm1d) and layer.momentum is None for layer in layers)
    first = next((layer for layer in layers if type(layer) is not nn.Dropout), None)
    return type(first) is nn.Linear and not cumulative and all(type(each) in known for each in layers)


def _dropout_places(model: nn.Module) -> dict[tuple[int, int], float]:
    """The rates of a perceptron's dropout, by how many other layers stand before it, and which dropout it is there."""
    rates: dict[tuple[int, int], float] = {}
    others = 0
    for place, layer in enumerate(model.children()):
        if isinstance(layer, nn.Dropout):
            rates[others, place - others - sum(before < others for before, _ in rates)] = layer.p
        else:
            others += 1
    return rates


def _with_dropout(model: nn.Module, places: list[tuple[int, int]]) -> list[tuple[str, nn.Module]]:
    """Name a perceptron's layers, with dropout in those places and no other."""
    others = [(name, layer) for name, layer in model.named_children() if not isinstance(layer, nn.Dropout)]
    layers: list[tuple[str, nn.Module]] = []
    for number in range(len(others) + 1):
        layers += [("", nn.Dropout()) for before, _ in places if before == number]
        layers += others[number : number + 1]
    return layers


def _n_features(model: nn.Module) -> int:
    return next(layer.in_features for layer in model.children() if isinstance(layer, nn.Linear))


def _padded(length: int) -> int:
    return -(-length // BLOCK) * BLOCK


def _corner(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    return tensor[tuple(slice(length) for length in shape)]


def _widened(tensor: Tensor, n_columns: int) -> Tensor:
    missing = n_columns - tensor.shape[-1]
    return functional.pad(tensor, (0, missing)) if missing else tensor


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
    """Normalise (members, n_rows, n_columns) as one batch of members * n_columns channels."""
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
