"""The order of levels, and the original types of labels."""

import re
from collections.abc import Iterable, Sequence

import numpy as np


def natural_order(levels: Iterable[str]) -> tuple[str, ...]:
    """Order levels by value if all are numbers, otherwise alphabetically.

    >>> natural_order(["100", "50", "0"]), natural_order(["MI", "EN"])
    (('0', '50', '100'), ('EN', 'MI'))
    """
    alphabetical = sorted(levels)
    try:
        values = [float(level) for level in alphabetical]
    except ValueError:
        return tuple(alphabetical)
    if not np.isfinite(values).all():
        return tuple(alphabetical)
    return tuple(level for _, level in sorted(zip(values, alphabetical, strict=True)))


def declared_order(levels: Iterable[str], declared: Sequence[str]) -> tuple[str, ...]:
    """Order levels as they are declared, and behind them the others, in natural order.

    >>> declared_order(["high", "low", "x"], ["low", "medium", "high"]), declared_order(["100", "50"], [])
    (('low', 'high', 'x'), ('50', '100'))
    """
    known = set(levels)
    first = tuple(level for level in declared if level in known)
    return (*first, *natural_order(known.difference(first)))


def restore_labels(labels: Iterable[str], among: Iterable[str]) -> np.ndarray:
    """Restore the type of labels in the file: bool or int64 if all labels in `among` have it, otherwise text.

    >>> restore_labels(["3", "1"], among=["1", "2", "3"]).tolist(), restore_labels(["007"], among=["007", "8"]).tolist()
    ([3, 1], ['007'])
    """
    texts, known = list(labels), set(among)
    if known <= {"False", "True"}:
        return np.array([text == "True" for text in texts], dtype=bool)
    if all(re.fullmatch(r"0|-?[1-9]\d{0,17}", label) for label in known):
        return np.array(texts, dtype=object).astype(np.int64)
    return np.array(texts, dtype=object)
