"""Batches in the order, and with the random numbers, of a plain `DataLoader`, but gathered whole."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor
from torch.utils.data import TensorDataset

GATHER_BYTES = 1 << 22  # rows are gathered in blocks of batches of about this size


def draw_order(n_rows: int, generator: Generator) -> Tensor:
    """Draw the order of an epoch, int64 (n_rows,), as a shuffling `DataLoader` does from the global generator."""
    _draw_seed(generator)  # the base seed
    return _draw_sampler_order(n_rows, generator)


def batch_sizes(n_rows: int, batch_size: int, smallest: int = 1) -> list[int]:
    """Say how many rows each batch of an epoch has; a last one of fewer than `smallest` joins the one before.

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
    """Seed a generator of the sampler's own, and permute with that."""
    own = torch.Generator()
    own.manual_seed(_draw_seed(generator))
    return torch.randperm(n_rows, generator=own)


class Batches:
    """Walk a `TensorDataset` as `DataLoader(dataset, batch_size, shuffle, drop_last, generator)` does.

    The batches are equal to the bit and the same random numbers are consumed (torch 2.15,
    `_BaseDataLoaderIter.__init__` and `RandomSampler.__iter__`): `iter()` draws a base seed from
    `generator`, or from the global one; without a generator the first `next()` draws the sampler's
    seed from the global one, and with one the order comes from it, followed by one more
    permutation that nobody uses. Rows are gathered many at a time instead of one by one. Where
    `device` is not where the data are, they follow block by block, through pinned memory, while the
    device still works on the block before. A last batch of fewer than `smallest` rows joins the one before.

    Raises:
        ValueError: the dataset is empty, or `batch_size` is below 1.
    """

    def __init__(
        self,
        dataset: TensorDataset,
        batch_size: int,
        *,
        shuffle: bool = True,
        drop_last: bool = False,
        smallest: int = 1,
        generator: Generator | None = None,
        device: torch.device | None = None,
    ):
        if len(dataset) == 0:
            raise ValueError("there are no rows to make batches of")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self._tensors = dataset.tensors
        self._n_rows = len(dataset)
        self._batch_size = batch_size
        whole = [batch_size] * (len(dataset) // batch_size)
        self._sizes = whole if drop_last else batch_sizes(len(dataset), batch_size, smallest)
        self._shuffle = shuffle
        self._generator = generator
        self._device = device if device is not None else dataset.tensors[0].device

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        _draw_seed(self._generator)  # the base seed
        return self._walk()

    def _walk(self) -> Iterator[tuple[Tensor, ...]]:
        order = self._draw_order() if self._shuffle else None
        for first in range(0, len(self._sizes), self._block_batches):
            sizes = self._sizes[first : first + self._block_batches]
            start = first * self._batch_size
            block = slice(start, start + sum(sizes))
            gathered = [self._gather(tensor, block, order) for tensor in self._tensors]
            yield from zip(*(tensor.split(sizes) for tensor in gathered), strict=True)
        if order is not None and self._generator is not None:
            torch.randperm(self._n_rows, generator=self._generator)

    def _gather(self, tensor: Tensor, block: slice, order: Tensor | None) -> Tensor:
        """Take the rows of a block in their order, and bring them to the device."""
        rows = tensor[block] if order is None else tensor.index_select(0, order[block].to(tensor.device))
        if rows.device == self._device:
            return rows
        return (rows.pin_memory() if self._device.type == "cuda" else rows).to(self._device, non_blocking=True)

    def _draw_order(self) -> Tensor:
        if self._generator is None:
            return _draw_sampler_order(self._n_rows, None)
        return torch.randperm(self._n_rows, generator=self._generator)

    @property
    def _block_batches(self) -> int:
        """How many batches are gathered together."""
        row_bytes = sum(tensor[0].numel() * tensor.element_size() for tensor in self._tensors)
        return max(1, GATHER_BYTES // max(1, row_bytes * self._batch_size))
