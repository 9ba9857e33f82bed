"""The rows on which a model is explained."""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from torchlane.core.encoding.tensors import weights_of
from torchlane.core.judging.evaluation import truth_of
from torchlane.core.model.trained import TrainedModel
from torchlane.core.rows.splits import rows_of

VALUES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class JudgedRows:
    """Encoded rows of one part: features (n_rows, n_columns), targets as the loss takes them, truth and weights.

    Their order depends on what they hold, and not on the order in which they were given. Rows of weight 0 are left
    out.
    """

    part: str
    features: Tensor
    targets: Tensor
    truth: Tensor
    weights: Tensor | None

    def __len__(self) -> int:
        return len(self.features)

    def take(self, where: np.ndarray) -> "JudgedRows":
        """Select rows by position, int64 (n,)."""
        at = torch.from_numpy(where)
        weights = None if self.weights is None else self.weights[at]
        return JudgedRows(self.part, self.features[at], self.targets[at], self.truth[at], weights)

    def some(self, most: int, seed: int) -> "JudgedRows":
        """Draw at most so many rows, in the same order."""
        if len(self) <= most:
            return self
        return self.take(np.sort(np.random.default_rng(seed).choice(len(self), most, replace=False)))


def judged_rows(
    part: str, model: TrainedModel, tensors: TensorDataset, clean_rows: pd.DataFrame, splits: pd.DataFrame
) -> JudgedRows:
    """Collect the rows of a part; `tensors` are those that `build_tensors` made of it."""
    target = model.encoder.target
    truth = truth_of(rows_of(part, clean_rows, splits)[target.name], target)
    features, targets, weights = *tensors.tensors[:2], weights_of(tensors)
    rows = JudgedRows(part, features, targets, truth, weights)
    counting = np.arange(len(features)) if weights is None else np.flatnonzero(weights.numpy() > 0)
    names = [f"{column.name}={number}" for column in model.encoder.tabular for number in range(column.width)]
    held = {"features": features.numpy()[counting], "truth": truth.numpy()[counting].astype(np.float64)}
    hashes = _hash(held["features"], names) + _hash(held["truth"][:, None], ["truth="])
    if weights is not None:
        hashes = hashes + _hash(weights.numpy()[counting, None], ["weight="])
    return rows.take(counting[np.argsort(hashes, kind="stable")])


def generator_of(name: str, seed: int) -> np.random.Generator:
    """Make a generator whose numbers depend on a name and a seed, and not on other names."""
    return np.random.default_rng([seed, *np.frombuffer(hashlib.sha256(name.encode()).digest(), np.uint32).tolist()])


def _hash(values: np.ndarray, names: list[str]) -> np.ndarray:
    """Compute a number for each row of values (n_rows, n), which does not depend on the order of columns: int64."""
    wide = values.dtype.itemsize == np.dtype(np.int64).itemsize
    multipliers = np.array([generator_of(name, 0).integers(-(2**63), 2**63 - 1) | 1 for name in names], dtype=np.int64)
    hashes = np.empty(len(values), dtype=np.int64)
    step = max(1, VALUES_AT_ONCE // max(1, len(names)))
    for start in range(0, len(values), step):
        some = np.ascontiguousarray(values[start : start + step])
        words = some.view(np.int64 if wide else np.int32).astype(np.int64)
        hashes[start : start + step] = (words ^ (words >> 31)) @ multipliers
    return hashes
