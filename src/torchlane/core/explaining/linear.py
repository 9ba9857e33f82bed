"""Linear models of encoded rows. They are those of scikit-learn, which is imported when one is fitted."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from torchlane.core.encoding.encoder import Encoder
from torchlane.core.layers.layout import Layout

ALPHAS = tuple(10.0 ** (exponent / 2) for exponent in range(-4, 9))  # of a ridge regression: 0.01 to 10,000
COSTS = (0.01, 0.1, 1.0, 10.0)  # C of a logistic regression
MOST_ROWS, TRIED_ROWS = 100_000, 2_000  # to fit, and to choose the strength of the penalty on
MOST_VALUES = 20_000_000  # of features, and of features times labels for labels
MOST_PIXELS = 16  # on a side of an image, which is averaged down to that
DENSE = 256  # features, up to which an array is faster than a sparse one
BLOCK_ROWS = 10_000
STEPS = 200  # of the solver of a logistic regression
LEAST = 1e-15  # probability

Predict = Callable[[Tensor], np.ndarray]


@dataclass(frozen=True)
class Linear:
    """A fitted linear model.

    `predict` takes encoded rows (n_rows, …) and gives float64 scaled targets (n_rows,), or probabilities (n_rows,
    n_labels). `options` says what the penalty was chosen to be, and on how many rows and features it was fitted.
    """

    name: str
    predict: Predict
    options: dict[str, Any]


@dataclass(frozen=True)
class LinearInputs:
    """Turns encoded rows into what a linear model takes: numbers in units of their spread on train, and indicators.

    Images are averaged down to at most 16 pixels a side, and their bytes become numbers from 0 to 1.
    """

    layout: Layout | None
    offset: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, features: Tensor, encoder: Encoder) -> "LinearInputs":
        """Learn the scales of the numbers from encoded rows of train (n_rows, …)."""
        if encoder.image is not None:
            return cls(None, np.zeros(0), np.ones(0))
        layout = encoder.layout()
        numbers = features[:, layout.numbers[0]].numpy().astype(np.float64)
        spread = numbers.std(0)
        return cls(layout, numbers.mean(0), np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0))

    @property
    def values_a_row(self) -> int:
        """The number of values of a row that may differ from 0."""
        return MOST_PIXELS**2 if self.layout is None else len(self.offset) + len(self.layout.coded)

    def __call__(self, features: Tensor) -> Any:
        """Give encoded rows as float64 (n_rows, n_features), in a sparse array if there are many features."""
        if self.layout is None:
            side = (min(MOST_PIXELS, features.shape[2]), min(MOST_PIXELS, features.shape[3]))
            pooled = functional.adaptive_avg_pool2d(features.float() / 255, side)
            return pooled.flatten(1).numpy().astype(np.float64)
        from scipy.sparse import csr_array, hstack

        layout = self.layout
        numbers = (features[:, layout.numbers[0]].numpy().astype(np.float64) - self.offset) * self.factor
        if not layout.n_indicators:
            return numbers
        lookup, starts = layout.lookup(np.cumsum(layout.indicating) - 1, -1)
        places = lookup[features[:, layout.coded].numpy().astype(np.int64) + starts].astype(np.int32)
        known = places >= 0
        ends = np.concatenate([[0], known.sum(1).cumsum()]).astype(np.int32)
        shape = (len(features), layout.n_indicators)
        indicators = csr_array((np.ones(ends[-1]), places[known], ends), shape=shape)
        if shape[1] + numbers.shape[1] <= DENSE:
            return np.hstack([numbers, indicators.toarray()])
        return hstack([csr_array(numbers), indicators], format="csr")


def fit_ridge(features: Tensor, targets: Tensor, weights: Tensor | None, encoder: Encoder, seed: int) -> Linear:
    """Fit a ridge regression to encoded rows of train and their scaled targets (n_rows, 1).

    The penalty alpha is the best by leave-one-out errors on at most 2,000 of the rows, which is cross-validation in
    closed form (Golub, Heath and Wahba, 1979).
    """
    from sklearn.linear_model import Ridge, RidgeCV

    inputs = LinearInputs.of(features, encoder)
    drawn = drawn_rows(features, weights, MOST_VALUES // inputs.values_a_row, seed)
    x, y, w = inputs(features[drawn]), targets.flatten().double().numpy()[drawn], _taken(weights, drawn)
    few = slice(TRIED_ROWS)
    with _one_thread():
        alpha = float(RidgeCV(alphas=ALPHAS).fit(x[few], y[few], sample_weight=None if w is None else w[few]).alpha_)
        fitted = Ridge(alpha=alpha, solver="lsqr", tol=1e-8).fit(x, y, sample_weight=w)
    options = {"alpha": alpha, "rows": len(drawn), "features": x.shape[1]}
    return Linear("ridge regression", _in_blocks(lambda some: fitted.predict(inputs(some))), options)


def fit_logistic(
    features: Tensor,
    labels: Tensor,
    n_labels: int,
    weights: Tensor | None,
    encoder: Encoder,
    seed: int,
) -> Linear:
    """Fit a logistic regression to encoded rows of train and their label indices (n_rows,).

    The penalty C is the best of four by the cross entropy on a quarter of at most 2,000 of the rows, which the
    models that are compared were not fitted to.
    """
    inputs = LinearInputs.of(features, encoder)
    drawn = drawn_rows(features, weights, MOST_VALUES // (inputs.values_a_row * n_labels), seed)
    x, y, w = inputs(features[drawn]), labels.flatten().long().numpy()[drawn], _taken(weights, drawn)
    cost = _choose_cost(x[:TRIED_ROWS], y[:TRIED_ROWS], None if w is None else w[:TRIED_ROWS], n_labels)
    probabilities = fitted_logistic(x, y, cost, w, n_labels)
    options = {"C": cost, "rows": len(drawn), "features": x.shape[1]}
    return Linear("logistic regression", _in_blocks(lambda some: probabilities(inputs(some))), options)


def fitted_logistic(
    x: Any, y: np.ndarray, cost: float, weights: np.ndarray | None, n_labels: int
) -> Callable[[Any], np.ndarray]:
    """Fit a logistic regression to features (n_rows, n_features) and labels; give the function for probabilities.

    Those are float64 (n_rows, n_labels). A label that no row has gets 0, and a single label gets 1.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    seen = np.unique(y)
    if len(seen) == 1:
        return lambda features: np.eye(n_labels)[np.full(features.shape[0], seen[0])]
    with _one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a few steps short is as good a baseline
        warnings.simplefilter("ignore", UserWarning)  # of labels with a row or two each
        fitted = LogisticRegression(C=cost, max_iter=STEPS).fit(x, y, sample_weight=weights)

    def probabilities(features: Any) -> np.ndarray:
        found = np.zeros((features.shape[0], n_labels))
        found[:, seen] = fitted.predict_proba(features)
        return found

    return probabilities


