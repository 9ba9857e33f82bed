"""The plan of a fine-tuning: which parameters train, from which epoch and at which rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from torchlane.core.options import FineTuningOptions
from torchlane.core.training.adaptation import Adaptation, ParameterGroup
from torchlane.core.transfer.layers import Layer, Names, frozen_names, layers_of, matching, names_of, shown


@dataclass(frozen=True)
class Plan:
    """Which parameters of a network train and how, with what the log and the model file say about it."""

    adaptation: Adaptation
    frozen: tuple[str, ...]  # layers or single parameters, by the names that people use
    trained: int  # number of weights that train
    total: int  # number of all weights

    def describe(self) -> dict[str, Any]:
        """Summarise the plan for the details of the model."""
        return {"frozen": list(self.frozen), "trained_parameters": self.trained, "parameters": self.total}


def make_plan(network: nn.Module, head: Layer, new_head: bool, options: FineTuningOptions) -> Plan:
    """Turn the options into groups of parameters that share rate, first epoch and pull.

    Raises:
        ValueError: a pattern matches nothing, everything is frozen, or a head with new weights is frozen.
    """
    layers = layers_of(network)
    frozen = frozen_names(layers, head, options.freeze)
    if new_head and not names_of([head]).parameters.isdisjoint(frozen.parameters):
        raise ValueError(
            f"fine_tuning.freeze includes the head, {shown(head.name)}, which has new weights for other classes or "
            f"another task and must train; freeze only other layers"
        )
    rates = _rates_of(layers, options)
    training = [layer for layer in layers if not set(layer.parameters) <= frozen.parameters]
    head_index = layers.index(head)
    training.sort(key=lambda layer: abs(layers.index(layer) - head_index))
    groups: dict[tuple[float, int, float], list[str]] = {}
    norms: dict[str, int | None] = {name: None for layer in layers for name in layer.norms if name in frozen.norms}
    for number, layer in enumerate(training):
        first_epoch = 1 + number * (options.thaw_epochs or 0)
        distance = abs(layers.index(layer) - head_index)
        pull = 0.0 if layer == head and new_head and options.head == "replace" else options.pull
        for name in layer.parameters:
            if name not in frozen.parameters:
                rate = rates.get(name, options.layer_decay**distance)
                groups.setdefault((rate, first_epoch, pull), []).append(name)
        norms |= {name: first_epoch for name in layer.norms if name not in frozen.norms and first_epoch > 1}
    adaptation = Adaptation(
        tuple(
            ParameterGroup(tuple(names), rate, first_epoch, pull) for (rate, first_epoch, pull), names in groups.items()
        ),
        dict(sorted(norms.items())),
    )
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    n_frozen = sum(sizes[name] for name in frozen.parameters)
    return Plan(adaptation, tuple(_shown_frozen(layers, frozen)), sum(sizes.values()) - n_frozen, sum(sizes.values()))


def _rates_of(layers: Sequence[Layer], options: FineTuningOptions) -> dict[str, float]:
    """Collect the rates that are set by pattern, as multiples of the learning rate. A later pattern wins."""
    rates: dict[str, float] = {}
    for pattern, rate in options.learning_rates.items():
        named = matching(pattern, layers, "fine_tuning.learning_rates")
        rates |= dict.fromkeys(named.parameters, rate / options.learning_rate)
    return rates


def _shown_frozen(layers: Sequence[Layer], frozen: Names) -> list[str]:
    """Name the layers that are frozen as a whole, and the single parameters that are frozen in others."""
    named = []
    for layer in layers:
        if set(layer.parameters) <= frozen.parameters:
            named.append(shown(layer.name))
        else:
            named += [shown(name) for name in layer.parameters if name in frozen.parameters]
    return named
