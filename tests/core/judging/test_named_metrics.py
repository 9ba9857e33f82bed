"""Metrics of torchmetrics that a use case names, beside scikit-learn and in the whole pipeline's evaluation."""

import importlib.util

import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from tests.core.model.test_trained import train_on
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.judging import named_metrics
from torchlane.core.judging.cross_validation import cross_validate
from torchlane.core.judging.evaluation import evaluate
from torchlane.core.judging.named_metrics import check_named, score_named
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.options import EvaluationOptions, Recipe, SplitOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import rows_of, split_rows


def named(*metrics: object, **by_name: object):
    return EvaluationOptions.model_validate({"metrics": by_name or list(metrics)}).metrics


def drawn(n_labels: int, n_rows: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    return torch.tensor(random.dirichlet([1] * n_labels, n_rows)), torch.tensor(random.integers(0, n_labels, n_rows))


def test_binary_metrics_take_the_probability_of_the_second_label():
    asked = named(
        "torchmetrics.MatthewsCorrCoef",
        "torchmetrics.classification.BinaryAveragePrecision",
        "torchmetrics.classification.MulticlassCohenKappa",
        {"name": "torchmetrics.FBetaScore", "arguments": {"beta": 2.0}},
        "torchmetrics.regression.MeanSquaredError",
    )
    prediction, truth = drawn(2)
    chosen, positive = prediction.argmax(1), prediction[:, 1]
    assert score_named(asked, "binary", 2, prediction, truth) == pytest.approx(
        {
            "matthews_corr_coef_score": reference.matthews_corrcoef(truth, chosen),
            "binary_average_precision_score": reference.average_precision_score(truth, positive),
            "multiclass_cohen_kappa_score": reference.cohen_kappa_score(truth, chosen),
            "f_beta_score": reference.fbeta_score(truth, chosen, beta=2.0),
            "mean_squared_error": reference.brier_score_loss(truth, positive),
        },
        rel=1e-6,
    )


def test_multiclass_metrics_take_all_probabilities():
    asked = named(
        top={"name": "torchmetrics.Accuracy", "arguments": {"top_k": 5, "average": "micro"}},
        cohen="torchmetrics.classification.MulticlassCohenKappa",
        hamming="torchmetrics.HammingDistance",
    )
    check_named(asked, "multiclass")
    prediction, truth = drawn(9)
    assert score_named(asked, "multiclass", 9, prediction, truth) == pytest.approx(
        {
            "top_score": reference.top_k_accuracy_score(truth, prediction, k=5),
            "cohen_score": reference.cohen_kappa_score(truth, prediction.argmax(1)),
            "hamming_error": reference.hamming_loss(truth, prediction.argmax(1)),
        },
        rel=1e-6,
    )


def test_sums_are_kept_in_float64():
    asked = named(squares="torchmetrics.MeanSquaredError", variance="torchmetrics.ExplainedVariance")
    random = np.random.default_rng(0)
    truth = random.normal(size=500) + 1e5
    prediction = truth + random.normal(size=500) / 10
    found = score_named(asked, "regression", 0, torch.tensor(prediction), torch.tensor(truth))
    assert found["squares_error"] == pytest.approx(reference.mean_squared_error(truth, prediction), rel=1e-12)
    assert found["variance_score"] == pytest.approx(reference.explained_variance_score(truth, prediction), rel=1e-3)


def test_metric_that_is_not_finite_is_null():
    asked = named(pearson_score="torchmetrics.PearsonCorrCoef")
    assert score_named(asked, "regression", 0, torch.ones(4).double(), torch.arange(4.0).double()) == {
        "pearson_score": None
    }


@pytest.mark.parametrize(
    ("task", "metrics", "message"),
    [
        ("binary", ["torchmetrics.MathewsCorrCoef"], r"'torchmetrics.MathewsCorrCoef' is not a metric of torchmetrics"),
        ("binary", ["torchmetrics.nowhere.Accuracy"], r"'torchmetrics.nowhere.Accuracy' is not a metric"),
        ("binary", ["torchmetrics.functional"], r"'torchmetrics.functional' is not a metric of torchmetrics"),
        (
            "regression",
            ["torchmetrics.AUROC"],
            r"AUROC does not suit regression; choose from those of torchmetrics.reg",
        ),
        ("multiclass", ["torchmetrics.MeanSquaredError"], r"does not suit multiclass; choose from those of .*classif"),
        ("regression", ["torchmetrics.SignalNoiseRatio"], r"does not suit regression; choose from"),
        ("multiclass", ["torchmetrics.classification.BinaryF1Score"], "BinaryF1Score does not suit multiclass: "),
        (
            "binary",
            [{"name": "torchmetrics.FBetaScore", "arguments": {"beta": -1.0}}],
            "cannot be made for binary: .*beta",
        ),
        (
            "binary",
            [{"name": "torchmetrics.Accuracy", "arguments": {"thres": 1}}],
            "cannot be made for binary: .*thres",
        ),
        ("binary", ["torchmetrics.ConfusionMatrix"], "gives more than one number with these arguments"),
        ("binary", ["torchmetrics.Specificity"], "does not say whether higher is better; give it a name that ends in"),
        (
            "regression",
            ["torchmetrics.MeanAbsoluteError"],
            "regression has a mean_absolute_error of its own; give this",
        ),
        ("binary", {"matthews_loss": "torchmetrics.MatthewsCorrCoef"}, "better when higher; .* that ends in _score$"),
        ("regression", {"r_score": "torchmetrics.MeanSquaredError"}, "better when lower; .* ends in _error or _loss$"),
    ],
)
def test_metric_that_cannot_be_computed_is_refused_before_any_training(task, metrics, message):
    asked = EvaluationOptions.model_validate({"metrics": metrics}).metrics
    with pytest.raises(ValueError, match=message) as refused:
        check_named(asked, task)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (["sklearn.metrics.f1_score"], "should match pattern"),
        ([3], "a metric is a class such as torchmetrics.MatthewsCorrCoef, not 3"),
        ([{"arguments": {}}], "a metric is a class such as"),
        (["torchmetrics.F1Score"] * 2, "two metrics would be called f1_score; write a mapping with a name for each"),
        ([{"name": "torchmetrics.F1Score", "arguments": {"num_classes": 3}}], "num_classes is set by the target"),
        ("torchmetrics.F1Score", "should be a valid dict"),
    ],
)
def test_metrics_are_classes_of_torchmetrics_each_with_a_name(metrics, message):
    with pytest.raises(ValueError, match=message):
        EvaluationOptions.model_validate({"metrics": metrics})


