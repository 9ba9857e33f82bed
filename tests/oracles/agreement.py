"""What the oracles have in common: each comparison is counted, and the largest difference kept by name."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor


@dataclass
class Agreement:
    """How well one oracle is met so far."""

    comparisons: int = 0
    relative: float = 0.0  # largest difference over the expected value, where it was more than `absolute` allows
    absolute: float = 0.0  # largest difference


MET: dict[str, Agreement] = {}


def compare(name: str, got: Any, expected: Any, *, relative: float = 0.0, absolute: float = 0.0) -> None:
    """Compare numbers with those of the oracle `name`, element by element; NaN meets NaN, infinity itself.

    Both are numbers, arrays or tensors of one shape, compared in float64. Each difference may be as large as
    `absolute`, or as `relative` times the expected value.

    Raises:
        AssertionError: the shapes differ, or an element differs by more than that; the worst one is shown.
    """
    got, expected = _float64(got), _float64(expected)
    assert got.shape == expected.shape, f"{name}: shape {got.shape}, expected {expected.shape}"
    with np.errstate(all="ignore"):
        same = (got == expected) | (np.isnan(got) & np.isnan(expected))
        differences = np.where(same, 0.0, np.nan_to_num(np.abs(got - expected), nan=np.inf, posinf=np.inf))
        parts = np.where(differences > absolute, differences / np.abs(expected), 0.0)
    parts = np.nan_to_num(parts, nan=np.inf, posinf=np.inf)
    met = MET.setdefault(name, Agreement())
    met.comparisons += got.size
    met.relative = max(met.relative, float(parts.max(initial=0.0)))
    met.absolute = max(met.absolute, float(differences.max(initial=0.0)))
    if (parts > relative).any():
        worst = np.unravel_index(parts.argmax(), parts.shape)
        raise AssertionError(
            f"{name}: {got[worst]!r}, expected {expected[worst]!r} at {tuple(map(int, worst))} of {got.shape}: differs "
            f"by {differences[worst]:.3g}, {parts[worst]:.3g} of it; at most {absolute:g}, or {relative:g} of it, may be"
        )


def as_lists() -> list[list[Any]]:
    """Give what was met, in a form that one process can send to another."""
    return [[name, met.comparisons, met.relative, met.absolute] for name, met in MET.items()]


def take_in(lists: list[list[Any]]) -> None:
    """Add what another process met."""
    for name, comparisons, relative, absolute in lists:
        met = MET.setdefault(name, Agreement())
        met.comparisons += comparisons
        met.relative, met.absolute = max(met.relative, relative), max(met.absolute, absolute)


def lines() -> list[str]:
    """Say how often each oracle was asked and how far from it the numbers were."""
    return [
        f"oracle {name}: {met.comparisons:,} comparisons, largest relative difference {met.relative:.2g}, "
        f"absolute {met.absolute:.2g}"
        for name, met in sorted(MET.items())
    ]


def _float64(values: Any) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.asarray(values.detach().cpu().double() if isinstance(values, Tensor) else values, dtype="float64")
