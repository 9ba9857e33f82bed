"""The random numbers of stacked members, drawn in the order of the plain loop."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Generator, Tensor

from torchlane.core.machine.checkpoints import State
from torchlane.core.stacks.layout import Program
from torchlane.core.training.batches import draw_order
from torchlane.core.training.members import Member


class MemberRandom:
    """The random numbers of one member, drawn in the order of the plain loop.

    Its generators continue from where the seeding and initialisation of the member left off.
    """

    def __init__(self, member: Member, program: Program):
        self._n_rows = len(member.train)
        self.keep = [1 - rate for rate in program.dropout_rates(member.model)]
        self._generators = {kind: Generator(kind) for kind in member.random.state}
        self.load_state_dict(member.random.state)

    def draw_order(self) -> Tensor:
        """Draw the order of the rows of train for an epoch: int64 (n_rows,)."""
        return draw_order(self._n_rows, self._generators["cpu"])

    def fill(self, row: Tensor, sizes: list[int], dtype: torch.dtype) -> None:
        """Fill `row`, float64, so that a unit is kept if its number is below 1 - rate.

        `sizes` has how many numbers of the row belong to each layer.
        """
        generator = self._generators[row.device.type]
        whole = all(keep < 1 for keep in self.keep)
        if whole and (row.device.type != "cpu" or _bernoulli_is_uniform(dtype)):
            row.uniform_(generator=generator)
            return
        row.zero_()
        for piece, keep in zip(row.split(sizes) if sizes else (), self.keep, strict=True):
            if keep < 1:
                kept = torch.empty_like(piece, dtype=dtype).bernoulli_(keep, generator=generator)
                piece.copy_(1 - kept)

    def state_dict(self) -> State:
        return {kind: generator.get_state() for kind, generator in self._generators.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for kind, generator in self._generators.items():
            generator.set_state(state[kind])


def draw_noise(
    randoms: Sequence[MemberRandom],
    shapes: Sequence[tuple[int, ...]],
    n_rows: int,
    dtype: torch.dtype,
    device: torch.device,
) -> list[Tensor]:
    """Draw the dropout masks of a batch: for each layer a tensor (members, n_rows, …) of 0 and 1 / (1 - rate).

    `shapes` has the shape of each layer's mask for one row.
    """
    of_batch = [(n_rows, *shape) for shape in shapes]
    sizes = [math.prod(shape) for shape in of_batch]
    uniform = torch.empty(len(randoms), sum(sizes), dtype=torch.float64, device=device)
    for row, random in zip(uniform, randoms, strict=True):
        random.fill(row, sizes, dtype)
    keep = torch.tensor([random.keep for random in randoms], dtype=torch.float64).to(uniform.device)
    masks = []
    for layer, piece in enumerate(uniform.split(sizes, dim=1) if sizes else ()):
        share = keep[:, layer, None]
        mask = torch.lt(piece, share, out=torch.empty_like(piece, dtype=dtype)).div_(share.to(dtype))
        masks.append(mask.view(len(randoms), *of_batch[layer]))
    return masks


@cache
def _bernoulli_is_uniform(dtype: torch.dtype) -> bool:
    """Whether torch draws a Bernoulli number by comparing a uniform float64 number.

    It does unless a vector library draws it. The masks of all layers can then be drawn at once, twice as fast.
    """
    first, second = Generator().manual_seed(0), Generator().manual_seed(0)
    drawn = torch.empty(1000, dtype=dtype).bernoulli_(0.3, generator=first)
    return torch.equal(drawn == 1, torch.empty(1000, dtype=torch.float64).uniform_(generator=second) < 0.3)
