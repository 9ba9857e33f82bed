"""Encoded rows that a model has seen, so that each distinct row passes through the networks once.

The outputs for a row do not depend on the rows beside it, so they are the same bits as if all rows were computed.
"""

import threading
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

if TYPE_CHECKING:
    from torchlane.core.model.trained import TrainedModel

MOST_BYTES = 128 << 20  # of rows and outputs that are remembered
SLAB_BYTES = 32 << 20  # of rows that are compared with each other at a time
HASHED_ROWS = 1024  # at a time, so that they stay in the cache
WORD = 4  # bytes, as a float32 has


class SeenRows:
    """The outputs of a model for encoded rows, some of which are remembered: at most `most_bytes` of them.

    Several threads may use it at once.
    """

    def __init__(self, model: "TrainedModel", most_bytes: int = MOST_BYTES):
        self._model, self._most_bytes = model, most_bytes
        self._lock = threading.Lock()
        self._memory: _Memory | None = None

    def outputs(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Run every member on the distinct rows among encoded features (n_rows, …).

        The first result is float32 (members, n_distinct, width), as `TrainedModel.outputs` gives it. The second has
        the place of each row in it, int64 (n_rows,).
        """
        n_bytes = max(features[:1].numel() * features.element_size(), 1)
        outputs, places, n_distinct = [], [], 0
        for slab in features.split(max(SLAB_BYTES // n_bytes, 1)):
            of_slab, place = self._outputs_of_slab(slab)
            outputs.append(of_slab)
            places.append(place + n_distinct)
            n_distinct += of_slab.shape[1]
        return torch.cat(outputs, dim=1), torch.cat(places)

    def _outputs_of_slab(self, features: Tensor) -> tuple[Tensor, Tensor]:
        words = _words(features)
        with self._lock:
            self._memory = self._memory or _Memory(words.shape[1], self._most_bytes)
        memory = self._memory
        first, places, hashes = _distinct(words, memory.hash(words))
        with self._lock:
            found, known = memory.find(words[first], hashes)
        new = first[~found]
        if len(first) and not len(new):
            return known, torch.from_numpy(places)
        computed = self._model.outputs(features if len(new) == len(features) else features[torch.from_numpy(new)])
        with self._lock:
            memory.add(words[new], hashes[~found], computed)
        if not found.any():
            return computed, torch.from_numpy(places)
        outputs = computed.new_empty(len(computed), len(first), *computed.shape[2:])
        outputs[:, torch.from_numpy(~found)] = computed
        outputs[:, torch.from_numpy(found)] = known
        return outputs, torch.from_numpy(places)


def number_rows(features: Tensor) -> np.ndarray:
    """Number encoded rows (n_rows, …) so that exactly equal ones share a number: int64 (n_rows,)."""
    words = _words(features)
    return _distinct(words, _Memory(words.shape[1], 0).hash(words))[1]


class _Memory:
    """Rows as words (n_rows, n_words), found again by their hash, and their outputs."""

    def __init__(self, n_words: int, most_bytes: int):
        self._multipliers = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, n_words) | 1
        self._most_bytes = most_bytes
        self._hashes = np.empty(0, dtype=np.int64)  # in ascending order
        self._places = np.empty(0, dtype=np.int64)  # of the row of each hash
        self._words = np.empty((0, n_words), dtype=np.int32)
        self._outputs = torch.empty(0)  # (n_rows, members, …)
        self._n_rows = 0

    def hash(self, words: np.ndarray) -> np.ndarray:
        """Compute a number for each row, int64 (n_rows,); different rows may have the same one."""
        # A product of int64 keeps the bits of floats such as 1.0, of which only the highest differ from 0.
        hashes = np.empty(len(words), dtype=np.int64)
        for start in range(0, len(words), HASHED_ROWS):
            part = slice(start, start + HASHED_ROWS)
            np.matmul(words[part].astype(np.int64), self._multipliers, out=hashes[part])
        return hashes

    def find(self, words: np.ndarray, hashes: np.ndarray) -> tuple[np.ndarray, Tensor]:
        """Mark the rows that are remembered, bool (n_rows,), and give their outputs (members, n_found, …)."""
        found = np.zeros(len(words), dtype=bool)
        if not self._n_rows:
            return found, self._outputs
        at = np.minimum(np.searchsorted(self._hashes, hashes), self._n_rows - 1)
        where = np.flatnonzero(self._hashes[at] == hashes)
        places = self._places[at[where]]
        same = (self._words[places] == words[where]).all(axis=1)
        found[where[same]] = True
        return found, self._outputs[torch.from_numpy(places[same])].movedim(0, 1)

    def add(self, words: np.ndarray, hashes: np.ndarray, outputs: Tensor) -> None:
        """Remember rows and their outputs (members, n_rows, …), as long as there is space."""
        by_row = outputs.movedim(1, 0)
        bytes_of_row = words[:1].nbytes + 2 * self._hashes.itemsize + by_row[:1].numel() * by_row.element_size()
        start, most = self._n_rows, self._most_bytes // max(bytes_of_row, 1)
        end = min(start + len(words), most)
        if end <= start:
            return
        if end > len(self._words):
            self._grow(min(max(2 * end, 1024), most), by_row)
        added = slice(end - start)
        self._words[start:end], self._outputs[start:end] = words[added], by_row[added]
        merged = np.concatenate([self._hashes, hashes[added]])
        order = np.argsort(merged, kind="stable")
        self._hashes = merged[order]
        self._places = np.concatenate([self._places, np.arange(start, end)])[order]
        self._n_rows = end

    def _grow(self, capacity: int, like: Tensor) -> None:
        words, outputs = self._words, self._outputs
        self._words = np.empty((capacity, words.shape[1]), dtype=np.int32)
        self._words[: self._n_rows] = words[: self._n_rows]
        self._outputs = like.new_empty(capacity, *like.shape[1:])
        if self._n_rows:
            self._outputs[: self._n_rows] = outputs[: self._n_rows]


def _words(features: Tensor) -> np.ndarray:
    """View the bytes of each row as int32 (n_rows, n_words), filled up with zeros."""
    flat = features.flatten(1).contiguous().numpy()
    row_bytes = flat.shape[1] * flat.itemsize
    if row_bytes % WORD == 0:
        return flat.view(np.int32)
    padded = np.zeros((len(flat), -(-row_bytes // WORD) * WORD), dtype=np.uint8)
    padded[:, :row_bytes] = flat.view(np.uint8)
    return padded.view(np.int32)


def _distinct(words: np.ndarray, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the first of equal rows, the place of each row among those (n_rows,), and the hashes of those."""
    n_rows = len(words)
    places, _ = pd.factorize(hashes)
    first = np.empty(int(places.max(initial=-1)) + 1, dtype=np.int64)
    first[places[::-1]] = np.arange(n_rows - 1, -1, -1)
    others = np.flatnonzero(first[places] != np.arange(n_rows))
    odd = others[(words[others] != words[first[places[others]]]).any(axis=1)]  # only their hashes are the same
    places[odd] = len(first) + np.arange(len(odd))
    first = np.concatenate([first, odd])
    if len(first) == n_rows:  # in their own order
        return np.arange(n_rows), np.arange(n_rows), hashes
    return first, places, hashes[first]
