"""The layer that embeds numbers, for all members of a stack at once."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from torchlane.core.layers.numbers import Numbers, aligned_length
from torchlane.core.stacks.layout import padded_length
from torchlane.core.stacks.steady import steadily

Tensors = Mapping[str, Tensor]


def numbers_of(model: nn.Module) -> Numbers | None:
    """Give the layer of a perceptron that embeds numbers: the first one apart from dropout, if there is one."""
    first = next((layer for layer in model.children() if type(layer) is not nn.Dropout), None)
    return first if isinstance(first, Numbers) else None


class StackedNumbers:
    """The layers `name` of members that embed the same columns alike, with weights and bins of their own."""

    def __init__(self, name: str, layer: Numbers):
        self.name, self._layer = name, layer
        self.n_columns = padded_length(layer.n_out)
        self._n_others = layer.n_out - len(layer.measured) * layer.width
        self._others = [column for column in range(layer.n_columns) if column not in set(layer.measured)]

    @property
    def slots(self) -> dict[str, tuple[int, ...]]:
        """The shape with padding of each parameter, by its name in the network."""
        shapes = {}
        for own, parameter in self._layer.named_parameters():
            n_numbers, length, *rest = parameter.shape
            n = aligned_length(length) if rest else padded_length(length)
            shapes[f"{self.name}.{own}"] = (n_numbers, n, *map(aligned_length, rest))
        return shapes

    def constants(self, models: Sequence[nn.Module]) -> dict[str, Tensor]:
        """Give what the basis of each member follows from, beside its parameters: tensors (members, …) by name."""
        of_members = [layer.constants() for layer in map(numbers_of, models) if layer is not None]
        return {f"{self.name}.{key}": torch.stack([each[key] for each in of_members]) for key in of_members[0]}

    def raw(self, wide: np.ndarray) -> np.ndarray:
        """Give the columns (n,) of encoded rows that are these columns of rows with embeddings, none an embedding."""
        return np.array(self._others, dtype=np.int64)[wide]

    def __call__(self, parameters: Tensors, buffers: Tensors, rows: Tensor) -> Tensor:
        """Turn encoded rows (members, n_rows, …), with padding, into rows with embeddings, with padding.

        Rows that are one view for all members, whose bins are the same, are turned once.
        """
        members = len(rows)
        if members > 1 and rows.stride(0) == 0 and self._is_alike(buffers):
            rows = rows[:1]
            buffers = {name: tensor[:1] for name, tensor in buffers.items() if name.startswith(f"{self.name}.")}
        values = rows.index_select(2, buffers[f"{self.name}.columns"][0]).transpose(1, 2)
        parts = [rows.index_select(2, buffers[f"{self.name}.others"][0]), self._embed(parameters, buffers, values)]
        parts.append(rows.new_zeros(1).expand(*rows.shape[:2], self.n_columns - self._layer.n_out))
        return torch.cat(parts, dim=2).expand(members, -1, -1)

    def _is_alike(self, buffers: Tensors) -> bool:
        """Say whether all members make the same of the same rows: they have no weights here, and equal bins."""
        if self._layer.weight is not None:
            return False
        edges = buffers[f"{self.name}.edges"]
        return bool((edges == edges[:1]).all())

    def changed(self, parameters: Tensors, buffers: Tensors, columns: slice, values: Tensor) -> tuple[Tensor, Tensor]:
        """Say where values (n_rows, n) of some columns stand in rows with embeddings, and as what.

        The first result has the columns (n_wide,), the second their values (members, n_rows, n_wide).
        """
        members, width = len(next(iter(parameters.values()))), self._layer.width
        asked = range(columns.start, columns.stop)
        plain = [place for place, column in enumerate(asked) if column not in self._layer.measured]
        measured = [place for place, column in enumerate(asked) if column in self._layer.measured]
        numbers = [self._layer.measured.index(asked[place]) for place in measured]
        wide = [self._others.index(asked[place]) for place in plain]
        wide += [self._n_others + number * width + place for number in numbers for place in range(width)]
        parts = [values[:, plain].expand(members, -1, -1)]
        if numbers:
            of_numbers = values[:, measured].t().expand(members, -1, -1)
            parts.append(self._embed(parameters, buffers, of_numbers, torch.tensor(numbers)))
        return torch.tensor(wide, dtype=torch.int64), torch.cat(parts, dim=2)

    def _embed(self, parameters: Tensors, buffers: Tensors, values: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Embed values (members, n_numbers, n_rows) of all numbers, or of some: (members, n_rows, n)."""
        prefix = f"{self.name}."
        tensors = {
            name.removeprefix(prefix): tensor if numbers is None else tensor[:, numbers]
            for name, tensor in {**buffers, **parameters}.items()
            if name.startswith(prefix) and tensor.ndim > 2
        }
        basis = self._layer.basis(values, tensors, steadily)
        return self._layer.embedded(basis, tensors.get("weight"))
