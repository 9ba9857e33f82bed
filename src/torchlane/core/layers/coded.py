"""Layers whose inputs are columns of numbers and codes, and which compute as if each code had an indicator column."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from torchlane.core.layers.layout import NUMBER, Layout
from torchlane.core.layers.numbers import NUMBER_BYTES, Numbers

LARGE_TABLE = 4096  # rows from which training steps only on those that a batch looks up, where it can
LARGEST = 1 << 30  # bytes of features or tokens at once, where the number of rows can be chosen


def indicator_bytes(n_features: int) -> int:
    """Estimate the memory of `Indicators` for a row: its features, the columns that they come from, and a mask."""
    return 9 * n_features


def product_bytes(n_columns: int, n_out: int) -> int:
    """Estimate the memory of a row for the products of each column with its weights: as computed, and as joined."""
    return 2 * NUMBER_BYTES * n_columns * n_out


def rows_at_once(model: nn.Module, most: int, n_members: int = 1) -> int:
    """Say how many rows, at most `most`, may pass at once through networks that make many features of a row."""
    of_row = n_members * sum(getattr(layer, "row_bytes", 0) for layer in model.modules())
    return most if of_row * most <= LARGEST else max(1, LARGEST // of_row)


class Indicators(nn.Module):
    """Encoded rows (n_rows, n_columns) to the features of a layout (n_rows, n_features)."""

    def __init__(self, layout: Layout):
        super().__init__()
        self.embedded = dict(layout.embedded)
        self.row_bytes = indicator_bytes(layout.n_features)
        self.columns: Tensor
        self.codes: Tensor
        _register(self, columns=layout.columns, codes=layout.codes)

    def forward(self, rows: Tensor) -> Tensor:
        values = rows.index_select(1, self.columns)
        return torch.where(self.codes == NUMBER, values, (values == self.codes).to(values.dtype))


class CodedLinear(nn.Linear):
    """A linear layer over the features of a layout that takes the encoded rows (n_rows, n_columns) themselves.

    Weights and initialisation are those of `nn.Linear(layout.n_features, n_out)`, and outputs (n_rows, n_out) are
    its outputs to rounding. But where a feature indicates a code, its weights are looked up instead of multiplied.
    `portable` keeps to operations that `vmap` and exporters know.
    """

    def __init__(self, layout: Layout, n_out: int):
        super().__init__(layout.n_features, n_out)
        self.layout = layout
        self.portable = False
        self.numbers: Tensor
        self.coded: Tensor
        self.starts: Tensor
        self.lookup: Tensor
        lookup, starts = layout.lookup(np.arange(layout.n_features), layout.n_features)
        _register(self, numbers=layout.numbers, coded=layout.coded, starts=starts, lookup=lookup)

    def forward(self, rows: Tensor) -> Tensor:
        table = functional.pad(self.weight.t(), (0, 0, 0, 1))  # the last row stays 0, for codes without a feature
        numbers, places, features = self.numbers_of(rows), self.places_of(rows), self.numbers[1]
        if self.portable:
            return functional.embedding(places, table).sum(1) + functional.linear(
                numbers, self.weight.index_select(1, features), self.bias
            )
        bias = None if self.bias is None else self.bias[None]
        return looked_up(numbers[None], places[None], table[None], features, bias)[0]

    def numbers_of(self, rows: Tensor) -> Tensor:
        """Take the columns of numbers from encoded rows: (n_rows, n_numbers)."""
        return rows.index_select(1, self.numbers[0])

    def places_of(self, rows: Tensor) -> Tensor:
        """Find the features of the codes in encoded rows, or `n_features` for a code without one: (n_rows, n_coded)."""
        found: Tensor = self.lookup[rows.index_select(1, self.coded).long() + self.starts]
        return found

    def without_weights(self) -> "CodedLinear":
        """Give a copy without weight and bias, which only takes numbers and places from rows."""
        bare = copy.copy(self)
        bare._parameters, bare._buffers = {}, dict(self._buffers)
        return bare


def features_of(model: nn.Module, rows: Tensor) -> Tensor:
    """Give encoded rows (n_rows, …) as the features of the network of a table, with indicators of codes it embeds.

    Numbers that it embeds are features as they are, the first ones.
    """
    numbers = next((layer for layer in model.modules() if isinstance(layer, Numbers)), None)
    first = next((layer for layer in model.modules() if isinstance(layer, CodedLinear | Indicators)), None)
    if numbers is not None and isinstance(first, CodedLinear):
        measured, others = rows[:, numbers.columns], rows[:, numbers.others]
        return torch.cat([measured, Indicators(first.layout.part(others.shape[1])).to(rows.device)(others)], dim=1)
    if first is None:
        return rows
    plain = Indicators(first.layout).to(rows.device) if isinstance(first, CodedLinear) else first
    embedded = [
        (rows[:, [column]] == torch.arange(n_codes, device=rows.device)).to(rows.dtype)
        for column, n_codes in plain.embedded.items()
    ]
    return torch.cat([plain(rows), *embedded], dim=1)


def looked_up(
    numbers: Tensor, places: Tensor, table: Tensor, of_numbers: Tensor | slice, bias: Tensor | None
) -> Tensor:
    """Multiply numbers by rows of a table of weights, and add the rows at `places`, for each member.

    `numbers` (members, n_rows, n_numbers) are multiplied by the rows `of_numbers` of `table` (members, n_features + 1,
    n_out). `places` (members, n_rows, n_coded) are other rows of the table. The last of them is 0; it takes no
    gradient. `bias` is (members, n_out). The result is (members, n_rows, n_out), in the dtype of the table, also where
    autocast is on: in half precision, the gradients of a level would be added up with 8 bits.
    """
    with torch.autocast(numbers.device.type, enabled=False):
        result: Tensor = _LookedUp.apply(numbers, places, table, of_numbers, bias)
    return result


def rows_of(table: Tensor) -> tuple[Tensor, int]:
    """Give the rows (n, n_out) of the tables of members (members, n_rows, n_out), and how many lie between two members.

    They are a view where the rows of the members lie at whole rows from each other in memory, and else a copy.
    """
    members, n_rows, n_out = table.shape
    step, rest = divmod(table.stride(0), n_out)
    if rest or table.stride()[1:] != (n_out, 1):
        return table.flatten(0, 1), n_rows
    return table.as_strided(((members - 1) * step + n_rows, n_out), (n_out, 1)), step


class _LookedUp(torch.autograd.Function):
    """An embedding bag and a matrix product whose gradients go to one table, without a copy of it for each."""

    @staticmethod
    def forward(
        context: Any,
        numbers: Tensor,
        places: Tensor,
        table: Tensor,
        of_numbers: Tensor | slice,
        bias: Tensor | None,
    ) -> Tensor:
        members, n_rows, n_coded = places.shape
        rows, step = rows_of(table)
        starts = torch.arange(members, device=places.device)[:, None, None]
        found = functional.embedding_bag((places + starts * step).view(-1, n_coded), rows, mode="sum")
        found = found.view(members, n_rows, -1)
        if bias is not None:
            found += bias[:, None]
        weights = table if context.needs_input_grad[0] else None
        context.save_for_backward(numbers, (places + starts * table.shape[1]).view(-1, n_coded), weights)
        context.of_numbers, context.shape = of_numbers, table.shape
        return torch.baddbmm(found, numbers, table[:, of_numbers])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        numbers, flat, weights = context.saved_tensors
        of_table = gradient.new_zeros(context.shape)
        rows, of_rows = of_table.flatten(0, 1), gradient.flatten(0, 1)
        for places in flat.unbind(1):
            rows.index_add_(0, places, of_rows)
        of_table[:, context.of_numbers] = torch.bmm(numbers.transpose(1, 2), gradient)
        of_table[:, -1] = 0
        of_numbers = None if weights is None else torch.bmm(gradient, weights[:, context.of_numbers].transpose(1, 2))
        return of_numbers, None, of_table, None, gradient.sum(1) if context.needs_input_grad[4] else None


def _register(module: nn.Module, **arrays: np.ndarray) -> None:
    """Register arrays as buffers that are on the CPU even if the network is built on meta, and are not saved."""
    for name, array in arrays.items():
        module.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)), persistent=False)
