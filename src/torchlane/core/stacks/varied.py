"""Outputs of stacked perceptrons for rows that differ from given ones in a few columns.

The first linear layer takes each column, or the embedding of each number, apart from the others, so only what these
columns add to its result is computed anew. Outputs are those for the
whole rows to rounding. Where no value differs, or the first layer ignores the columns, they have the same bits.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from torchlane.core.stacks.layout import pad_columns, stack_members, views_of
from torchlane.core.stacks.numbers import numbers_of
from torchlane.core.stacks.perceptrons import PerceptronProgram

BLOCK_BYTES = 2 << 20  # of results of the first layer that pass at once through the other layers; they fit the cache
FEWEST_ROWS = 256  # that pass at once


class VariedRows:
    """Encoded rows (n_rows, n_columns), of which some columns may be replaced, for perceptrons of one structure."""

    def __init__(self, models: Sequence[nn.Module], features: Tensor):
        self._features = features
        self._program = PerceptronProgram(models)
        numbers, self._buffers = stack_members(self._program, models)
        self._parameters = views_of(self._program, numbers)
        weight = self._parameters[f"{self._program.first_layer}.weight"]
        # (members, n_columns or rows of the table, n_out)
        self._table = weight if self._program.table is not None else weight.transpose(1, 2).contiguous()
        bytes_of_row = len(models) * self._table.shape[2] * features.element_size()
        if (layer := numbers_of(models[0])) is not None:
            bytes_of_row += len(models) * layer.row_bytes
        padded = pad_columns(features, self._program.n_columns).expand(len(models), -1, -1)
        self._hidden = [
            self._program.hidden(self._parameters, self._buffers, rows)
            for rows in padded.split(max(FEWEST_ROWS, BLOCK_BYTES // bytes_of_row), dim=1)
        ]

    def outputs(self, columns: slice, values: Tensor) -> Tensor:
        """Give the outputs (members, n_rows, width) with other `values` (n_rows, n) in these columns."""
        done, start = [], 0
        for hidden in self._hidden:
            rows = slice(start, start := start + hidden.shape[1])
            changed = self._changed(hidden, columns, values[rows], self._features[rows, columns])
            done.append(self._program.beyond(self._parameters, self._buffers, changed))
        return torch.cat(done, dim=1)

    def _changed(self, hidden: Tensor, columns: slice, values: Tensor, before: Tensor) -> Tensor:
        """Compute the result of the first layer (members, n_rows, n_out) from that with other values."""
        name = self._program.first_layer
        coded = self._buffers.get(f"{name}.coded")
        if coded is None or columns.start not in (known := coded[0].tolist()):
            numbers = self._program.numbers
            if numbers is None:
                return torch.baddbmm(hidden, (values - before).expand(len(hidden), -1, -1), self._table[:, columns])
            wide, old_values = numbers.changed(self._parameters, self._buffers, columns, before)
            _, new_values = numbers.changed(self._parameters, self._buffers, columns, values)
            return torch.baddbmm(hidden, new_values - old_values, self._table[:, wide])
        start = self._buffers[f"{name}.starts"][0, known.index(columns.start)]
        lookup = self._buffers[f"{name}.lookup"][0]
        new, old = (lookup[start + codes[:, 0].long()] for codes in (values, before))
        return hidden + (self._table.index_select(1, new) - self._table.index_select(1, old))
