"""How well scores rank rows of one class before the others: the points of curves, and the areas under them."""

import heapq
from dataclasses import dataclass

import numpy as np

MOST_POINTS = 200


@dataclass(frozen=True)
class Curve:
    """A curve and the area under it.

    `x`, `y` and `thresholds` are float64 (n_points,): a row counts as positive if its score is at least the threshold,
    and a threshold is infinite where none does.
    """

    x: np.ndarray
    y: np.ndarray
    thresholds: np.ndarray
    area: float


@dataclass(frozen=True)
class Counts:
    """The positives among the rows whose score is at least a threshold, each int64 (n_thresholds,), the highest first.

    `thresholds`, float64, are the distinct scores.
    """

    true_positives: np.ndarray
    false_positives: np.ndarray
    thresholds: np.ndarray

    @classmethod
    def of(cls, positive: np.ndarray, scores: np.ndarray) -> "Counts":
        """Count; `positive` is bool (n_rows,) and `scores` are float64 (n_rows,), with at least one row."""
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
        true_positives = np.cumsum(positive[order])[ends]
        return cls(true_positives, ends + 1 - true_positives, ranked[ends])


def roc_curve(positive: np.ndarray, scores: np.ndarray) -> Curve | None:
    """Compute the false-positive rate (x) against the recall (y), from (0, 0) to (1, 1); None if a rate is undefined.

    The area is that of all points, by trapezoids, as `roc_auc_score` of scikit-learn. At most 200 points are kept.
    """
    if positive.all() or not positive.any():
        return None
    counts = Counts.of(positive, scores)
    x = np.append(0, counts.false_positives) / counts.false_positives[-1]
    y = np.append(0, counts.true_positives) / counts.true_positives[-1]
    kept = thinned(x, y)
    area = float(np.trapezoid(y, x))
    return Curve(x[kept], y[kept], np.append(np.inf, counts.thresholds)[kept], area)


def precision_recall_curve(positive: np.ndarray, scores: np.ndarray) -> Curve | None:
    """Compute the recall (x) against the precision (y), the highest threshold first; None without a positive row.

    The area is the average precision, the sum of the precisions weighted by the steps of recall, as
    `average_precision_score` of scikit-learn. Between two points the curve runs at the precision of the second. At most
    200 points are kept.
    """
    if not positive.any():
        return None
    counts = Counts.of(positive, scores)
    x = counts.true_positives / counts.true_positives[-1]
    y = counts.true_positives / (counts.true_positives + counts.false_positives)
    area = float(np.sum(np.diff(x, prepend=0) * y))
    kept = thinned(x, y)
    return Curve(x[kept], y[kept], counts.thresholds[kept], area)


def thinned(x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> np.ndarray:
    """Choose at most `most` points of a line that keep its shape: their indices in order, int64.

    The ends are kept. Then the point that is farthest from the line drawn so far is added, until there are `most` or
    all lie on it (Douglas and Peucker, 1973).
    """
    points = np.stack([x, y], 1).astype(np.float64)
    kept, waiting = {0, len(points) - 1}, [_farthest(points, 0, len(points) - 1)]
    while waiting and len(kept) < most:
        distance, index, first, last = heapq.heappop(waiting)
        if -distance <= 1e-12:
            break
        kept.add(index)
        for ends in ((first, index), (index, last)):
            heapq.heappush(waiting, _farthest(points, *ends))
    return np.array(sorted(kept))


def _farthest(points: np.ndarray, first: int, last: int) -> tuple[float, int, int, int]:
    """Find the point between two that is farthest from the straight line through them; its distance is negative."""
    if last - first < 2:
        return 0.0, first, first, last
    chord = points[last] - points[first]
    aside = points[first + 1 : last] - points[first]
    length = np.hypot(*chord)
    if length > 0:
        distances = np.abs(aside[:, 0] * chord[1] - aside[:, 1] * chord[0]) / length
    else:
        distances = np.hypot(aside[:, 0], aside[:, 1])
    index = int(distances.argmax())
    return -float(distances[index]), first + 1 + index, first, last


@dataclass(frozen=True)
class Trade:
    """What each threshold on the probability of the positive label gives, all float64 (n_thresholds,).

    Thresholds rise. `precision` is NaN where no row is called positive, and `recall` where no row is positive. `cost`
    is the mean over rows.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    cost: np.ndarray

    @property
    def cheapest(self) -> int:
        """The place of the lowest cost; of equal ones the place whose threshold is nearest to 0.5."""
        lowest = np.flatnonzero(self.cost <= self.cost.min() * (1 + 1e-12))
        return int(lowest[np.abs(self.thresholds[lowest] - 0.5).argmin()])


def trade_off(positive: np.ndarray, scores: np.ndarray, costs: tuple[float, float]) -> Trade:
    """Judge thresholds from 0 to 1 in steps of 1 / 200, as rows are called positive from the threshold on.

    `positive` is bool (n_rows,), `scores` are probabilities (n_rows,), and `costs` are those of a false positive and
    a false negative.
    """
    thresholds = np.linspace(0, 1, MOST_POINTS + 1)
    high, low = np.sort(scores[positive]), np.sort(scores[~positive])
    found = len(high) - np.searchsorted(high, thresholds)
    alarms = len(low) - np.searchsorted(low, thresholds)
    with np.errstate(invalid="ignore"):
        precision, recall = found / (found + alarms), found / np.float64(len(high))
        f1 = 2 * found / (len(high) + found + alarms)
    cost = (costs[0] * alarms + costs[1] * (len(high) - found)) / len(scores)
    return Trade(thresholds, precision, recall, f1, cost)
