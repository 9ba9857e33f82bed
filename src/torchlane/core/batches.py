"""Batches in the order, and with the random numbers, of a plain `DataLoader`, but gathered whole."""

from collections.abc import Iterator

import torch
from torch import Generator, Tensor
from torch.utils.data import TensorDataset

GATHER_BYTES = 1 << 22  # rows are gathered in blocks of batches of about this size


class Batches:
    """Walk a `TensorDataset` as `DataLoader(dataset, batch_size, shuffle, drop_last, generator)` does.

    The batches are equal to the bit and the same random numbers are consumed (torch 2.15,
    `_BaseDataLoaderIter.__init__` and `RandomSampler.__iter__`): `iter()` draws a base seed from
    `generator`, or from the global one; without a generator the first `next()` draws the sampler's
    seed from the global one, and with one the order comes from it, followed by one more
    permutation that nobody uses. Rows are gathered many at a time instead of one by one.

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
        generator: Generator | None = None,
    ):
        if len(dataset) == 0:
            raise ValueError("there are no rows to make batches of")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self._tensors = dataset.tensors
        self._n_rows = len(dataset)
        self._batch_size = batch_size
        self._shuffle = shuffle
        self._drop_last = drop_last
        self._generator = generator

    def __len__(self) -> int:
        whole, rest = divmod(self._n_rows, self._batch_size)
        return whole + (rest > 0 and not self._drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        torch.empty((), dtype=torch.int64).random_(generator=self._generator)  # the base seed
        return self._walk()

    def _walk(self) -> Iterator[tuple[Tensor, ...]]:
        last = self._n_rows - self._n_rows % self._batch_size if self._drop_last else self._n_rows
        if not self._shuffle:
            for start in range(0, last, self._batch_size):
                yield tuple(tensor[start : min(start + self._batch_size, last)] for tensor in self._tensors)
            return
        order = self._draw_order()
        for start in range(0, last, self._block_rows):
            rows = order[start : min(start + self._block_rows, last)].to(self._tensors[0].device)
            block = [tensor.index_select(0, rows).split(self._batch_size) for tensor in self._tensors]
            yield from zip(*block, strict=True)
        if self._generator is not None:
            torch.randperm(self._n_rows, generator=self._generator)

    def _draw_order(self) -> Tensor:
        generator = self._generator
        if generator is None:
            seed = int(torch.empty((), dtype=torch.int64).random_().item())
            generator = torch.Generator()
            generator.manual_seed(seed)
        return torch.randperm(self._n_rows, generator=generator)

    @property
    def _block_rows(self) -> int:
        """A multiple of the batch size, so that no batch spans two blocks."""
        row_bytes = sum(tensor[0].numel() * tensor.element_size() for tensor in self._tensors)
        return self._batch_size * max(1, GATHER_BYTES // max(1, row_bytes * self._batch_size))
