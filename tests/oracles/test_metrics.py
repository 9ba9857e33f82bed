"""Every metric of every task against scikit-learn, and where that rounds, against exact arithmetic."""

import math
import warnings
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from tests.oracles.agreement import compare
from torchlane.core.judging.classes import score_classes
from torchlane.core.judging.evaluation import score
from torchlane.core.tasks import metrics
from torchlane.core.tasks.tasks import TASKS

EPS = 2.0**-52
many = settings(max_examples=200, deadline=None)
seeds = st.integers(0, 2**32 - 1)
n_members = st.integers(1, 3)
exponents = st.integers(-12, 12)


def scored(task: str, prediction: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of members together, which are those of each alone, bit by bit; null where `score` gives None."""
    stacked = [torch.from_numpy(np.ascontiguousarray(each)) for each in (prediction, truth)]
    found = {name: metric(*stacked) for name, metric in TASKS[task].metrics.items()}
    for member, (own, of_own) in enumerate(zip(*stacked, strict=True)):
        alone = score(TASKS[task], own, of_own)
        for name, values in found.items():
            value = float(values[member])
            assert alone[name] == (value if math.isfinite(value) else None), name
    return {name: values.numpy() for name, values in found.items()}


def values(seed: int, members: int, n_rows: int, exponent: int, shift: int, ties: bool) -> tuple[np.ndarray, ...]:
    """Predictions and truth of spread `10**exponent`, as far as `10**shift` spreads from zero; with ties on a grid."""
    random = np.random.default_rng(seed)
    truth, noise = random.normal(size=(2, members, n_rows))
    if ties:
        truth, noise = truth.round(), noise.round(1)
    far = random.uniform(-1, 1) * 10.0**shift
    return ((truth + noise * random.choice([0.01, 1, 100]) + far) * 10.0**exponent, (truth + far) * 10.0**exponent)


def of_each(oracle: Callable, prediction: np.ndarray, truth: np.ndarray) -> list[float]:
    return [float(oracle(*rows)) for rows in zip(truth, prediction, strict=True)]


def sklearn_r2(truth: np.ndarray, prediction: np.ndarray) -> float:
    return math.nan if (truth == truth[0]).all() else sklearn.r2_score(truth, prediction)


@many
@given(seeds, n_members, st.integers(1, 3000), exponents, st.integers(0, 9), st.booleans())
def test_regression_metrics_are_those_of_scikit_learn(seed, members, n_rows, exponent, shift, ties):
    prediction, truth = values(seed, members, n_rows, exponent, shift, ties)
    found = scored("regression", prediction, truth)
    compare("r2_score", found["r2_score"], of_each(sklearn_r2, prediction, truth), relative=1e-9, absolute=1e-12)
    for name in ("mean_absolute_error", "root_mean_squared_error"):
        compare(name, found[name], of_each(getattr(sklearn, name), prediction, truth), relative=1e-9)


def exact_r2(truth: np.ndarray, prediction: np.ndarray) -> float:
    numbers, predicted = [[Fraction(float(each)) for each in row] for row in (truth, prediction)]
    mean = sum(numbers) / len(numbers)
    total = sum((each - mean) ** 2 for each in numbers)
    residual = sum((a - b) ** 2 for a, b in zip(numbers, predicted, strict=True))
    return as_float(1 - residual / total) if total else math.nan


def exact_mae(truth: np.ndarray, prediction: np.ndarray) -> float:
    return as_float(sum(abs(Fraction(a) - Fraction(b)) for a, b in zip(truth, prediction, strict=True)) / len(truth))


def exact_rmse(truth: np.ndarray, prediction: np.ndarray) -> float:
    square = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(truth, prediction, strict=True)) / len(truth)
    shift = 2200  # so that the whole root has digits enough, also where the square is that of a subnormal number
    return as_float(Fraction(math.isqrt(int(square * 4**shift)), 2**shift))


def as_float(number: Fraction) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def check_exactly(prediction: np.ndarray, truth: np.ndarray) -> None:
    found = scored("regression", prediction, truth)
    exact = of_each(exact_r2, prediction, truth)
    compare("r2_score, exact", found["r2_score"], exact, relative=1e-12, absolute=1e-14)
    for name, oracle in {"mean_absolute_error": exact_mae, "root_mean_squared_error": exact_rmse}.items():
        exact = of_each(oracle, prediction, truth)
        compare(f"{name}, exact", found[name], exact, relative=1e-12, absolute=5e-324)


@many
@given(seeds, n_members, st.integers(1, 40), exponents, st.integers(0, 12), st.booleans())
def test_regression_metrics_are_exact_also_far_from_zero(seed, members, n_rows, exponent, shift, ties):
    check_exactly(*values(seed, members, n_rows, exponent, shift, ties))


finite = st.floats(-8e307, 8e307)
pairs = st.lists(st.tuples(finite, finite), min_size=1, max_size=8)


@many
@given(pairs)
def test_regression_metrics_are_exact_of_any_numbers_whose_differences_are_numbers(rows):
    prediction, truth = np.array(rows).T[:, None]
    check_exactly(prediction, truth)


def labelled(seed: int, members: int, n_rows: int, n_labels: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, some of them 0, and labels; some labels may stand nowhere, or in one of the two alone."""
    random = np.random.default_rng(seed)
    weights = random.exponential(size=(members, n_rows, n_labels)) ** random.choice([1, 10])
    if ties:
        weights = random.integers(0, 3, size=weights.shape).astype("float64")
    weights *= random.random(n_labels) < 0.8
    weights += weights.sum(-1, keepdims=True) == 0
    used = random.choice(n_labels, size=random.integers(1, n_labels + 1), replace=False)
    return weights / weights.sum(-1, keepdims=True), random.choice(used, size=(members, n_rows))


@many
@given(seeds, n_members, st.integers(1, 3000), st.booleans())
def test_binary_metrics_are_those_of_scikit_learn(seed, members, n_rows, ties):
    probabilities, truth = labelled(seed, members, n_rows, 2, ties)
    found = scored("binary", probabilities, truth)
    both = [len(set(each)) == 2 for each in truth]
    expected = [
        sklearn.roc_auc_score(each, p[:, 1]) if defined else math.nan
        for each, p, defined in zip(truth, probabilities, both, strict=True)
    ]
    compare("roc_auc_score", found["roc_auc_score"], expected, relative=1e-9)
    chosen = probabilities.argmax(-1)
    expected = of_each(lambda t, p: sklearn.f1_score(t, p, zero_division=np.nan), chosen, truth)
    compare("f1_score", found["f1_score"], expected, relative=1e-15)
    expected = of_each(lambda t, p: sklearn.f1_score(t, p, average="macro"), chosen, truth)
    compare("macro_f1_score", found["macro_f1_score"], expected, relative=1e-14)
    compare_shares(found, probabilities, truth)


@many
@given(seeds, n_members, st.integers(1, 1500), st.integers(2, 9), st.booleans())
def test_multiclass_metrics_are_those_of_scikit_learn(seed, members, n_rows, n_labels, ties):
    probabilities, truth = labelled(seed, members, n_rows, n_labels, ties)
    found = scored("multiclass", probabilities, truth)
    chosen = probabilities.argmax(-1)
    expected = of_each(lambda t, p: sklearn.f1_score(t, p, average="macro"), chosen, truth)
    compare("macro_f1_score", found["macro_f1_score"], expected, relative=1e-14)
    named = {"labels": range(n_labels), "zero_division": np.nan, "average": "macro"}
    expected = of_each(lambda t, p: sklearn.f1_score(t, p, **named), chosen, truth)
    compare("macro_f1_score of all labels", found["macro_f1_score"], expected, relative=1e-14)
    compare_shares(found, probabilities, truth)


def balanced_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about labels that are predicted and never true
        return sklearn.balanced_accuracy_score(truth, predicted)


@many
@given(seeds, st.integers(1, 300), st.integers(2, 7), st.booleans())
def test_scores_of_each_label_are_those_of_scikit_learn(seed, n_rows, n_labels, ties):
    (probabilities,), (truth,) = labelled(seed, 1, n_rows, n_labels, ties)
    labels = [f"label {number}" for number in range(n_labels)]
    found = score_classes(torch.from_numpy(probabilities), torch.from_numpy(truth), labels)
    scores = sklearn.precision_recall_fscore_support(
        truth, probabilities.argmax(-1), labels=range(n_labels), zero_division=np.nan
    )
    assert list(found) == labels
    for name, expected in zip(("precision", "recall", "f1"), scores[:3], strict=True):
        values = [math.nan if own[name] is None else own[name] for own in found.values()]
        compare(f"{name} by label", np.array(values), expected.tolist(), relative=1e-15)
    assert [own["rows"] for own in found.values()] == scores[3].tolist()


def compare_shares(found: dict[str, np.ndarray], probabilities: np.ndarray, truth: np.ndarray) -> None:
    """Accuracy and cross-entropy, which both tasks have."""
    expected = of_each(sklearn.accuracy_score, probabilities.argmax(-1), truth)
    compare("accuracy_score", found["accuracy_score"], expected, relative=1e-15)
    balanced = of_each(balanced_accuracy, probabilities.argmax(-1), truth)
    compare("balanced_accuracy_score", found["balanced_accuracy_score"], balanced, relative=1e-14)
    labels = range(probabilities.shape[-1])
    expected = of_each(lambda t, p: sklearn.log_loss(t, p, labels=labels), probabilities, truth)
    compare("cross_entropy_loss", found["cross_entropy_loss"], expected, relative=1e-9, absolute=3e-16)
    rows = np.take_along_axis(probabilities, truth[..., None], axis=-1)[..., 0]
    exact = [math.fsum(-math.log(max(each, EPS)) for each in row) / len(row) for row in rows]
    compare("cross_entropy_loss, exact sum", found["cross_entropy_loss"], exact, relative=1e-13)


@many
@given(seeds, n_members, st.integers(2, 80), st.booleans())
def test_ranks_count_pairs_exactly(seed, members, n_rows, ties):
    random = np.random.default_rng(seed)
    outputs = random.normal(size=(members, n_rows, 1)) * 10.0 ** random.integers(-300, 300)
    outputs = outputs.round() if ties else outputs
    truth = random.integers(0, 2, size=(members, n_rows))
    expected = []
    for own, labels in zip(outputs[..., 0], truth, strict=True):
        higher = own[labels == 1][:, None], own[labels == 0][None]
        right = 2 * int((higher[0] > higher[1]).sum()) + int((higher[0] == higher[1]).sum())
        n_pairs = higher[0].size * higher[1].size
        expected.append(float(Fraction(right, 2 * n_pairs)) if n_pairs else math.nan)
    found = metrics.roc_auc_score(torch.from_numpy(outputs), torch.from_numpy(truth))
    compare("roc_auc_score, exact", found, expected, relative=0)
    targets = torch.from_numpy(truth).float()[..., None]
    assert torch.equal(TASKS["binary"].primary(torch.from_numpy(outputs), targets).nan_to_num(-1), found.nan_to_num(-1))
