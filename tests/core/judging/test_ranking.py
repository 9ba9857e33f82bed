from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from torchlane.core.judging.ranking import precision_recall_curve, roc_curve, thinned, trade_off


def rows(n_rows: int, decimals: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels and scores that rank them better than chance; few decimals make ties."""
    random = np.random.default_rng(seed)
    positive = random.random(n_rows) < 0.3
    positive[:2] = True, False
    return positive, (0.7 * random.random(n_rows) + 0.3 * positive * random.random(n_rows)).round(decimals)


@pytest.mark.parametrize(("n_rows", "decimals"), [(2, 1), (40, 1), (3_000, 2), (3_000, 9)])
def test_areas_are_those_of_scikit_learn(n_rows, decimals):
    positive, scores = rows(n_rows, decimals)
    assert roc_curve(positive, scores).area == pytest.approx(sklearn.roc_auc_score(positive, scores), abs=1e-12)
    average_precision = sklearn.average_precision_score(positive, scores)
    assert precision_recall_curve(positive, scores).area == pytest.approx(average_precision, abs=1e-12)


def test_points_of_curves_are_those_of_scikit_learn():
    positive, scores = rows(60, 1)
    curve = roc_curve(positive, scores)
    x, y, thresholds = sklearn.roc_curve(positive, scores, drop_intermediate=False)
    known = {threshold: point for *point, threshold in zip(x, y, thresholds, strict=True)}
    assert [known[threshold] for threshold in curve.thresholds] == pytest.approx(np.stack([curve.x, curve.y], 1))
    curve = precision_recall_curve(positive, scores)
    precision, recall, thresholds = sklearn.precision_recall_curve(positive, scores)
    known = {threshold: point for *point, threshold in zip(recall[:-1], precision[:-1], thresholds, strict=True)}
    assert [known[threshold] for threshold in curve.thresholds] == pytest.approx(np.stack([curve.x, curve.y], 1))


@pytest.mark.parametrize("curve_of", [roc_curve, precision_recall_curve])
def test_many_points_are_thinned_without_a_change_of_shape(curve_of):
    positive, scores = rows(20_000, 9)
    curve = curve_of(positive, scores)
    assert len(curve.x) == 200
    assert np.trapezoid(curve.y, curve.x) == pytest.approx(curve.area, abs=1e-3)


@pytest.mark.parametrize("label", [True, False])
def test_rows_of_one_label_have_no_roc_curve(label):
    assert roc_curve(np.full(3, label), np.array([0.1, 0.5, 0.5])) is None
    assert (precision_recall_curve(np.full(3, label), np.array([0.1, 0.5, 0.5])) is None) == (not label)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-9, 9)), min_size=1, max_size=40), st.integers(2, 12))
def test_thinned_line_keeps_its_ends_and_loses_nothing_while_points_are_left(points, most):
    x, y = np.cumsum([step for step, _ in points]).astype(float), np.array([height for _, height in points], float)
    kept = thinned(x, y, most)
    assert len(kept) <= most
    assert (kept[0], kept[-1]) == (0, len(x) - 1)
    assert (np.diff(kept) > 0).all()

    def off(indices: np.ndarray) -> float:
        ends = list(pairwise(indices))
        return max((distance(x, y, place, *pair) for pair in ends for place in range(*pair)), default=0.0)

    if len(kept) < min(most, len(x)):
        assert off(kept) == pytest.approx(0, abs=1e-9)  # nothing was lost


def distance(x: np.ndarray, y: np.ndarray, place: int, first: int, last: int) -> float:
    """Measure how far a point is from the line through two others."""
    along, aside = (
        np.array([x[last] - x[first], y[last] - y[first]]),
        np.array([x[place] - x[first], y[place] - y[first]]),
    )
    length = np.hypot(*along)
    return abs(along[0] * aside[1] - along[1] * aside[0]) / length if length else np.hypot(*aside)


def test_each_threshold_has_the_precision_recall_f1_and_cost_of_its_calls():
    positive, scores = rows(300, 2)
    trade = trade_off(positive, scores, (2, 5))
    for place in (0, 37, 100, 111):
        called = scores >= trade.thresholds[place]
        precision, recall, f1, _ = sklearn.precision_recall_fscore_support(positive, called, average="binary")
        found = [each[place] for each in (trade.precision, trade.recall, trade.f1)]
        assert found == pytest.approx([precision, recall, f1])
        wrong = 2 * (called & ~positive).sum() + 5 * (~called & positive).sum()
        assert trade.cost[place] == pytest.approx(wrong / 300)
    assert trade.cost[trade.cheapest] == trade.cost.min()


def test_of_equally_cheap_thresholds_the_one_nearest_to_a_half_is_chosen():
    trade = trade_off(np.array([False, True]), np.array([0.2, 0.9]), (1, 1))
    assert trade.cost.min() == 0
    assert trade.thresholds[trade.cheapest] == 0.5
