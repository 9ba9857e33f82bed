"""Encoded rows as tensors, and their fingerprint."""

import hashlib

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from torchlane.core.encoding.encoder import Encoder


def build_tensors(rows: pd.DataFrame, encoder: Encoder) -> TensorDataset:
    """Encode clean rows: features (n_rows, …) as float32 (images as uint8), and targets as the loss takes them.

    If the encoder names a column of weights, a third tensor has them as they are, float64 (n_rows,).
    """
    features = encoder.encode_features(rows)
    targets = encoder.target.encode(rows[encoder.target.name])
    tensors = [torch.from_numpy(features), torch.from_numpy(targets)]
    if encoder.weight is not None:
        tensors.append(torch.from_numpy(rows[encoder.weight].to_numpy(np.float64, copy=True)))
    return TensorDataset(*tensors)


def join_rows(first: TensorDataset, second: TensorDataset) -> TensorDataset:
    """Give the encoded rows of two parts as one, in order."""
    return TensorDataset(*(torch.cat(pair) for pair in zip(first.tensors, second.tensors, strict=True)))


def weights_of(tensors: TensorDataset) -> Tensor | None:
    """Give the weights of encoded rows, float64 (n_rows,); None if all rows count the same."""
    return tensors.tensors[2] if len(tensors.tensors) > 2 else None


def with_relative_weights(tensors: TensorDataset, dtype: torch.dtype) -> TensorDataset:
    """Give encoded rows with their weights in units of the mean weight, in the dtype of a network."""
    weights = weights_of(tensors)
    if weights is None:
        return tensors
    return TensorDataset(*tensors.tensors[:2], relative(weights).to(dtype))


def relative(weights: Tensor) -> Tensor:
    """Give weights (n_rows,) in units of their mean.

    Raises:
        ValueError: there are rows, but all weights are 0.
    """
    if not len(weights):
        return weights
    if not (weights > 0).any():
        raise ValueError(f"all {len(weights)} rows have weight 0, so nothing counts; give some rows a weight above 0")
    weights = weights / weights.max()  # so that the mean is no number too large or too small
    return weights / weights.mean()


def fingerprint(tensors: TensorDataset) -> str:
    """Compute the SHA-256 of the shapes, dtypes and bytes of all tensors."""
    digest = hashlib.sha256()
    for tensor in tensors.tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.contiguous().numpy().data.cast("B") if tensor.numel() else b"")
    return digest.hexdigest()