def drawn_rows(features: Tensor, weights: Tensor | None, most: int, seed: int) -> np.ndarray:
    """Draw at most so many rows that count, in random order: int64 (n_drawn,)."""
    counting = np.arange(len(features)) if weights is None else np.flatnonzero(weights.numpy() > 0)
    return np.random.default_rng(seed).permutation(counting)[: max(1, min(most, MOST_ROWS))]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep numpy to one thread: several wait for each other on small matrices, and change the last bits."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


def _choose_cost(x: Any, y: np.ndarray, weights: np.ndarray | None, n_labels: int) -> float:
    held_out = np.arange(len(y)) % 4 == 0
    if held_out.sum() < 5 or len(np.unique(y[~held_out])) < 2:
        return 1.0
    own = None if weights is None else weights[~held_out]
    losses = []
    for cost in COSTS:
        probabilities = fitted_logistic(x[~held_out], y[~held_out], cost, own, n_labels)(x[held_out])
        of_truth = probabilities[np.arange(len(probabilities)), y[held_out]].clip(LEAST)
        losses.append(np.average(-np.log(of_truth), weights=None if weights is None else weights[held_out]))
    return COSTS[int(np.argmin(losses))]


def _taken(weights: Tensor | None, rows: np.ndarray) -> np.ndarray | None:
    """Give the weights of some rows in units of their mean."""
    if weights is None:
        return None
    own = weights.double().numpy()[rows]
    own = own / own.max()
    return own / own.mean()


def _in_blocks(predict: Predict) -> Predict:
    return lambda features: np.concatenate([predict(block) for block in torch.split(features, BLOCK_ROWS)])
