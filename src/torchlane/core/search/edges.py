"""Options whose best value lies at an edge of the space that was searched."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from torchlane.core.options import ChoicesOptions, Dimension
from torchlane.core.options.recipe import Values
from torchlane.core.search.space import Space

OUTER = 0.1  # share of a range, at either end, that counts as its edge
FEWEST_TRIALS = 8
FEWEST_CHOICES = 3
CHANCE = 0.01  # of a correlation between an option and the rank of a trial where there is none

Edges = dict[str, dict[str, Any]]


def edges_of(space: Space, trials: Sequence[Values]) -> Edges | None:
    """Find the options whose best value lies at the edge of their range, if trials were better towards that edge.

    `trials` are the values of the options, the best trial first. Ranges are looked at, and choices between at least
    three numbers. The best value has to lie in the outer tenth of the range, or be the smallest or largest choice. In
    addition, the rank of the other trials must correlate with the option (Spearman), so that the edge of an option
    without effect is not blamed. The result has the value, both ends and the side for each such option. It is None for
    fewer than 8 trials.
    """
    if len(trials) < FEWEST_TRIALS:
        return None
    found: Edges = {}
    for name, dimension in space.items():
        ends = _ends(dimension)
        values: list[Any] = [trial.get(name) for trial in trials]
        numbers = np.array([float(value) if _is_number(value) else np.nan for value in values])
        if ends is None or not ends[0] <= numbers[0] <= ends[1]:
            continue
        is_log, outer = (False, 0.0) if isinstance(dimension, ChoicesOptions) else (dimension.log, OUTER)
        side = _side(numbers[0], *ends, is_log, outer)
        if side and _is_better_towards(numbers[1:], side):
            found[name] = {"value": values[0], "low": ends[0], "high": ends[1], "side": "high" if side > 0 else "low"}
    return found


def _ends(dimension: Dimension) -> tuple[float, float] | None:
    """Give the ends of a range, or of enough numbers to choose from."""
    if not isinstance(dimension, ChoicesOptions):
        return dimension.low, dimension.high
    if len(dimension.choices) < FEWEST_CHOICES or not all(map(_is_number, dimension.choices)):
        return None
    return min(dimension.choices), max(dimension.choices)


def _side(value: float, low: float, high: float, is_log: bool, outer: float) -> int:
    """Say at which end of a range a value lies: -1, 1, or 0 for neither.

    >>> _side(0.09, 0.001, 0.1, True, 0.1), _side(0.09, 0.0, 1.0, False, 0.1), _side(2, 1, 4, False, 0.0)
    (1, -1, 0)
    """
    first, last, own = (math.log(each) if is_log else each for each in (low, high, value))
    place = (own - first) / (last - first)
    return 1 if place >= 1 - outer else -1 if place <= outer else 0


def _is_better_towards(numbers: np.ndarray, side: int) -> bool:
    """Whether trials, listed best first, are significantly better towards a side of an option (n_trials,)."""
    from scipy.stats import spearmanr

    known = ~np.isnan(numbers)
    if known.sum() < FEWEST_TRIALS - 1 or np.ptp(numbers[known]) == 0:
        return False
    result: Any = spearmanr(numbers[known], -np.flatnonzero(known))
    return bool(result.statistic * side > 0 and result.pvalue < CHANCE)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
