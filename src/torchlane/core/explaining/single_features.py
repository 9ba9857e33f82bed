"""How much each column tells of the target by itself."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from torch import Tensor

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.explaining.linear import drawn_rows

FOLDS = 5
BINS = (8, 64)  # of numbers, with about as many rows each; the better one counts
MOST_VALUES, FEWEST_ROWS = 4_000_000, 1_000  # of train that are looked at
PRIOR = 0.25  # rows of the overall mean that a bin has beside its own; more would hide leaks in few rows

Signals = dict[str, float]


def signals_of(train: tuple[Tensor, Tensor], encoder: Encoder, weights: Tensor | None, seed: int) -> Signals:
    """Score, for each column of a table, the best prediction of the target from that column alone.

    `train` are encoded features (n_rows, n_columns) and encoded targets. The prediction for a level, or for a bin of a
    number, is the mean target of its rows in the four fifths of the rows that the judged one is not in. The score
    is the share of the squared error of the overall mean that this saves: 1 if the column gives the target exactly, 0
    or less if it tells nothing. For numbers it is that of the values or of their ranks, whichever is higher. For labels
    it is that of the indicators of the labels (of their Brier score), or the share of the errors of the most frequent
    label that are saved. Weights only say which rows count at all.
    """
    features, targets = train
    most = max(FEWEST_ROWS, MOST_VALUES // max(1, features.shape[1]))
    rows = drawn_rows(features, weights, most, seed)
    fold = np.arange(len(rows)) % FOLDS  # the rows are in random order
    if encoder.target.labels:
        columns = np.eye(len(encoder.target.labels))[targets.flatten().long().numpy()[rows]]
        versions = [columns]
    else:
        values = targets.flatten().double().numpy()[rows]
        versions = [values[:, None], pd.Series(values).rank().to_numpy()[:, None]]
    found: Signals = {}
    start = 0
    for column in encoder.tabular:
        own = features[:, start : start + column.width].numpy()[rows]
        start += column.width
        found[column.name] = max(
            _score(codes, fold, version, bool(encoder.target.labels))
            for codes in _codes(own, isinstance(column, CategoryEncoder))
            for version in versions
        )
    return found


def constant_columns(features: Tensor, encoder: Encoder) -> list[str]:
    """Name the columns that are the same in every encoded row (n_rows, n_columns)."""
    same = (features == features[:1]).all(0).numpy()
    starts = np.cumsum([0, *(column.width for column in encoder.tabular)])
    return [
        column.name
        for column, start in zip(encoder.tabular, starts, strict=False)
        if same[start : start + column.width].all()
    ]


def _codes(columns: np.ndarray, is_category: bool) -> Iterator[np.ndarray]:
    """Number the levels or bins of each encoded column (n_rows, n_columns): int64 (n_rows,)."""
    for values in columns.T:
        if is_category:
            yield values.astype(np.int64)
            continue
        ordered = np.sort(values)
        for n_bins in BINS:
            edges = np.unique(ordered[np.arange(1, n_bins) * len(values) // n_bins])
            yield np.searchsorted(edges, values, side="right")


def _score(codes: np.ndarray, fold: np.ndarray, targets: np.ndarray, are_labels: bool) -> float:
    """Score predictions by the means of codes (n_rows,) in other folds, for targets (n_rows, n_targets)."""
    codes = pd.factorize(codes)[0]
    n_codes = int(codes.max(initial=0)) + 1
    cell = codes * FOLDS + fold
    shape = (n_codes, FOLDS, targets.shape[1])
    counts = np.bincount(cell, minlength=n_codes * FOLDS).reshape(n_codes, FOLDS, 1)
    sums = np.stack([np.bincount(cell, each, n_codes * FOLDS) for each in targets.T], axis=-1).reshape(shape)
    other_counts = counts.sum(1, keepdims=True) - counts
    other_sums = sums.sum(1, keepdims=True) - sums
    overall = other_sums.sum(0) / np.maximum(other_counts.sum(0), 1)  # (folds, n_targets)
    predicted = (other_sums + PRIOR * overall) / (other_counts + PRIOR)
    squares = float((targets**2).sum())
    error = squares - 2 * float((sums * predicted).sum()) + float((counts * predicted**2).sum())
    of_constant = squares - 2 * float((sums * overall).sum()) + float((counts * overall**2).sum())
    score = 1 - error / of_constant if of_constant > 0 else 0.0
    if not are_labels:
        return score
    right = np.take_along_axis(sums, predicted.argmax(-1)[..., None], -1).sum()
    right_of_constant = np.take_along_axis(sums.sum(0), overall.argmax(-1)[:, None], -1).sum()
    wrong = len(codes) - right_of_constant
    return max(score, float((right - right_of_constant) / wrong)) if wrong else score
