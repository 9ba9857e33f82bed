"""Repeated rows: copies of a row, or coincidences.

A copy is a row that was entered twice; train and test must not share it. If only few combinations of values are
possible, rows repeat each other by chance. Such rows are independent observations. If they were kept together,
rows that repeat in test would be missing from train, and the score would be biased.

The near neighbours of a combination are those that differ from it in one column. They tell the two apart:

- Copying affects rows with and without near neighbours alike; chance affects those with many.
- If two columns are independent given the rest, chance adds n_j n_k / n_jk further rows to a combination. Here n_j
  rows differ from it only in column j, n_k only in k, and n_jk in both. (This is the capture-recapture estimate of
  Lincoln and Petersen.) Dependent columns coincide more often, so up to twice that number is attributed to chance.

So the rate of copies is the share of repeated combinations among those with the fewest near neighbours, minus what
chance explains there. Combinations are grouped by their number of near neighbours. If a group is repeated at least
twice as often as the rate of copies, its repeats are coincidences; so are combinations that occur six times or more.
Repeats without any near neighbour are always copies, since rows that differ otherwise do not coincide by chance.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd

ENOUGH = 30  # combinations that suffice to estimate a rate
MANY = 6  # occurrences that are hardly due to copying
DEPENDENCE = 2  # factor of coincidences that dependent columns may have over independent ones
COMPARED = 1_000_000  # values of numbers that are compared at once
FEWEST_PAIRS, MOST_LOOKS = 100, 1_000_000  # limits for pairs of columns; a look is a pair at a combination


def number_combinations(rows: pd.DataFrame) -> np.ndarray:
    """Number the distinct rows in order of appearance, so that equal rows share a number: int64 (n_rows,).

    Missing values count as equal. Rows are told apart by a hash, and those with the same one are compared.
    """
    hashes = np.zeros(len(rows), dtype=np.uint64)
    for values in _comparable(rows):
        for each in values:
            hashes = _mixed(hashes ^ each)
    codes, _ = pd.factorize(hashes)  # numbered in order of appearance
    first = np.unique(codes, return_index=True)[1][codes]
    repeats = np.flatnonzero(first != np.arange(len(rows)))
    both = rows.iloc[np.concatenate([repeats, first[repeats]])]
    if all((values[:, : len(repeats)] == values[:, len(repeats) :]).all() for values in _comparable(both)):
        return codes
    return rows.groupby(list(rows), dropna=False, sort=False).ngroup().to_numpy()


def number_copies(rows: pd.DataFrame, how: Literal["auto", "together", "apart"]) -> tuple[np.ndarray, dict[str, int]]:
    """Number the rows such that copies share a number: int64 (n_rows,). `how` is `split.repeats`.

    The second result has how many rows repeat others: as `copies`, and `by_chance`.
    """
    combination = number_combinations(rows)
    single = find_coincidences(rows, combination) if how == "auto" else np.full(len(rows), how == "apart")
    copies = pd.factorize(np.where(single, -1 - np.arange(len(rows)), combination))[0]
    n_repeats, n_copies = (len(rows) - len(np.unique(numbers)) for numbers in (combination, copies))
    return copies, {"copies": n_copies, "by_chance": n_repeats - n_copies}


def _comparable(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Give numbers that are equal where values are, for blocks of columns: uint64 (n_columns, n_rows)."""
    are_numbers = (rows.dtypes == np.float64).to_numpy()
    names = list(rows.columns[are_numbers])
    step = max(1, COMPARED // max(1, len(rows)))
    for start in range(0, len(names), step):
        numbers = rows[names[start : start + step]].to_numpy().T + 0.0  # so that zero has no sign
        numbers[np.isnan(numbers)] = np.nan  # and NaN one pattern of bits
        yield np.ascontiguousarray(numbers).view(np.uint64)
    for name in rows.columns[~are_numbers]:
        yield pd.factorize(rows[name], use_na_sentinel=False)[0].astype(np.uint64)[None]


def _mixed(values: np.ndarray) -> np.ndarray:
    """Mix the bits of uint64 (n,), as SplitMix64 does (Steele, Lea and Flood, 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def find_coincidences(rows: pd.DataFrame, combination: np.ndarray) -> np.ndarray:
    """Find the rows that repeat others by chance rather than as copies: bool (n_rows,).

    `combination` is the result of `number_combinations` for `rows`. All rows of a combination get the same answer.
    """
    _, first, times = np.unique(combination, return_index=True, return_counts=True)
    if len(first) == len(rows):
        return np.zeros(len(rows), dtype=bool)
    near, chance, both = _look_around(_hash_columns(rows.iloc[first]), times)
    repeated = times > 1
    n_fewest = min(len(near), max(len(near) // 5, ENOUGH))
    fewest = near <= np.sort(near)[n_fewest - 1]
    # The share of combinations with so few neighbours in a table of the same density everywhere, over the share here.
    dense = min(1.0, _poisson_at_most(int(near[fewest].max()), float(near.mean())) / fewest.mean())
    expected = dense * _ratio(chance, both) + (1 - dense) * _ratio(chance[fewest], both[fewest])
    copied = _rate_of_copies(repeated[fewest], expected)
    level = _levels(near, fewest)
    count = np.bincount(level)
    rate = np.bincount(level, weights=repeated) / count
    often = rate >= 2 * copied + 2 * np.sqrt(copied / count)
    return (repeated & (near > 0) & (often[level] | (times >= MANY)))[combination]


def _poisson_at_most(count: int, mean: float) -> float:
    """Compute the probability that a Poisson variable is at most `count`: importing scipy.special takes longer.

    >>> round(_poisson_at_most(1, 2.0), 6)  # 3 exp(-2)
    0.406006
    """
    logs = np.log(mean) - np.log(np.arange(1, count + 1)) if mean else np.full(count, -np.inf)
    return min(1.0, float(np.exp(np.cumsum([-mean, *logs])).sum()))


def _hash_columns(rows: pd.DataFrame) -> np.ndarray:
    """Draw a random number for each value of each column; sums identify combinations: uint64 (n_columns, n_rows)."""
    hashes = []
    for number, name in enumerate(rows):
        codes, levels = pd.factorize(rows[name], use_na_sentinel=False)
        drawn = np.random.default_rng([0, number]).integers(0, 2**64, len(levels), dtype=np.uint64)
        hashes.append(drawn[codes])
    return np.stack(hashes)


def _look_around(hashes: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute for each combination its near neighbours, and the sums of n_j n_k and of n_jk over pairs of columns."""
    whole = hashes.sum(0)
    near = np.zeros(len(times))
    alone = {}
    for number, column in enumerate(hashes):
        key = pd.factorize(whole - column)[0]
        near += np.bincount(key)[key] - 1
        differ = _total(key, times) - times
        if differ.any():
            alone[number] = differ
    chance, both = np.zeros(len(times)), np.zeros(len(times))
    for j, k in _some_pairs(list(alone), max(FEWEST_PAIRS, MOST_LOOKS // len(times))):
        key = pd.factorize(whole - hashes[j] - hashes[k])[0]
        chance += alone[j] * alone[k]
        both += _total(key, times) - times - alone[j] - alone[k]
    return near, chance, both


def _some_pairs(numbers: list[int], most: int) -> list[tuple[int, int]]:
    """Draw at most so many of the pairs of numbers, or give all in order, without a list of all pairs of many columns.

    >>> _some_pairs([1, 4, 6], 3)
    [(1, 4), (1, 6), (4, 6)]
    """
    after = np.arange(len(numbers) - 1, -1, -1)  # how many pairs each number is the first of
    starts = np.concatenate([[0], np.cumsum(after)])
    n_pairs = int(starts[-1])
    taken = np.arange(n_pairs) if n_pairs <= most else np.random.default_rng(0).choice(n_pairs, most, replace=False)
    first = np.searchsorted(starts, taken, side="right") - 1
    second = first + 1 + taken - starts[first]
    return [(numbers[j], numbers[k]) for j, k in zip(first, second, strict=True)]


def _total(key: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.bincount(key, weights=times)[key]


def _ratio(chance: np.ndarray, both: np.ndarray) -> float:
    return DEPENDENCE * float(chance.sum() / max(both.sum(), 1))


def _rate_of_copies(repeated: np.ndarray, expected: float) -> float:
    """Estimate the share of combinations repeated by copying, if chance adds `expected` rows to each.

    The standard error of the share repeated by chance is subtracted, too.
    """
    expected = min(expected, 700.0)  # a larger one would overflow exp
    by_chance = 1 - expected / np.expm1(expected) if expected > 0 else 0.0  # Poisson, given at least one occurrence
    excess = repeated.mean() - by_chance - np.sqrt(by_chance * (1 - by_chance) / len(repeated))
    return max(0.0, float(excess)) / max(1 - by_chance, 1e-9)


def _levels(near: np.ndarray, fewest: np.ndarray) -> np.ndarray:
    """Group combinations by their number of near neighbours, which doubles from level to level: int64.

    Level 0 has the fewest. Levels with fewer than `ENOUGH` combinations are merged with the next lower one.
    """
    level = np.where(fewest, 0, np.log2(near + 1).astype(np.int64) + 1)
    for top in range(level.max(), 0, -1):
        if 0 < (level == top).sum() < ENOUGH:
            level[level == top] = max(level[level < top])
    return np.unique(level, return_inverse=True)[1]
