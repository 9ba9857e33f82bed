"""Images as a raw source gives them, and as bytes of one size."""

import hashlib
from typing import Any

import numpy as np
import pandas as pd

Size = tuple[int, int, int]  # channels, height, width


def holds_images(values: pd.Series) -> bool:
    """Say whether a raw column holds images: an array or bytes in some row."""
    return values.dtype == object and any(isinstance(cell, (np.ndarray, bytes)) for cell in values)


def digest(values: pd.Series) -> bytes:
    """Give the SHA-256 of all images of a column; what is no image counts as text."""
    whole = hashlib.sha256()
    for cell in values:
        content = cell.tobytes() if isinstance(cell, np.ndarray) else cell
        whole.update(content if isinstance(content, bytes) else str(content).encode())
    return whole.digest()


def read_images(values: pd.Series, size: Size) -> tuple[pd.Series, np.ndarray]:
    """Give each image as bytes, a byte a pixel in the order of `size`, and where a cell is no such image.

    A cell is bytes already, or a uint8 array in the order of `size`, in that of image files (height,
    width, channels), or of one channel alone (height, width). Anything else, such as the text of an
    error where a file could not be read, fails.
    """
    read = [_bytes_of(cell, size) for cell in values]
    index = pd.RangeIndex(1, len(read) + 1)
    return pd.Series(read, index=index, dtype=object), np.array([cell is None for cell in read], dtype=bool)


def rule_of(size: Size) -> str:
    """Say what an image has to be."""
    return f"an image of {_shown(size)} pixels (channels, height, width), uint8"


def describe(cell: Any) -> str:
    """Write a cell of any column for people: pixels as their shape, missing as nothing."""
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
