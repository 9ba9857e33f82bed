"""Scaling of numbers, and the check that they fit float32."""

import numpy as np
import torch


def scale_of(values: np.ndarray, scaling: str) -> tuple[np.ndarray, np.ndarray]:
    """Compute the factor and offset of `value * factor + offset`, as scikit-learn's scalers define them.

    The values of a column are along the last axis, which the results do not have.
    """
    if scaling == "none":
        return np.ones(values.shape[:-1]), np.zeros(values.shape[:-1])
    limits = np.finfo(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        low, spread = (
            (values.min(-1), np.ptp(values, -1)) if scaling == "min_max" else (values.mean(-1), values.std(-1))
        )
        varies = spread > np.maximum(10 * limits.eps * np.abs(low), limits.tiny)
        factor = np.where(varies, 1.0 / np.where(varies, spread, 1.0), 1.0)
        return factor, -low * factor


def apply_scale(values: np.ndarray, factor: float, offset: float) -> np.ndarray:
    """Compute `values * factor + offset`; what overflows becomes infinite or NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values * factor + offset


def to_float32(values: np.ndarray, name: str) -> np.ndarray:
    """Round to float32.

    Raises:
        ValueError: a value does not fit.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = values.astype(np.float32)
    require_finite(rounded, name)
    return rounded


def require_finite(values: np.ndarray | list[float], name: str) -> None:
    """Check that the numbers computed for column `name` are finite.

    Raises:
        ValueError: one is infinite or NaN.
    """
    if not np.isfinite(values).all():
        raise ValueError(
            f"'{name}' holds numbers too large or too far apart for float32; "
            f"set minimum and maximum in data.columns.{name}"
        )


def normal_scores(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Map values to the scores of a normal distribution, by their rank among equally spaced quantiles."""
    levels = np.linspace(0, 1, len(quantiles))
    # A repeated value spans several levels: take the middle of the lowest and the highest.
    lower = np.interp(values, quantiles, levels)
    upper = -np.interp(-values, -quantiles[::-1], -levels[::-1])
    share = torch.from_numpy(np.clip((lower + upper) / 2, 1e-7, 1 - 1e-7))
    return torch.special.ndtri(share).numpy()
