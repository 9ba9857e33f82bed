"""Temperatures against a fine search, for losses that are written down anew."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from tests.oracles.agreement import compare
from torchlane.core.model.calibration import TEMPERATURE_SPREAD, Calibration, tempered

seeds, n_rows, n_labels = st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(2, 6)
COARSE = np.linspace(-3, 3, 121)
STEP = 0.01  # of the logarithms among which ours is chosen


def drawn(seed: int, n_rows: int, n_labels: int, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are `confidence` times as sure, in their logarithms, as the labels that are drawn allow."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n_rows, n_labels)) * random.choice([0.3, 1, 3])
    shares = softmax(logits, axis=1)
    truth = random.multinomial(1, shares).argmax(1)
    return softmax(logits * confidence, axis=1), truth


def loss(log_temperature: float, probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The cross-entropy in sum, and the prior's part."""
    scaled = np.log(probabilities) / np.exp(log_temperature)
    entropy = logsumexp(scaled, axis=1) - scaled[np.arange(len(truth)), truth]
    return float(entropy.sum() + log_temperature**2 / (2 * TEMPERATURE_SPREAD**2))


@settings(max_examples=200, deadline=None)
@given(seeds, n_rows, n_labels, st.floats(0.2, 30))
def test_temperature_is_the_most_probable_one(seed, n_rows, n_labels, confidence):
    probabilities, truth = drawn(seed, n_rows, n_labels, confidence)
    start = COARSE[np.argmin([loss(each, probabilities, truth) for each in COARSE])]
    bounds = max(start - 0.06, -3), min(start + 0.06, 3)
    best = minimize_scalar(loss, bounds=bounds, args=(probabilities, truth), method="bounded", options={"xatol": 1e-7})
    found = Calibration.of_probabilities(torch.from_numpy(probabilities), torch.from_numpy(truth)).temperature
    below = np.floor(best.x / STEP) * STEP  # the loss falls up to the best one and rises behind it
    around = [each for each in (below, below + STEP) if abs(each) <= 3 + 1e-9]
    expected = min(loss(each, probabilities, truth) for each in around)
    compare(
        "loss at the temperature", loss(np.log(found), probabilities, truth), expected, relative=1e-9, absolute=1e-12
    )
    assert abs(np.log(found) - best.x) < STEP + 1e-6


@settings(max_examples=200, deadline=None)
@given(seeds, n_rows, n_labels, st.floats(0.05, 20))
def test_tempered_probabilities_are_those_of_scaled_logits(seed, n_rows, n_labels, temperature):
    logits = np.random.default_rng(seed).normal(size=(n_rows, n_labels)) * 10
    found = tempered(torch.from_numpy(softmax(logits, axis=1)), temperature)
    compare("tempered probabilities", found, softmax(logits / temperature, axis=1), relative=1e-9, absolute=1e-300)
