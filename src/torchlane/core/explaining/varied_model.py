"""Outputs of a model for encoded rows in which one feature takes other values."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor, nn

from torchlane.core.encoding.encoder import Encoder
from torchlane.core.machine.threads import decide_threads, multiply_adds, threads_for, torch_threads
from torchlane.core.model.trained import TrainedModel
from torchlane.core.stacks.numbers import numbers_of
from torchlane.core.stacks.perceptrons import is_perceptron
from torchlane.core.stacks.varied import VariedRows

Result = TypeVar("Result")
BESIDE = 1000  # multiply-adds that all else costs for a row and a member: activations, predictions, metrics


class VariedModel:
    """A model of a table, and encoded rows (n_rows, n_columns) of which one feature may take other values."""

    def __init__(self, model: TrainedModel, features: Tensor):
        self._model, self._features = model, features
        self._places = places_of(model.encoder)
        networks = [model.network(member) for member in range(model.n_members)]
        self._workers = threads_for(lambda: len(features) * work_of_row(model))
        self._varied: VariedRows | None = None
        if is_perceptron(networks[0]):
            with torch_threads(1), torch.inference_mode():
                self._varied = VariedRows(networks, features)

    def for_each(self, names: Sequence[str], work: Callable[[str], Result]) -> list[Result]:
        """Do some work with each feature, in several threads if it is much.

        Torch uses one thread in each: its own wait for each other after every layer, which takes ten times as long on
        a busy machine.
        """
        if self._workers == 1:
            with torch_threads(1):
                return [work(name) for name in names]
        with ThreadPoolExecutor(self._workers, "explain", decide_threads, (1,)) as pool:
            return list(pool.map(work, names))

    def encoded(self, name: str) -> Tensor:
        """Give the encoded values of a feature: (n_rows, n)."""
        return self._features[:, self._places[name]]

    def outputs(self, name: str, values: Tensor) -> Tensor:
        """Give the outputs (members, n_rows, width) if a feature has these encoded values (n_rows, n)."""
        columns = self._places[name]
        if self._varied is None:
            changed = self._features.clone()
            changed[:, columns] = values
            return self._model.outputs(changed)
        with torch.inference_mode():
            return self._varied.outputs(columns, values)


def places_of(encoder: Encoder) -> Mapping[str, slice]:
    """Say which columns of encoded rows each feature has: its value, and whether it is missing, or parts of a date."""
    places, start = {}, 0
    for column in encoder.tabular:
        places[column.name] = slice(start, start := start + column.width)
    return places


def work_of_row(model: TrainedModel) -> int:
    """Estimate the multiply-adds of one row through all members when one of its features changes."""
    network = model.network()
    if is_perceptron(network):
        first = next(layer for layer in network.children() if isinstance(layer, nn.Linear))
        numbers = numbers_of(network)
        varied = [first] if numbers is None else [first, numbers]
        later = sum(_size(each) for each in network.children()) - sum(map(_size, varied))
        later += 0 if numbers is None else _size(numbers) // len(numbers.measured)
    else:
        later = multiply_adds(network, torch.zeros(2, *model.encoder.feature_shape)) // 2
    return model.n_members * (later + BESIDE)


def bytes_of_row(model: TrainedModel) -> int:
    """Estimate the memory of one row while it is explained: the results of the first layers, and predictions."""
    widest = max((weight.shape[1] for weight in model.weights.values() if weight.ndim > 1), default=1)
    numbers = numbers_of(model.network())
    of_number = 0 if numbers is None else numbers.row_bytes // len(numbers.measured)
    return model.n_members * (4 * (widest + 4 * max(1, len(model.encoder.target.labels))) + of_number)


def _size(layer: nn.Module) -> int:
    return sum(each.numel() for each in layer.parameters())
