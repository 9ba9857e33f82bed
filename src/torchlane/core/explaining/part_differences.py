"""Whether a classifier can tell the rows of train from those of test."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.explaining.linear import LinearInputs, drawn_rows, fitted_logistic
from torchlane.core.model.seen import number_rows
from torchlane.core.tasks.metrics import roc_auc_score

FOLDS = 5
MOST_ROWS, MOST_VALUES = 4_000, 2_000_000  # of both parts together
PENALTY = 0.1  # C of the logistic regression
FEWEST = 20  # rows of each part that differ
RARE = 10  # other rows of train with its level that a row needs to keep its code


class Apart(NamedTuple):
    """How well the parts are told apart, by rows that the classifier was not fitted to.

    `error` is the standard error of the AUC if the parts do not differ.
    """

    auc: float
    error: float
    rows: int


def tell_apart(train: Tensor, test: Tensor, encoder: Encoder, seed: int) -> Apart | None:
    """Tell encoded rows of train (n_rows, …) from those of test; None if a part has fewer than 20 distinct rows.

    A logistic regression is fitted to four fifths of the rows and tells the rest apart, in turns. Equal rows share a
    fold, because copies stay in one part and would give it away. Rare levels share a code, since only rows of train
    are sure to have levels of train. The standard error is that of the Mann-Whitney statistic of samples from one
    distribution.
    """
    inputs = LinearInputs.of(torch.cat([train[:MOST_ROWS], test[:MOST_ROWS]]), encoder)
    most = min(MOST_ROWS, MOST_VALUES // inputs.values_a_row) // 2
    parts = [each[torch.from_numpy(drawn_rows(each, None, most, seed))] for each in (train, test)]
    labels = np.repeat([0, 1], [len(part) for part in parts])
    if min(map(len, parts)) < FEWEST:
        return None
    both = torch.cat(
        [_with_rare_levels_joined(part, encoder, in_train) for part, in_train in zip(parts, (1, 0), strict=True)]
    )
    combination = number_rows(both)
    if min(len(np.unique(combination[labels == part])) for part in (0, 1)) < FEWEST:
        return None
    rows: Any = inputs(both)
    balance = (0.5 / np.bincount(labels))[labels] * len(labels)
    fold = np.random.default_rng(seed).integers(0, FOLDS, len(labels))[combination]
    aucs, variances = [], []
    for held_out in (fold == number for number in range(FOLDS)):  # scores of different fits are not compared
        n_train, n_test = np.bincount(labels[held_out], minlength=2)
        if n_train and n_test:
            tell = fitted_logistic(rows[~held_out], labels[~held_out], PENALTY, balance[~held_out], 2)
            probabilities = torch.from_numpy(tell(rows[held_out]))
            aucs.append(float(roc_auc_score(probabilities[None], torch.from_numpy(labels[held_out])[None])))
            variances.append((n_train + n_test + 1) / (12 * n_train * n_test))
    return Apart(float(np.mean(aucs)), math.sqrt(sum(variances)) / len(aucs), len(labels)) if aucs else None


def _with_rare_levels_joined(rows: Tensor, encoder: Encoder, in_train: int) -> Tensor:
    """Give the code of unseen levels to all levels that fewer than 10 other rows of train have.

    `in_train` is 1 for rows of train, which count among the rows of their own levels, and 0 for others. What is left
    then has the same distribution in both parts if their rows have.
    """
    rows, start = rows.clone(), 0
    for column in encoder.tabular:
        if isinstance(column, CategoryEncoder) and column.encoding != "ordinal":
            codes = rows[:, start].long()
            others = torch.tensor(column.counts)[codes] - in_train
            rows[(others < RARE) & (codes != column.unseen + 1), start] = column.unseen
        start += column.width
    return rows
