"""How the parameters and buffers of several networks are laid out in joint tensors.

Each tensor has a leading member axis. Matrix kernels choose an algorithm by the alignment of a matrix in
memory, so rows are padded with zeros to whole blocks of `BLOCK` numbers. Training leaves the padding at
zero. The bits of a perceptron then do not depend on the other members.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCK = 32  # numbers that the widest vector units take at once

STATISTICS = ("running_mean", "running_var")  # buffers of a batch norm
MOVED = "moved"  # a buffer (members, n_rows of the table): where the rows are, if only those looked up are given
Tensors = Mapping[str, Tensor]
Noise = Sequence[Tensor] | None


class NotStackableError(Exception):
    """The reason why networks cannot be one program; they can still be used one after another."""


@dataclass(frozen=True)
class Slot:
    """The position of a parameter among the numbers of a member, and its shape with padding."""

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def end(self) -> int:
        return self.start + math.prod(self.shape)


class Program(Protocol):
    """How networks of one structure compute together.

    `noise_shapes` has the shape of each dropout mask for one row, in the order in which a network uses
    them. Features are padded to `n_columns` columns, unless that is None. The batch norms named in
    `still_norms` do not update their running statistics during training.
    """

    slots: list[Slot]
    noise_shapes: list[tuple[int, ...]]
    still_norms: frozenset[str]

    @property
    def n_columns(self) -> int | None: ...

    @property
    def n_taken(self) -> int:
        """The first rows of the table: one for each column that the layer with the table takes, with padding."""

    @property
    def table(self) -> str | None:
        """The parameter (members, n_rows, n_out) whose rows are looked up, if there is one; see `looked_up`."""

    def forward(self, parameters: Tensors, buffers: Tensors, features: Tensor, noise: Noise) -> Tensor:
        """Map features (members, n_rows, …) to outputs (members, n_rows, width).

        `noise` has one mask (members, n_rows, …) for each dropout layer; the pass then counts as training
        and updates running statistics in `buffers` in place. With None the pass is evaluation.
        """

    def dropout_rates(self, model: nn.Module) -> list[float]:
        """Give the dropout rate of one network for each mask; 0 if the network has no dropout there."""

    def table_rows(self, model: nn.Module, name: str) -> Tensor | None:
        """Give the rows (n_in,) of a slot that hold the columns of a weight; None if the slot has the weight's form."""

    def places_in(self, buffers: Tensors, features: Tensor) -> Tensor:
        """Give the rows of the table that the codes in features (members, n_rows, …) stand for, int64 (members, n)."""

    def constants(self, models: Sequence[nn.Module]) -> dict[str, Tensor]:
        """Make tensors (members, …) that stand in place of the networks' buffers of these names."""


def stack_members(program: Program, models: Sequence[nn.Module]) -> tuple[Tensor, dict[str, Tensor]]:
    """Copy the networks' parameters into one tensor (members, n_numbers), and each buffer into one (members, …)."""
    states = [dict(model.named_parameters()) for model in models]
    length = program.slots[-1].end
    if program.table is not None:  # whole rows from member to member, so that they are rows of one matrix
        length += -length % next(slot.shape[-1] for slot in program.slots if slot.name == program.table)
    numbers = next(iter(states[0].values())).new_zeros(len(models), length)
    with torch.no_grad():
        for slot in program.slots:
            for row, model, state in zip(numbers[:, slot.start : slot.end], models, states, strict=True):
                _put(row.view(slot.shape), state[slot.name], program.table_rows(model, slot.name))
    padded = {slot.name: slot.shape for slot in program.slots}
    buffers = program.constants(models)
    for name, buffer in models[0].named_buffers():
        if name in buffers:
            continue
        layer, _, own = name.rpartition(".")
        # Running statistics have the length of their layer's padded weights.
        shape = padded.get(f"{layer}.weight", buffer.shape) if own in STATISTICS else buffer.shape
        buffers[name] = buffer.new_zeros(len(models), *shape)
        for row, model in zip(buffers[name], models, strict=True):
            corner_of(row, buffer.shape).copy_(model.get_buffer(name))
    return numbers, buffers


def views_of(program: Program, numbers: Tensor) -> dict[str, Tensor]:
    """Map parameter names to views (members, …) of `numbers` (members, n_numbers), with padding."""
    return {slot.name: numbers[:, slot.start : slot.end].unflatten(1, slot.shape) for slot in program.slots}


def pieces_of(program: Program, names: Collection[str], n_numbers: int) -> list[slice]:
    """Find the named parameters among the `n_numbers` of a member; adjacent ones form one slice."""
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
    """Make one member's `state_dict`, on the CPU and without padding, from its numbers (n_numbers,) and buffers."""
    stacked = {name: view[0] for name, view in views_of(program, numbers[None]).items()} | dict(buffers)
    first_names = _first_names(model)
    return {
        name: _take(stacked[first_names[name]], tensor.shape, program.table_rows(model, first_names[name]))
        for name, tensor in model.state_dict().items()
    }


def pad_columns(features: Tensor, n_columns: int | None) -> Tensor:
    """Pad features (n_rows, n_features) with zeros to `n_columns` columns, unless that is None."""
    return features if n_columns is None else pad_last(features, n_columns)


def padded_length(length: int) -> int:
    """Round a length up to whole blocks.

    >>> padded_length(32), padded_length(33)
    (32, 64)
    """
    return -(-length // BLOCK) * BLOCK


def pad_last(tensor: Tensor, n_columns: int) -> Tensor:
    """Pad the last dimension with zeros to `n_columns`."""
    missing = n_columns - tensor.shape[-1]
    return functional.pad(tensor, (0, missing)) if missing else tensor


def corner_of(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """Give the view of the first `shape` numbers, which leaves out the padding."""
    return tensor[tuple(slice(length) for length in shape)]


def _put(place: Tensor, weight: Tensor, rows: Tensor | None) -> None:
    if rows is None:
        corner_of(place, weight.shape).copy_(weight)
    else:
        place[rows, : len(weight)] = weight.t()


def _take(place: Tensor, shape: Sequence[int], rows: Tensor | None) -> Tensor:
    taken = corner_of(place, shape) if rows is None else place[rows, : shape[0]].t()
    return taken.detach().cpu().clone(memory_format=torch.contiguous_format)


def _first_names(model: nn.Module) -> dict[str, str]:
    """Map each name of a parameter or buffer to its first name; layers that share one give it several."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    first: dict[Tensor, str] = {}
    return {name: first.setdefault(tensor, name) for name, tensor in named}
