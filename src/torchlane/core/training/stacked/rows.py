"""The rows that stacked members train on, and those they are evaluated on."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from torchlane.core.encoding.tensors import with_relative_weights
from torchlane.core.machine.devices import move_if_it_fits
from torchlane.core.stacks.layout import Program, pad_columns
from torchlane.core.training.members import Member


class JoinedRows:
    """The train parts of all members, concatenated, and their valid parts.

    A data set that several members share is held once.
    """

    def __init__(self, members: Sequence[Member], program: Program):
        self.device = next(members[0].model.parameters()).device
        parts = {id(member.train): member.train for member in members}
        dtype = next(members[0].model.parameters()).dtype
        weighted = [with_relative_weights(part, dtype) for part in parts.values()]
        self._starts = dict(zip(parts, _running_sum([len(part) for part in parts.values()]), strict=True))
        self._parts = [id(member.train) for member in members]
        features = _joined([pad_columns(part.tensors[0], program.n_columns) for part in weighted])
        others = [_joined(list(each)) for each in zip(*(part.tensors[1:] for part in weighted), strict=True)]
        joined = move_if_it_fits(TensorDataset(features, *others), self.device)
        self.features, self.targets, *weights = joined.tensors
        self._weights = weights[0] if weights else None
        self._valid = {
            id(each): [
                pad_columns(each.tensors[0], program.n_columns).to(self.device),
                *(tensor.to(self.device) for tensor in each.tensors[1:]),
            ]
            for each in {id(member.valid): member.valid for member in members}.values()
            if len(each)
        }

    def valid_of(self, members: Sequence[Member]) -> tuple[Tensor, Tensor, Tensor | None]:
        """Give features, targets and weights (members, n_rows, …) of valid, of members with equally many rows."""
        parts = [self._valid[id(member.valid)] for member in members]
        if len({id(member.valid) for member in members}) == 1:
            joined = [each.expand(len(members), *each.shape) for each in parts[0]]
        else:
            joined = [torch.stack(each) for each in zip(*parts, strict=True)]
        features, targets, *weights = joined
        return features, targets, weights[0] if weights else None

    def weights_of(self, rows: Tensor) -> Tensor | None:
        """Give the weights of joined rows (members, n_rows), in units of the mean weight of each train part."""
        return None if self._weights is None else self._weights[rows].to(self.device)

    def orders(self, drawn: list[tuple[int, Tensor]]) -> Tensor:
        """Turn each member's order of its own rows into joined row numbers: (members, n_rows), filled up with 0."""
        rows = torch.zeros(len(drawn), max(len(order) for _, order in drawn), dtype=torch.int64)
        for row, (member, order) in zip(rows, drawn, strict=True):
            row[: len(order)] = order + self._starts[self._parts[member]]
        return rows.to(self.features.device)

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Give features and targets of joined rows (members, n_rows), on the members' device."""
        flat = rows.flatten()
        features, targets = (each.index_select(0, flat).to(self.device) for each in (self.features, self.targets))
        return features.unflatten(0, rows.shape), targets.unflatten(0, rows.shape)


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _running_sum(lengths: list[int]) -> list[int]:
    return [sum(lengths[:number]) for number in range(len(lengths))]