def test_two_names_that_end_as_one_are_refused():
    asked = named(f1="torchmetrics.F1Score", f1_score="torchmetrics.FBetaScore")
    with pytest.raises(ValueError, match="two metrics would be called f1_score; give f1_score another name"):
        check_named(asked, "multiclass")


def test_missing_torchmetrics_is_said_with_the_command_that_installs_it(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(named_metrics, "find_spec", lambda name: None if name == "torchmetrics" else real(name))
    with pytest.raises(
        ValueError, match=r"^torchmetrics.R2Score needs torchmetrics; .* uv sync --group metrics, or leave"
    ):
        check_named(named("torchmetrics.R2Score"), "regression")


@pytest.mark.parametrize(("test_fraction", "scored"), [(0.2, {"train", "valid", "test"}), (0.0, {"train", "valid"})])
def test_named_metrics_stand_beside_those_of_the_task_in_parts_and_baseline(toy_rows, toy_data, test_fraction, scored):
    model = train_on(toy_rows, toy_data, epochs=2)
    clean, _ = check_rows(toy_rows, toy_data)
    splits = split_rows(clean, toy_data, SplitOptions(test_fraction=test_fraction))
    tensors = {part: build_tensors(rows_of(part, clean, splits), model.encoder) for part in ("train", "valid", "test")}
    plain, _ = evaluate(model, tensors, clean, splits)
    asked = named(squares="torchmetrics.MeanSquaredError")
    metrics, _ = evaluate(model, tensors, clean, splits, named=asked)
    for name, value in metrics.items():
        gained = name in scored or (name == "baseline" and "test" in scored)
        assert value == (plain[name] | {"squares_error": value["squares_error"]} if gained else plain[name])
        if gained:
            assert value["squares_error"] == pytest.approx(value["root_mean_squared_error"] ** 2)


def test_folds_compute_named_metrics(toy_rows, toy_data):
    scores = cross_validate(
        check_rows(toy_rows, toy_data)[0],
        toy_data,
        SplitOptions(),
        Recipe.model_validate({"encoding": {}, "model": {"widths": [4]}, "training": {"epochs": 1, "members": 1}}),
        EvaluationOptions.model_validate({"folds": 2, "metrics": ["torchmetrics.SpearmanCorrCoef"]}),
        NoCheckpoints(),
    )
    assert scores["spearman_corr_coef_score"].between(-1, 1).all()
