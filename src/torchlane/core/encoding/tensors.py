"""Encoded rows as tensors, and their fingerprint."""

import hashlib

import pandas as pd
import torch
from torch.utils.data import TensorDataset

from torchlane.core.encoding.encoder import Encoder


def build_tensors(rows: pd.DataFrame, encoder: Encoder) -> TensorDataset:
    """Encode clean rows: features (n_rows, …) as float32 (images as uint8), and targets as the loss takes them."""
    features = encoder.encode_features(rows)
    targets = encoder.target.encode(rows[encoder.target.name])
    return TensorDataset(torch.from_numpy(features), torch.from_numpy(targets))


def fingerprint(tensors: TensorDataset) -> str:
    """Compute the SHA-256 of the shapes, dtypes and bytes of all tensors."""
    digest = hashlib.sha256()
    for tensor in tensors.tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.contiguous().numpy().data.cast("B") if tensor.numel() else b"")
    return digest.hexdigest()
