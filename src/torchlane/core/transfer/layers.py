"""The layers of a network by the names that people use, and which of them are frozen."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from torchlane.core.options import FreezeOptions

WRAPPER = "network."  # prefix of the layers where pixels or indicators come first; people may leave it out


@dataclass(frozen=True)
class Layer:
    """A module with weights, together with the norms and activation slopes that follow it.

    `parameters` and `norms` (batch norms with running statistics) are full names in the network.
    """

    name: str
    parameters: tuple[str, ...]
    norms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Names:
    """Parameters and batch norms, by name."""

    parameters: frozenset[str] = frozenset()
    norms: frozenset[str] = frozenset()

    def __or__(self, other: "Names") -> "Names":
        return Names(self.parameters | other.parameters, self.norms | other.norms)

    def __sub__(self, other: "Names") -> "Names":
        return Names(self.parameters - other.parameters, self.norms - other.norms)


def layers_of(network: nn.Module) -> list[Layer]:
    """List the layers in the order in which the network was built.

    A module without a matrix, such as a norm, belongs to the layer before it.
    """
    layers: list[Layer] = []
    for name, module in network.named_modules():
        own = dict(module.named_parameters(prefix=name, recurse=False))
        norms = (name,) if isinstance(module, _BatchNorm) else ()
        if not own and not norms:
            continue
        if layers and all(parameter.ndim < 2 for parameter in own.values()):
            before = layers.pop()
            layers.append(Layer(before.name, (*before.parameters, *own), (*before.norms, *norms)))
        else:
            layers.append(Layer(name, tuple(own), norms))
    return layers


def shown(name: str) -> str:
    """Shorten a name to what people use: without the prefix of a network that is wrapped."""
    return name.removeprefix(WRAPPER)


def find_head(network: nn.Module, n_outputs: int, named: str | None) -> Layer:
    """Find the head: the last layer, or the layer `named`.

    Raises:
        ValueError: there is no such layer, or it does not have `n_outputs` outputs.
    """
    layers = layers_of(network)
    if named is not None and named not in [shown(layer.name) for layer in layers]:
        raise ValueError(f"fine_tuning.head_layer '{named}' is not a layer; {_listed(layers)}")
    head = layers[-1] if named is None else next(layer for layer in layers if shown(layer.name) == named)
    weight = network.get_parameter(head.parameters[0])
    if weight.ndim < 2 or len(weight) != n_outputs:
        raise ValueError(
            f"the head cannot be mapped: layer {shown(head.name)} has weights of shape {tuple(weight.shape)}, but the "
            f"network has {n_outputs} outputs; set fine_tuning.head_layer to the layer that computes them; "
            f"{_listed(layers)}"
        )
    return head


def frozen_names(layers: Sequence[Layer], head: Layer, freeze: FreezeOptions) -> Names:
    """Find the parameters whose values, and the batch norms whose statistics, do not change.

    Raises:
        ValueError: a pattern matches nothing, or nothing is left to train.
    """
    every = names_of(layers)
    frozen = Names()
    for pattern in freeze.layers:
        frozen |= matching(pattern, layers, "fine_tuning.freeze.layers")
    if freeze.first > len(layers):
        raise ValueError(
            f"fine_tuning.freeze.first {freeze.first} exceeds the number of layers, {len(layers)}; {_listed(layers)}"
        )
    frozen |= names_of(layers[: freeze.first])
    if freeze.all_but:
        kept = Names()
        for pattern in freeze.all_but:
            kept |= names_of([head]) if pattern == "head" else matching(pattern, layers, "fine_tuning.freeze.all_but")
        frozen = every - kept
    if frozen.parameters == every.parameters:
        raise ValueError(f"fine_tuning.freeze leaves nothing to train; {_listed(layers)}; freeze fewer of them")
    return frozen


def names_of(layers: Sequence[Layer]) -> Names:
    """Collect the names of the parameters and norms of some layers."""
    return Names(
        frozenset(name for layer in layers for name in layer.parameters),
        frozenset(name for layer in layers for name in layer.norms),
    )


def matching(pattern: str, layers: Sequence[Layer], option: str) -> Names:
    """Find what a pattern matches: layers, all layers of a module, or single norms or parameters.

    Raises:
        ValueError: it matches nothing.
    """
    found = Names()
    for layer in layers:
        if _fits(pattern, _around(layer.name)):
            found |= names_of([layer])
            continue
        found |= Names(
            frozenset(name for name in layer.parameters if _fits(pattern, _around(name))),
            frozenset(name for name in layer.norms if _fits(pattern, _around(name))),
        )
    if found == Names():
        raise ValueError(f"{option} '{pattern}' matches nothing; {_listed(layers)}")
    return found


def _around(name: str) -> Iterator[str]:
    """Give the short form of a name, and of the modules that contain it."""
    parts = shown(name).split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _fits(pattern: str, names: Iterator[str]) -> bool:
    if pattern.startswith("re:"):
        return any(re.fullmatch(pattern.removeprefix("re:"), name) for name in names)
    return any(fnmatchcase(name, pattern) for name in names)


def _listed(layers: Collection[Layer]) -> str:
    return f"the layers are {', '.join(shown(layer.name) for layer in layers)}"
