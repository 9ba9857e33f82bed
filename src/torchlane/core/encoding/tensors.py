"""Encoded rows as tensors."""

import hashlib

import pandas as pd
import torch
from torch.utils.data import TensorDataset

from torchlane.core.encoding.encoders import Encoder


def build_tensors(rows: pd.DataFrame, encoder: Encoder) -> TensorDataset:
    """Encode clean rows: features (n_rows, …), float32 or uint8 for images, and the encoder's targets."""
    features = encoder.encode_features(rows)
    targets = encoder.target.encode(rows[encoder.target.name])
    return TensorDataset(torch.from_numpy(features), torch.from_numpy(targets))


def fingerprint(tensors: TensorDataset) -> str:
    """Give the SHA-256 of shapes, dtypes and bytes of all tensors."""
    digest = hashlib.sha256()
    for tensor in tensors.tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.contiguous().numpy().data.cast("B") if tensor.numel() else b"")
    return digest.hexdigest()
