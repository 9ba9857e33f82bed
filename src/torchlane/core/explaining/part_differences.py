"""Whether a classifier can tell the rows of train from those of test."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchlane.core.encoding.encoder import Encoder
from torchlane.core.explaining.linear import LinearInputs, drawn_rows, fitted_logistic
from torchlane.core.model.seen import number_rows
from torchlane.core.tasks.metrics import roc_auc_score

FOLDS = 5
MOST_ROWS, MOST_VALUES = 4_000, 2_000_000  # of both parts together
PENALTY = 0.1  # C of the logistic regression
FEWEST = 20  # rows of each part that differ


class Apart(NamedTuple):
    """How well the parts are told apart, by rows that the classifier was not fitted to.

    `error` is the standard error of the AUC if the parts do not differ.
    """

    auc: float
    error: float
    rows: int


def tell_apart(train: Tensor, test: Tensor, encoder: Encoder, seed: int) -> Apart | None:
    """Tell encoded rows of train (n_rows, …) from those of test; None if fewer than 20 rows of a part differ.

    Equal rows of a part count once, because copies stay in one part and would give it away. A logistic regression is
    fitted to four fifths of the rows and tells the rest apart, in turns. The standard error is that of the
    Mann-Whitney statistic of samples from one distribution.
    """
    inputs = LinearInputs.of(torch.cat([train[:MOST_ROWS], test[:MOST_ROWS]]), encoder)
    most = min(MOST_ROWS, MOST_VALUES // inputs.values_a_row) // 2
    parts = [_some_distinct(features, most, seed + place) for place, features in enumerate((train, test))]
    if min(map(len, parts)) < FEWEST:
        return None
    labels = np.repeat([0, 1], [len(part) for part in parts])
    rows: Any = inputs(torch.cat(parts))
    balance = np.array([0.5 / len(part) for part in parts])[labels] * len(labels)
    fold = np.concatenate([np.arange(len(part)) % FOLDS for part in parts])
    values = np.empty(len(labels))
    for number in range(FOLDS):
        own = fold == number
        values[own] = fitted_logistic(rows[~own], labels[~own], PENALTY, balance[~own], 2)(rows[own])[:, 1]
    aucs, variances = [], []
    for number in range(FOLDS):  # scores of different fits are not compared
        own = fold == number
        probabilities = torch.from_numpy(np.stack([1 - values[own], values[own]], axis=1))
        aucs.append(float(roc_auc_score(probabilities[None], torch.from_numpy(labels[own])[None])))
        n_train, n_test = np.bincount(labels[own], minlength=2)
        variances.append((n_train + n_test + 1) / (12 * n_train * n_test))
    return Apart(float(np.mean(aucs)), math.sqrt(sum(variances)) / FOLDS, len(labels))


def _some_distinct(features: Tensor, most: int, seed: int) -> Tensor:
    """Draw rows, at most so many, and keep the first of equal ones, in random order."""
    drawn = features[torch.from_numpy(drawn_rows(features, None, most, seed))]
    return drawn[torch.from_numpy(np.sort(np.unique(number_rows(drawn), return_index=True)[1]))]
