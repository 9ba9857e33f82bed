"""Options whose best value lies at an edge of the space that was searched."""

import math
from typing import Any

import numpy as np
import pandas as pd

from torchlane.core.options import ChoicesOptions, DataOptions, Recipe, TuningOptions
from torchlane.core.search.chosen import Chosen
from torchlane.core.search.fingerprints import space_fingerprint
from torchlane.core.search.space import Space, default_space, is_fixed

OUTER = 0.1  # share of a range, at either end, that counts as its edge
FEWEST_TRIALS = 8
CHANCE = 0.01  # of a correlation between an option and the rank of a trial where there is none

Edges = dict[str, dict[str, Any]]


def edges_of(
    chosen: Chosen, leaderboard: pd.DataFrame, recipe: Recipe, options: TuningOptions, data: DataOptions
) -> Edges | str:
    """Find the options that a search chose at the edge of their range, where trials were better towards that edge.

    `recipe` is the one before the search. Ranges are looked at, and choices between at least three numbers. The best
    value has to lie in the outer tenth of the range, or be the smallest or largest choice. In addition, the rank of the
    trials must correlate with the option (Spearman), so that the edge of an option without effect is not blamed. The
    result has the value, both ends and the side for each such option. It is a text if nothing could be looked at.
    """
    if not chosen.get("trials"):
        return "no search"
    if chosen.get("space_fingerprint") != space_fingerprint(options.space):
        return "tuning.space has changed since the search"
    tried = leaderboard[leaderboard["state"].isin(["complete", "pruned"])] if "state" in leaderboard else leaderboard
    if len(tried) < FEWEST_TRIALS:
        return f"fewer than {FEWEST_TRIALS} trials"
    space: Space = options.space or default_space(recipe, data)
    found: Edges = {}
    for name, dimension in space.items():
        value = chosen["values"].get(name)
        if is_fixed(name, options.fixed) or not _is_number(value) or name not in tried:
            continue
        low, high, is_log = _range(dimension)
        if low is None or not low <= value <= high:
            continue
        side = _side(value, low, high, is_log, 0.0 if isinstance(dimension, ChoicesOptions) else OUTER)
        if side and _is_better_towards(tried[name], side):
            found[name] = {"value": value, "low": low, "high": high, "side": "high" if side > 0 else "low"}
    return found


def _range(dimension: Any) -> tuple[Any, Any, bool]:
    """Give the ends of a range, or of at least three numbers to choose from, and whether it is logarithmic."""
    if not isinstance(dimension, ChoicesOptions):
        return dimension.low, dimension.high, dimension.log
    if len(dimension.choices) < 3 or not all(map(_is_number, dimension.choices)):
        return None, None, False
    return min(dimension.choices), max(dimension.choices), False


def _side(value: float, low: float, high: float, is_log: bool, outer: float) -> int:
    """Say at which end of a range a value lies: -1, 1, or 0 for neither.

    >>> _side(0.09, 0.001, 0.1, True, 0.1), _side(0.09, 0.0, 1.0, False, 0.1), _side(2, 1, 4, False, 0.0)
    (1, -1, 0)
    """
    first, last, own = (math.log(each) if is_log else each for each in (low, high, value))
    place = (own - first) / (last - first)
    return 1 if place >= 1 - outer else -1 if place <= outer else 0


def _is_better_towards(values: pd.Series, side: int) -> bool:
    """Whether trials, listed best first, are significantly better towards a side, also without the best one."""
    from scipy.stats import spearmanr

    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)[1:]
    known = ~np.isnan(numbers)
    if known.sum() < FEWEST_TRIALS - 1 or np.ptp(numbers[known]) == 0:
        return False
    result: Any = spearmanr(numbers[known], -np.flatnonzero(known))
    return bool(result.statistic * side > 0 and result.pvalue < CHANCE)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
