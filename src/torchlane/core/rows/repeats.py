"""Rows that repeat each other: copies of one row, or observations that coincide.

A copy is a row that was entered twice; train and test must not share it. Where few combinations of values
are possible, rows repeat each other by chance. Those are observations in their own right, and keeping them
together with their target would turn test against train.

The near neighbours of a combination are those that differ from it in one column. They tell the two apart:

- Copying meets a row whether it has near neighbours or not, chance meets those that have many.
- Where two columns agree independently of each other given the rest, chance brings about n_j n_k / n_jk more rows
  of a combination. n_j rows differ from it in column j alone, n_k in k alone, n_jk in both. (This is the estimate of
  Lincoln and Petersen for animals that are caught twice.) Columns that go together coincide more often: twice that
  is still put down to chance.

So the rate of copies is that of the repeated among the combinations with the fewest near neighbours, less what
chance explains there. Combinations that are repeated at least twice as often as that, together with those that have
about as many near neighbours, are coincidences. So are those met six times or more. Without a near neighbour they
are copies all the same: rows that otherwise differ do not meet by chance.
"""

from itertools import combinations

import numpy as np
import pandas as pd

ENOUGH = 30  # combinations for a rate
MANY = 6  # times that a row is hardly entered
DEPENDENCE = 2  # times as many rows as independent columns have may coincide where columns go together
FEWEST_PAIRS, MOST_LOOKS = 100, 1_000_000  # at combinations, for pairs of columns


def number_combinations(rows: pd.DataFrame) -> np.ndarray:
    """Number the rows such that equal ones share a number, in the order in which they come: int64 (n_rows,).

    Missing values count as equal.
    """
    return rows.groupby(list(rows), dropna=False, sort=False).ngroup().to_numpy()


def find_coincidences(rows: pd.DataFrame, combination: np.ndarray) -> np.ndarray:
    """Say which rows repeat others by chance rather than as copies: bool (n_rows,).

    `combination` is what `number_combinations` gives for `rows`. All rows of a combination get the same answer.
    """
    from scipy.special import pdtr

    _, first, times = np.unique(combination, return_index=True, return_counts=True)
    if len(first) == len(rows):
        return np.zeros(len(rows), dtype=bool)
    near, chance, both = _look_around(_hash_columns(rows.iloc[first]), times)
    repeated = times > 1
    n_fewest = min(len(near), max(len(near) // 5, ENOUGH))
    fewest = near <= np.sort(near)[n_fewest - 1]
    # Of a table that is as dense everywhere, so many would have so few neighbours; the others have them for a reason.
    dense = min(1.0, float(pdtr(near[fewest].max(), near.mean())) / fewest.mean())
    expected = dense * _ratio(chance, both) + (1 - dense) * _ratio(chance[fewest], both[fewest])
    copied = _rate_of_copies(repeated[fewest], expected)
    level = _levels(near, fewest)
    count = np.bincount(level)
    rate = np.bincount(level, weights=repeated) / count
    often = rate >= 2 * copied + 2 * np.sqrt(copied / count)
    return (repeated & (near > 0) & (often[level] | (times >= MANY)))[combination]


def _hash_columns(rows: pd.DataFrame) -> np.ndarray:
    """Draw a number for each value of each column, so that sums stand for combinations: uint64 (n_columns, n_rows)."""
    hashes = []
    for number, name in enumerate(rows):
        codes, levels = pd.factorize(rows[name], use_na_sentinel=False)
        drawn = np.random.default_rng([0, number]).integers(0, 2**64, len(levels), dtype=np.uint64)
        hashes.append(drawn[codes])
    return np.stack(hashes)


def _look_around(hashes: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count around each combination: near neighbours, and sums of n_j n_k and of n_jk over pairs of columns."""
    whole = hashes.sum(0)
    near = np.zeros(len(times))
    alone = {}
    for number, column in enumerate(hashes):
        key = pd.factorize(whole - column)[0]
        near += np.bincount(key)[key] - 1
        differ = _total(key, times) - times
        if differ.any():
            alone[number] = differ
    pairs = list(combinations(alone, 2))
    most = max(FEWEST_PAIRS, MOST_LOOKS // len(times))
    if len(pairs) > most:
        pairs = [pairs[each] for each in np.random.default_rng(0).choice(len(pairs), most, replace=False)]
    chance, both = np.zeros(len(times)), np.zeros(len(times))
    for j, k in pairs:
        key = pd.factorize(whole - hashes[j] - hashes[k])[0]
        chance += alone[j] * alone[k]
        both += _total(key, times) - times - alone[j] - alone[k]
    return near, chance, both


def _total(key: np.ndarray, times: np.ndarray) -> np.ndarray:
    return np.bincount(key, weights=times)[key]


def _ratio(chance: np.ndarray, both: np.ndarray) -> float:
    return DEPENDENCE * float(chance.sum() / max(both.sum(), 1))


def _rate_of_copies(repeated: np.ndarray, expected: float) -> float:
    """Give the share of combinations that copying repeats, where chance brings about `expected` more rows of each.

    Chance is allowed its standard error.
    """
    expected = min(expected, 700.0)  # exp of more is infinite
    by_chance = 1 - expected / np.expm1(expected) if expected > 0 else 0.0  # of Poisson, for those met at all
    excess = repeated.mean() - by_chance - np.sqrt(by_chance * (1 - by_chance) / len(repeated))
    return max(0.0, float(excess)) / max(1 - by_chance, 1e-9)


def _levels(near: np.ndarray, fewest: np.ndarray) -> np.ndarray:
    """Put together combinations with about as many near neighbours, at least `ENOUGH` of them where there are: int64.

    0 are those with the fewest; after them the number doubles from one to the next.
    """
    level = np.where(fewest, 0, np.log2(near + 1).astype(np.int64) + 1)
    for top in range(level.max(), 0, -1):
        if 0 < (level == top).sum() < ENOUGH:
            level[level == top] = max(level[level < top])
    return np.unique(level, return_inverse=True)[1]
