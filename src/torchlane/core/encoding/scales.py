"""Scaling of numbers, and the check that they fit float32."""

import numpy as np
import torch


def scale_of(values: np.ndarray, scaling: str) -> tuple[float, float]:
    """Compute the factor and offset of `value * factor + offset`, as scikit-learn's scalers define them."""
    if scaling == "none":
        return 1.0, 0.0
    limits = np.finfo(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        low, spread = (values.min(), np.ptp(values)) if scaling == "min_max" else (values.mean(), values.std())
        factor = 1.0 / spread if spread > max(10 * limits.eps * abs(low), limits.tiny) else 1.0
        return float(factor), float(-low * factor)


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
