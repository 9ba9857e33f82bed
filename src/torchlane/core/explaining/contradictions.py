"""Rows with equal features and different targets, which bound what any model of these features can reach."""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from torchlane.core.model.seen import number_rows


class Contradictions(NamedTuple):
    """Groups of rows with equal encoded features and different targets: their number, their rows, all rows compared.

    `at_most` is the R², or the accuracy, that no function of the encoded features can exceed on all these rows: that of
    the mean target, or the most frequent label, of each group.
    """

    groups: int
    rows: int
    of_rows: int
    at_most: float


def find_contradictions(features: Tensor, targets: np.ndarray, n_labels: int) -> Contradictions | None:
    """Compare encoded rows (n_rows, …) and their targets (n_rows,): numbers, or label indices if there are labels.

    The result is None if the targets do not differ at all, as those of no rows.
    """
    if not len(targets) or np.ptp(targets) == 0:
        return None
    group = number_rows(features)
    sizes = np.bincount(group)
    if n_labels:
        pairs, counts = np.unique(group * n_labels + targets, return_counts=True)
        most = np.zeros(len(sizes), dtype=np.int64)
        np.maximum.at(most, pairs // n_labels, counts)
        differ = np.bincount(pairs // n_labels, minlength=len(sizes)) > 1
        at_most = float(most.sum() / len(targets))
    else:
        first = np.unique(group, return_index=True)[1]
        differ = np.bincount(group, targets != targets[first[group]]) > 0
        around = targets - targets.mean()
        within = around - (np.bincount(group, around) / sizes)[group]
        at_most = 1 - float(within @ within) / float(around @ around)
    return Contradictions(int(differ.sum()), int(sizes[differ].sum()), len(targets), at_most)
