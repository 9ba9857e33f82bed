"""Computations on blocks of rows of one size, so that the bits of a row do not depend on the other rows."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

BLOCK_ROWS = 256
ALIGNMENT = 64  # bytes, as torch aligns what it allocates; kernels choose an algorithm by it


def by_blocks(function: Callable[[Tensor], Tensor], values: Tensor, *, rows_in: int, rows_out: int) -> Tensor:
    """Apply a function to blocks of `BLOCK_ROWS` rows, the last one padded; `rows_in` and `rows_out` are row axes."""
    done = []
    for block in values.split(BLOCK_ROWS, dim=rows_in):
        n_rows = block.shape[rows_in]
        done.append(function(_whole(block, rows_in)).narrow(rows_out, 0, n_rows))
    return torch.cat(done, dim=rows_out)


def _whole(block: Tensor, axis: int) -> Tensor:
    """Pad a block, unless it is full; in memory, every block lies as a new tensor would."""
    missing = BLOCK_ROWS - block.shape[axis]
    if missing:
        return nn.functional.pad(block, (0, 0) * (block.ndim - 1 - axis) + (0, missing))
    whole = block.contiguous()
    return whole if whole.data_ptr() % ALIGNMENT == 0 else whole.clone()
