"""The metrics against torchmetrics, where that is exact; where it is not, the test says so and holds ours to the formula."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics import classification, regression

from tests.oracles.agreement import compare
from tests.oracles.test_metrics import labelled, scored, values

many = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)


def of_each(metric, prediction: np.ndarray, truth: np.ndarray) -> list[float]:
    """What a metric of torchmetrics gives for each member, with its state in float64."""
    found = []
    for own, of_own in zip(prediction, truth, strict=True):
        metric.reset()
        metric.set_dtype(torch.float64)
        metric.update(torch.from_numpy(np.ascontiguousarray(own)), torch.from_numpy(np.ascontiguousarray(of_own)))
        found.append(float(metric.compute()))
    return found


@many
@given(seeds, st.integers(1, 3), st.integers(2, 500), st.integers(-3, 3), st.booleans())
def test_errors_of_numbers_are_those_of_torchmetrics(seed, members, n_rows, exponent, ties):
    prediction, truth = values(seed, members, n_rows, exponent, 0, ties)
    found = scored("regression", prediction, truth)
    expected = of_each(regression.MeanAbsoluteError(), prediction, truth)
    compare("mean_absolute_error, torchmetrics", found["mean_absolute_error"], expected, relative=1e-12)
    expected = of_each(regression.MeanSquaredError(squared=False), prediction, truth)
    compare("root_mean_squared_error, torchmetrics", found["root_mean_squared_error"], expected, relative=1e-12)


@many
@given(seeds, st.integers(1, 3), st.integers(2, 500), st.booleans())
def test_binary_metrics_are_those_of_torchmetrics(seed, members, n_rows, ties):
    probabilities, truth = labelled(seed, members, n_rows, 2, ties)
    found = scored("binary", probabilities, truth)
    both = np.array([len(set(each)) == 2 for each in truth])
    expected = of_each(classification.BinaryAUROC(), probabilities[both, :, 1], truth[both])
    compare("roc_auc_score, torchmetrics", found["roc_auc_score"][both], expected, relative=1e-5)
    # torchmetrics counts a probability of 1/2 as label 0, as argmax does; F1 without any positive is 0 there and null here
    defined = ((probabilities.argmax(-1) == 1) | (truth == 1)).any(1)
    expected = of_each(classification.BinaryF1Score(), probabilities[..., 1], truth)
    compare("f1_score, torchmetrics", found["f1_score"][defined], np.array(expected)[defined], relative=1e-6)
    expected = of_each(classification.BinaryAccuracy(), probabilities[..., 1], truth)
    compare("accuracy_score, torchmetrics", found["accuracy_score"], expected, relative=1e-6)


@many
@given(seeds, st.integers(1, 3), st.integers(2, 300), st.integers(2, 9), st.booleans())
def test_multiclass_metrics_are_those_of_torchmetrics(seed, members, n_rows, n_labels, ties):
    probabilities, truth = labelled(seed, members, n_rows, n_labels, ties)
    found = scored("multiclass", probabilities, truth)
    expected = of_each(classification.MulticlassF1Score(n_labels), probabilities, truth)
    compare("macro_f1_score, torchmetrics", found["macro_f1_score"], expected, relative=1e-6)
    expected = of_each(classification.MulticlassAccuracy(n_labels, average="micro"), probabilities, truth)
    compare("accuracy_score, torchmetrics", found["accuracy_score"], expected, relative=1e-6)


@pytest.mark.parametrize("unit", [1.0, 1e-6])
def test_r2_of_torchmetrics_is_that_of_the_formula_only_where_the_spread_is_not_tiny(unit):
    truth = np.array([[1.0, 2.0, 3.0, 4.0]]) * unit
    prediction = truth + np.array([[0.5, -0.5, 0.5, -0.5]]) * unit
    (found,) = scored("regression", prediction, truth)["r2_score"]
    (theirs,) = of_each(regression.R2Score(), prediction, truth)
    assert math.isclose(found, 0.8, rel_tol=1e-12)
    assert math.isclose(theirs, 0.8, rel_tol=1e-6) == (unit == 1.0)
