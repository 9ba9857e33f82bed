"""Images as a raw source gives them, converted to bytes of one size."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

Size = tuple[int, int, int]  # channels, height, width


def holds_images(values: pd.Series) -> bool:
    """Whether a raw column holds images: some cell is an array or bytes."""
    return values.dtype == object and any(isinstance(cell, (np.ndarray, bytes)) for cell in values)


def digest(values: pd.Series) -> bytes:
    """Compute the SHA-256 of all images of a column; other cells count as text."""
    whole = hashlib.sha256()
    for cell in values:
        content = cell.tobytes() if isinstance(cell, np.ndarray) else cell
        whole.update(content if isinstance(content, bytes) else str(content).encode())
    return whole.digest()


def read_images(values: pd.Series, size: Size) -> tuple[pd.Series, np.ndarray]:
    """Convert images to bytes, one per pixel value in the order of `size`, and mark the cells that fail.

    A cell may be bytes, or a uint8 array in the order of `size`, in the order of image files (height, width,
    channels), or with a single channel (height, width). Anything else fails, such as the error message of a
    file that could not be read.
    """
    read = [_bytes_of(cell, size) for cell in values]
    index = pd.RangeIndex(1, len(read) + 1)
    return pd.Series(read, index=index, dtype=object), np.array([cell is None for cell in read], dtype=bool)


def rule_of(size: Size) -> str:
    """Name the rule for images of a size."""
    return f"an image of {_shown(size)} pixels (channels, height, width), uint8"


def describe(cell: Any) -> str:
    """Format a cell for a message: an image by its shape, a missing value as the empty string."""
    if isinstance(cell, np.ndarray):
        return f"{_shown(cell.shape)}, {cell.dtype}"
    if isinstance(cell, bytes):
        return f"{len(cell)} bytes"
    return "" if pd.isna(cell) else str(cell)


def _bytes_of(cell: Any, size: Size) -> bytes | None:
    if isinstance(cell, bytes):
        return cell if len(cell) == size[0] * size[1] * size[2] else None
    if not isinstance(cell, np.ndarray) or cell.dtype != np.uint8:
        return None
    if cell.shape == size or (size[0] == 1 and cell.shape == size[1:]):
        return cell.tobytes()
    if cell.shape == (*size[1:], size[0]):
        return cell.transpose(2, 0, 1).tobytes()
    return None


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
