"""What the oracles compare, counted: how many numbers, and how far apart at most."""

from typing import Any

import numpy as np
from torch import Tensor

COMPARED: dict[str, tuple[int, float]] = {}  # by name: the numbers compared, and the largest difference


def compare(name: str, got: Any, expected: Any, *, relative: float = 0.0, absolute: float = 0.0) -> None:
    """Assert that numbers agree, count them, and remember the largest difference."""
    ours, theirs = _array(got), _array(expected)
    np.testing.assert_allclose(ours, theirs, rtol=relative, atol=absolute, err_msg=name)
    count, largest = COMPARED.get(name, (0, 0.0))
    difference = np.abs(ours - theirs)
    COMPARED[name] = count + difference.size, max(largest, float(difference.max(initial=0.0)))


def _array(values: Any) -> np.ndarray:
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
