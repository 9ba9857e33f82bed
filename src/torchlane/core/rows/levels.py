"""The order of levels, and the original types of labels."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

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


def restore_labels(
    labels: Iterable[str], among: Iterable[str], written: Mapping[str, str] = MappingProxyType({})
) -> np.ndarray:
    """Restore the type of labels in the file: bool, int64 or float64 if all labels in `among` have it, otherwise text.

    `written` has the spelling in the file of labels that are spelt otherwise here. A number that a float would not
    spell so stays text, as 1.50.

    >>> restore_labels(["3", "1"], among=["1", "2", "3"]).tolist(), restore_labels(["007"], among=["007", "8"]).tolist()
    ([3, 1], ['007'])
    >>> restore_labels(["2"], among=["1", "2"], written={"1": "1.0", "2": "2.0"}).tolist()
    [2.0]
    """
    texts, known = list(labels), set(among)
    if known <= {"False", "True"}:
        return np.array([text == "True" for text in texts], dtype=bool)
    if all(re.fullmatch(r"0|-?[1-9]\d{0,17}", label) for label in known):
        if not known & set(written):
            return np.array(texts, dtype=object).astype(np.int64)
    texts, known = [written.get(text, text) for text in texts], {written.get(label, label) for label in known}
    if all(re.fullmatch(r"-?[0-9]+\.[0-9]+", label) and str(float(label)) == label for label in known):
        return np.array(texts, dtype=object).astype(np.float64)
    return np.array(texts, dtype=object)
