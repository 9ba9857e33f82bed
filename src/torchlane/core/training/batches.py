"""Batches in the order of a plain `DataLoader`, with the same random numbers, but gathered many rows at a time."""

from collections import deque
from collections.abc import Iterator

import torch
from torch import Generator, Tensor
from torch.utils.data import TensorDataset

GATHER_BYTES = 1 << 20  # batches are gathered in blocks of about this size, which stay in the cache of a core


def draw_order(n_rows: int, generator: Generator) -> Tensor:
    """Draw the order of an epoch, int64 (n_rows,), as a shuffling `DataLoader` draws it from the global generator."""
    _draw_seed(generator)  # the base seed
    return _draw_sampler_order(n_rows, generator)


def batch_sizes(n_rows: int, batch_size: int, smallest: int = 1) -> list[int]:
    """Give the number of rows of each batch of an epoch; a last batch below `smallest` rows joins the previous one.

    >>> batch_sizes(9, 4), batch_sizes(9, 4, smallest=2), batch_sizes(1, 4, smallest=2)
    ([4, 4, 1], [4, 5], [1])
    """
    whole, rest = divmod(n_rows, batch_size)
    sizes = [batch_size] * whole
    if rest >= smallest or (rest and not whole):
        sizes.append(rest)
    elif rest:
        sizes[-1] += rest
    return sizes


def _draw_seed(generator: Generator | None) -> int:
    return int(torch.empty((), dtype=torch.int64).random_(generator=generator).item())


def _draw_sampler_order(n_rows: int, generator: Generator | None) -> Tensor:
    """Permute with a new generator, seeded as the sampler of a `DataLoader` seeds its own."""
    own = torch.Generator()
    own.manual_seed(_draw_seed(generator))
    return torch.randperm(n_rows, generator=own)


class Batches:
    """Iterate over a `TensorDataset` as `DataLoader(dataset, batch_size, shuffle=True)` does.

    The batches are equal bit for bit and the global generator is used in the same way (torch 2.15,
    `_BaseDataLoaderIter.__init__` and `RandomSampler.__iter__`): `iter()` draws a base seed, and the first
    `next()` draws the seed of the sampler. Rows are gathered many at a time instead of one by one. If
    `device` is not where the data are, blocks are copied there through pinned memory while the device
    still computes on the previous block. A last batch of fewer than `smallest` rows joins the previous one.

    Raises:
        ValueError: the dataset is empty, or `batch_size` is below 1.
    """

    def __init__(
        self, dataset: TensorDataset, batch_size: int, *, smallest: int = 1, device: torch.device | None = None
    ):
        if len(dataset) == 0:
            raise ValueError("there are no rows to make batches of")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self._tensors = dataset.tensors
        self._n_rows = len(dataset)
        self._batch_size = batch_size
        self._sizes = batch_sizes(len(dataset), batch_size, smallest)
        self._device = device if device is not None else dataset.tensors[0].device

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        _draw_seed(None)  # the base seed
        return self._walk()

    def _walk(self) -> Iterator[tuple[Tensor, ...]]:
        order = _draw_sampler_order(self._n_rows, None)
        for first in range(0, len(self._sizes), self._block_batches):
            sizes = self._sizes[first : first + self._block_batches]
            start = first * self._batch_size
            rows = order[start : start + sum(sizes)]
            batches = deque(zip(*(self._gather(tensor, rows).split(sizes) for tensor in self._tensors), strict=True))
            while batches:
                yield batches.popleft()  # nothing here keeps a block once its last batch is done with

    def _gather(self, tensor: Tensor, rows: Tensor) -> Tensor:
        """Take rows in their order, and copy them to the device."""
        taken = tensor.index_select(0, rows.to(tensor.device))
        if taken.device == self._device:
            return taken
        return (taken.pin_memory() if self._device.type == "cuda" else taken).to(self._device, non_blocking=True)

    @property
    def _block_batches(self) -> int:
        """The number of batches in a block."""
        row_bytes = sum(tensor[0].numel() * tensor.element_size() for tensor in self._tensors)
        return max(1, GATHER_BYTES // max(1, row_bytes * self._batch_size))
