"""Shares of rows, with what chance leaves open, and bins of numbers."""

from dataclasses import dataclass

import numpy as np

Z_95 = 1.959963984540054  # the normal quantile of 97.5 %


def share_interval(hits: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the ends of the 95 % interval of a share by Wilson (1927), float64 (n,) each; NaN without rows.

    >>> [end.round(3).tolist() for end in share_interval(np.array([0, 9]), np.array([10, 10]))]
    [[0.0, 0.596], [0.278, 0.982]]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        share, squared = hits / rows, Z_95**2 / rows
        centre = (share + squared / 2) / (1 + squared)
        half = Z_95 * np.sqrt(share * (1 - share) / rows + squared / (4 * rows)) / (1 + squared)
    return np.maximum(centre - half, 0), np.minimum(centre + half, 1)


def bins_of(values: np.ndarray, most: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Sort numbers into at most `most` bins of about equally many, of which equal numbers share one.

    Returns:
        The bin of each number from 0 on, int64 (n,), and the ends of the bins, float64 (n_bins + 1,). A bin holds its
        lower end, and the last one its upper end too. Without numbers there is no bin.
    """
    if not len(values):
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    ranked = np.sort(values)
    starts = np.unique(ranked[np.arange(most) * len(values) // most])  # the first is the smallest number
    return np.searchsorted(starts, values, side="right") - 1, np.append(starts, ranked[-1])


@dataclass(frozen=True)
class Reliability:
    """How often what is predicted with a probability is so, in bins of equal width; all (n_bins,).

    `stated` is the mean probability and `seen` the share of rows, both NaN in an empty bin. `hits` and `rows` are
    counts. `error` is the expected calibration error: the mean distance of the two over rows (Naeini et al., 2015).
    """

    stated: np.ndarray
    seen: np.ndarray
    hits: np.ndarray
    rows: np.ndarray
    error: float

    @classmethod
    def of(cls, probabilities: np.ndarray, happened: np.ndarray, n_bins: int = 10) -> "Reliability":
        """Count; `probabilities` are float64 (n_rows,) in 0 … 1 and `happened` is bool (n_rows,)."""
        place = np.minimum((probabilities * n_bins).astype(np.int64), n_bins - 1)
        rows, hits = (np.bincount(place, each, n_bins) for each in (np.ones(len(place)), happened))
        sums = np.bincount(place, probabilities, n_bins)
        with np.errstate(invalid="ignore"):
            stated, seen = sums / rows, hits / rows
        error = float(np.abs(sums - hits).sum() / len(place))
        return cls(stated, seen, hits, rows, error)
