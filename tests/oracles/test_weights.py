"""Weights of rows against scikit-learn's `sample_weight`, and against tables whose rows are repeated."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn
from torch import Tensor
from torch.nn.functional import cross_entropy

from tests.oracles.agreement import compare
from tests.oracles.test_losses import CLOSE, DEFINITIONS, draw_loss, draw_rows
from tests.oracles.test_metrics import labelled, values
from torchlane.core.judging.evaluation import score
from torchlane.core.model.calibration import TEMPERATURE_SPREAD, TEMPERATURES, Calibration
from torchlane.core.tasks.tasks import TASKS

many = settings(max_examples=100, deadline=None)
seeds = st.integers(0, 2**32 - 1)
n_members = st.integers(1, 3)


def draw_weights(seed: int, members: int, n_rows: int, whole: bool) -> np.ndarray:
    """Whole numbers from 0 to 4, or numbers of many magnitudes with some zeros; a member has one above 0."""
    random = np.random.default_rng([seed, 1])
    drawn = random.integers(0, 5, (members, n_rows)).astype("float64")
    if not whole:
        drawn = (drawn > 0) * random.exponential(size=drawn.shape) * 10.0 ** random.integers(-12, 12)
    drawn[drawn.sum(1) == 0, 0] = 1.0
    return drawn


def scored(task: str, prediction: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """The weighted metrics of members together, which are those of each alone, bit by bit."""
    stacked = [torch.from_numpy(np.ascontiguousarray(each)) for each in (prediction, truth, weights)]
    found = {name: metric(*stacked) for name, metric in TASKS[task].metrics.items()}
    for member, rows in enumerate(zip(*stacked, strict=True)):
        alone = score(TASKS[task], *rows)
        for name, of_members in found.items():
            value = float(of_members[member])
            assert alone[name] == (value if math.isfinite(value) else None), name
    return {name: of_members.numpy() for name, of_members in found.items()}


def of_each(oracle: Callable, truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> list[float]:
    return [float(oracle(*rows)) for rows in zip(truth, prediction, weights, strict=True)]


def sklearn_r2(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> float:
    counting = truth[weights > 0]
    if (counting == counting[0]).all():
        return math.nan
    return sklearn.r2_score(truth, prediction, sample_weight=weights)


@many
@given(seeds, n_members, st.integers(1, 300), st.integers(-12, 12), st.booleans(), st.booleans())
def test_weighted_regression_metrics_are_those_of_scikit_learn(seed, members, n_rows, exponent, ties, whole):
    prediction, truth = values(seed, members, n_rows, exponent, 1, ties)
    weights = draw_weights(seed, members, n_rows, whole)
    found = scored("regression", prediction, truth, weights)
    expected = of_each(sklearn_r2, truth, prediction, weights)
    compare("weighted r2_score", found["r2_score"], expected, relative=1e-9, absolute=1e-12)
    for name in ("mean_absolute_error", "root_mean_squared_error"):
        oracle = getattr(sklearn, name)
        expected = of_each(lambda t, p, w, oracle=oracle: oracle(t, p, sample_weight=w), truth, prediction, weights)
        compare(f"weighted {name}", found[name], expected, relative=1e-9)


@many
@given(seeds, n_members, st.integers(1, 300), st.integers(2, 6), st.booleans(), st.booleans())
def test_weighted_metrics_of_labels_are_those_of_scikit_learn(seed, members, n_rows, n_labels, ties, whole):
    task = "binary" if n_labels == 2 else "multiclass"
    probabilities, truth = labelled(seed, members, n_rows, n_labels, ties)
    weights = draw_weights(seed, members, n_rows, whole)
    found = scored(task, probabilities, truth, weights)
    chosen, labels = probabilities.argmax(-1), range(n_labels)

    def auc(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> float:
        counting = weights > 0
        if len(set(truth[counting])) < 2:
            return math.nan
        return sklearn.roc_auc_score(truth[counting], prediction[counting, 1], sample_weight=weights[counting])

    def f1(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray, **average: object) -> float:
        own = {"labels": labels, "zero_division": np.nan, **average}
        return sklearn.f1_score(truth, prediction, sample_weight=weights, **own)

    def log_loss(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> float:
        return sklearn.log_loss(truth, prediction, labels=labels, sample_weight=weights)

    def accuracy(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> float:
        return sklearn.accuracy_score(truth, prediction, sample_weight=weights)

    compare("weighted accuracy", found["accuracy_score"], of_each(accuracy, truth, chosen, weights), relative=1e-13)
    expected = of_each(log_loss, truth, probabilities, weights)
    compare("weighted cross-entropy", found["cross_entropy_loss"], expected, relative=1e-9, absolute=3e-16)
    if task == "binary":
        expected = of_each(auc, truth, probabilities, weights)
        compare("weighted roc_auc_score", found["roc_auc_score"], expected, relative=1e-9)
        expected = of_each(lambda *rows: f1(*rows, average=None)[1], truth, chosen, weights)
        compare("weighted f1_score", found["f1_score"], expected, relative=1e-12)
    else:
        expected = of_each(lambda *rows: f1(*rows, average="macro"), truth, chosen, weights)
        compare("weighted macro_f1_score", found["macro_f1_score"], expected, relative=1e-12)


@many
@given(seeds, st.integers(1, 200), st.sampled_from(["regression", "binary", "multiclass"]), st.booleans())
def test_whole_weights_are_repeated_rows(seed, n_rows, task, ties):
    if task == "regression":
        prediction, truth = values(seed, 1, n_rows, 0, 1, ties)
    else:
        prediction, truth = labelled(seed, 1, n_rows, 2 if task == "binary" else 4, ties)
    weights = draw_weights(seed, 1, n_rows, whole=True)
    times = weights[0].astype("int64")
    repeated = [torch.from_numpy(np.repeat(each[0], times, axis=0)[None]) for each in (prediction, truth)]
    for name, found in scored(task, prediction, truth, weights).items():
        exact = name in ("roc_auc_score", "accuracy_score", "f1_score", "macro_f1_score")
        expected = TASKS[task].metrics[name](*repeated)
        absolute = 0 if exact else 1e-12
        compare(f"{name} of repeated rows", found, expected, relative=0 if exact else 1e-12, absolute=absolute)


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, known in DEFINITIONS.items() for name in known])
@settings(deadline=None, max_examples=60)
@given(data=st.data(), members=n_members, n_rows=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_weighted_losses_and_gradients_are_those_of_repeated_rows(task, name, data, members, n_rows, seed):
    objective, loss, of_labels = draw_loss(data, task, name)
    outputs, targets = draw_rows(task, members, n_rows, len(of_labels), seed, 1.0)
    outputs.requires_grad_()
    weights = torch.from_numpy(draw_weights(seed, members, n_rows, whole=True))
    relative = weights / weights.mean(1, keepdim=True)
    losses = objective.member_losses(outputs, targets, relative)
    (gradients,) = torch.autograd.grad(losses.sum(), outputs)
    for member in range(members):
        own, times = outputs[member].detach().requires_grad_(), weights[member].long()
        repeated = own.repeat_interleave(times, 0), targets[member].repeat_interleave(times, 0)
        expected = DEFINITIONS[task][name](*repeated, of_labels, loss.label_smoothing)
        (own_gradients,) = torch.autograd.grad(expected, own)
        compare(f"weighted loss {name}", losses[member], expected, **CLOSE)
        compare(f"weighted loss {name}, gradient", gradients[member], own_gradients, **CLOSE)
        alone = objective.batch_loss(own.detach(), targets[member], relative[member])
        compare(f"weighted loss {name}, alone", alone, expected, **CLOSE)
        in_float64 = objective.loss(own.detach(), targets[member], weights[member])
        compare(f"weighted loss {name}, in float64", in_float64, expected, **CLOSE)
    ones = torch.ones(members, n_rows, dtype=torch.float64)
    unweighted = objective.member_losses(outputs, targets)
    compare(f"loss {name} of equal weights", objective.member_losses(outputs, targets, ones), unweighted, **CLOSE)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([("regression", "huber"), ("binary", "binary_cross_entropy"), ("multiclass", "cross_entropy")]),
       st.integers(1, 4), st.integers(1, 5), seeds)  # fmt: skip
def test_mean_gradient_over_the_batches_of_an_epoch_is_that_of_the_weighted_table(kind, size, n_batches, seed):
    from torchlane.core.encoding.target import TargetEncoder
    from torchlane.core.tasks.objectives import Objective

    task, name = kind
    objective = Objective.of(TargetEncoder(name="y", task=task), name)
    outputs, targets = draw_rows(task, 1, size * n_batches, 3, seed % 2**31, 1.0)
    outputs.requires_grad_()
    weights = torch.from_numpy(draw_weights(seed, 1, size * n_batches, whole=False))
    relative = weights / weights.mean()
    whole = objective.member_losses(outputs, targets, relative)
    batches = [each.split(size, 1) for each in (outputs, targets, relative)]
    mean = torch.stack([objective.member_losses(*batch) for batch in zip(*batches, strict=True)]).mean()
    (expected,), (found,) = (torch.autograd.grad(each.sum(), outputs, retain_graph=True) for each in (whole, mean))
    compare(f"gradient of {name} over batches", found, expected, **CLOSE)
    assert mean.isfinite()  # also where all weights of a batch are 0


def weighted_quantile(residuals: Tensor, weights: Tensor, coverage: Fraction) -> float:
    """Lemma 1 of Tibshirani et al. 2019 in exact numbers; the new row has the mean weight and an infinite residual."""
    rows = sorted((float(r), Fraction(float(w))) for r, w in zip(residuals, weights, strict=True) if w > 0)
    total = sum(weight for _, weight in rows)
    needed, reached = coverage * (total + total / len(rows)), Fraction(0)
    for residual, weight in rows:
        reached += weight
        if reached >= needed:
            return residual
    return math.inf


@many
@given(seeds, st.integers(1, 200), st.integers(1, 99), st.booleans())
def test_half_width_is_the_weighted_quantile_of_residuals(seed, n_rows, percent, whole):
    truth = torch.from_numpy(np.random.default_rng(seed).normal(size=n_rows))
    weights = torch.from_numpy(draw_weights(seed, 1, n_rows, whole)[0])
    nothing = torch.zeros(n_rows, dtype=torch.float64)
    found = Calibration.of_values(nothing, nothing, truth, weights).half_width(percent / 100)
    expected = weighted_quantile(truth.abs(), weights, Fraction(percent, 100))
    compare("weighted conformal half-width", found, expected)
    equal = Calibration.of_values(nothing, nothing, truth, torch.full((n_rows,), 0.3)).half_width(percent / 100)
    assert equal == Calibration.of_values(nothing, nothing, truth).half_width(percent / 100)


@settings(deadline=None, max_examples=20)
@given(seeds, st.integers(2, 60))
def test_spread_weight_of_equal_weights_is_that_without_and_rows_of_weight_0_leave_no_trace(seed, n_rows):
    prediction, truth = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, n_rows)))
    spread = (truth - prediction).abs() + 0.1
    plain = Calibration.of_values(prediction, spread, truth)
    equal = Calibration.of_values(prediction, spread, truth, torch.full((n_rows,), 7.0))
    assert equal.model_copy(update={"reached": ()}) == plain
    weights = torch.arange(n_rows) % 2
    fewer = [each[weights > 0] for each in (prediction, spread, truth)]
    found = Calibration.of_values(prediction, spread, truth, weights)
    assert found.model_copy(update={"reached": ()}) == Calibration.of_values(*fewer)


@settings(deadline=None, max_examples=20)
@given(seeds, st.integers(1, 60))
def test_temperature_is_the_most_probable_one_of_weighted_losses(seed, n_rows):
    probabilities, truth = (torch.from_numpy(each[0]) for each in labelled(seed, 1, n_rows, 3, ties=False))
    probabilities = (probabilities + 0.01) / (probabilities + 0.01).sum(1, keepdim=True)
    weights = torch.from_numpy(draw_weights(seed, 1, n_rows, whole=True)[0])
    times = weights.long()
    logits, labels = probabilities.log().repeat_interleave(times, 0), truth.repeat_interleave(times)
    n_counting = int((weights > 0).sum())  # repeated rows are no more evidence against the prior than the rows are
    losses = torch.stack([n_counting * cross_entropy(logits / each, labels) for each in TEMPERATURES])
    losses += TEMPERATURES.log().square() / (2 * TEMPERATURE_SPREAD**2)
    found = Calibration.of_probabilities(probabilities, truth, weights)
    at = int((TEMPERATURES - found.temperature).abs().argmin())
    assert float(losses[at] - losses.min()) < 1e-9
    assert found.n_rows == n_counting
