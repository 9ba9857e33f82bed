import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as reference

from tests.core.model.test_trained import train_on
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.judging.evaluation import _judge_median, evaluate, score
from torchlane.core.model.calibration import Calibration
from torchlane.core.options import ColumnOptions, SplitOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import rows_of, split_rows
from torchlane.core.tasks.tasks import TASKS
from torchlane.figures.predictions import plot_predictions


@pytest.mark.parametrize("n_members", [1, 3])
def test_primary_metric_of_stacked_outputs_agrees_with_the_metric_of_each(n_members):
    generator = torch.Generator().manual_seed(0)
    target = TargetEncoder(name="y", task="regression")
    truths = {
        "regression": torch.randn(40, 1, generator=generator),
        "binary": torch.randint(0, 2, (40, 1), generator=generator).float(),
        "multiclass": torch.randint(0, 4, (40,), generator=generator),
    }
    for name, truth in truths.items():
        task = TASKS[name]
        outputs = torch.randn(n_members, 40, 4 if name == "multiclass" else 1, generator=generator).mul(4).round()
        found = task.primary(outputs, truth.expand(n_members, *truth.shape))
        plain = truth.flatten() if name == "regression" else truth.flatten().long()
        expected = [task.score(task.primary_metric, task.predict(each, target), plain) for each in outputs]
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))  # ties are there: .round()


def test_primary_metric_that_is_not_defined_is_nan():
    one_class, constant = torch.ones(2, 5, 1), torch.full((2, 5, 1), 3.0)
    assert TASKS["binary"].primary(torch.randn(2, 5, 1), one_class).isnan().all()
    assert TASKS["regression"].primary(torch.randn(2, 5, 1), constant).isnan().all()


def test_regression_metrics_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    truth, prediction = random.normal(size=50), random.normal(size=50)
    found = score(TASKS["regression"], torch.tensor(prediction), torch.tensor(truth))
    assert found == pytest.approx(
        {
            "r2_score": reference.r2_score(truth, prediction),
            "mean_absolute_error": reference.mean_absolute_error(truth, prediction),
            "root_mean_squared_error": reference.root_mean_squared_error(truth, prediction),
        }
    )


def test_binary_metrics_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    truth, positive = random.integers(0, 2, 50), random.random(50)
    found = score(TASKS["binary"], torch.tensor(np.column_stack([1 - positive, positive])), torch.tensor(truth))
    assert found == pytest.approx(
        {
            "roc_auc_score": reference.roc_auc_score(truth, positive),
            "accuracy_score": reference.accuracy_score(truth, positive > 0.5),
            "balanced_accuracy_score": reference.balanced_accuracy_score(truth, positive > 0.5),
            "f1_score": reference.f1_score(truth, positive > 0.5),
            "macro_f1_score": reference.f1_score(truth, positive > 0.5, average="macro"),
            "cross_entropy_loss": reference.log_loss(truth, positive),
        }
    )


def test_multiclass_metrics_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    truth, probabilities = random.integers(0, 3, 60), random.dirichlet([1, 1, 1], 60)
    found = score(TASKS["multiclass"], torch.tensor(probabilities), torch.tensor(truth))
    assert found == pytest.approx(
        {
            "accuracy_score": reference.accuracy_score(truth, probabilities.argmax(1)),
            "balanced_accuracy_score": reference.balanced_accuracy_score(truth, probabilities.argmax(1)),
            "macro_f1_score": reference.f1_score(truth, probabilities.argmax(1), average="macro"),
            "cross_entropy_loss": reference.log_loss(truth, probabilities),
        }
    )


def test_metric_that_is_not_defined_is_null():
    one = torch.ones(1, dtype=torch.float64)
    assert score(TASKS["regression"], one, one)["r2_score"] is None
    assert score(TASKS["regression"], one, one)["mean_absolute_error"] == 0


@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_parts_are_scored_in_raw_units_beside_the_constant(toy_rows, toy_data, task):
    target = {"regression": "price", "binary": "kind", "multiclass": "place"}[task]
    columns = {name: column for name, column in toy_data.columns.items() if name != target}
    data = toy_data.model_copy(update={"task": task, "target": target, "columns": columns})
    model = train_on(toy_rows, data)
    clean, _ = check_rows(toy_rows, data)
    splits = split_rows(clean, data, SplitOptions())
    tensors = {part: build_tensors(rows_of(part, clean, splits), model.encoder) for part in ("train", "valid", "test")}
    metrics, predictions = evaluate(model, tensors, clean, splits)
    of_labels = [] if task == "regression" else ["positive", "classes", "absent_from_test"]
    of_numbers = ["median"] if task == "regression" else []
    kept = ["train", "valid", "test", "baseline", "rows", "data", "calibration"]
    assert list(metrics) == [*kept, *of_numbers, *of_labels]
    assert metrics["rows"] == {part: (splits["part"] == part).sum() for part in tensors}
    assert set(metrics["test"]) == {*TASKS[task].metrics, "loss"}
    assert set(metrics["baseline"]) == set(TASKS[task].metrics)
    primary = TASKS[task].primary_metric
    if task != "multiclass":  # places do not follow from sizes
        assert metrics["train"][primary] > metrics["baseline"][primary] + 0.2

    test_rows = rows_of("test", clean, splits)
    assert predictions["row"].tolist() == test_rows["row"].tolist()
    assert predictions["truth"].tolist() == test_rows[target].tolist()
    raw = toy_rows.iloc[predictions["row"] - 1]
    pd.testing.assert_frame_equal(
        predictions.drop(columns=["row", "truth"]), model.predict(raw).reset_index(drop=True), check_exact=True
    )
    if task == "regression":
        mean = rows_of("train", clean, splits)["price"].mean()
        assert metrics["baseline"]["mean_absolute_error"] == pytest.approx((predictions["truth"] - mean).abs().mean())
        median = np.quantile(rows_of("train", clean, splits)["price"], 0.5, method="inverted_cdf")
        assert metrics["median"]["value"] == median
        off = (predictions["truth"] - median).abs().mean()
        assert metrics["median"]["mean_absolute_error"] == pytest.approx(off)
        residuals = predictions["truth"] - predictions["prediction"]
        assert metrics["test"]["mean_absolute_error"] == pytest.approx(residuals.abs().mean())
    else:
        assert metrics["test"]["accuracy_score"] == pytest.approx(
            (predictions["truth"] == predictions["prediction"]).mean()
        )


def test_calibration_tells_the_share_covered_and_the_mean_width(toy_rows, toy_data):
    columns = {**toy_data.columns, "price": ColumnOptions(kind="number", minimum=0)}
    model = train_on(toy_rows, toy_data.model_copy(update={"columns": columns}), epochs=3)
    calibration = Calibration(n_rows=9, residuals=(2000.0,), ranks=(9,), spread_weight=0.001)
    model = replace(model, calibration=calibration)
    clean, _ = check_rows(toy_rows, toy_data)
    splits = split_rows(clean, toy_data, SplitOptions())
    tensors = {part: build_tensors(rows_of(part, clean, splits), model.encoder) for part in ("train", "valid", "test")}
    metrics, predictions = evaluate(model, tensors, clean, splits)
    widths = predictions["high"] - predictions["low"]
    assert widths.nunique() > 2 and (predictions["low"] >= np.minimum(predictions["prediction"], 0)).all()
    covered = (predictions["truth"] >= predictions["low"]) & (predictions["truth"] <= predictions["high"])
    assert metrics["calibration"] == {
        "coverage_asked": 0.9,
        "coverage": covered.mean(),
        "interval_width": pytest.approx(widths.mean()),
    }
    unknown, _ = evaluate(replace(model, calibration=Calibration(n_rows=1)), tensors, clean, splits)
    assert unknown["calibration"]["interval_width"] is None


def test_parts_without_rows_have_no_scores(toy_rows, toy_data):
    model = train_on(toy_rows, toy_data)
    clean, _ = check_rows(toy_rows, toy_data)
    splits = split_rows(clean, toy_data, SplitOptions(valid_fraction=0, test_fraction=0))
    tensors = {part: build_tensors(rows_of(part, clean, splits), model.encoder) for part in ("train", "valid", "test")}
    metrics, predictions = evaluate(model, tensors, clean, splits)
    assert (metrics["valid"], metrics["test"], metrics["baseline"]) == ({}, {}, {})
    assert "median" not in metrics
    assert predictions.empty


def test_median_of_weighted_rows_is_that_of_repeated_rows():
    truths = {"train": torch.tensor([5.0, 1.0, 9.0, 7.0]), "test": torch.tensor([1.0, 3.0])}
    weights = {"train": torch.tensor([1.0, 5.0, 1.0, 2.0]), "test": torch.tensor([3.0, 1.0])}
    assert _judge_median(TASKS["regression"], truths, weights) == {"value": 1.0, "mean_absolute_error": 0.5}
    assert _judge_median(TASKS["regression"], truths, dict.fromkeys(weights))["value"] == 5.0


def test_log_says_what_is_not_defined(toy_rows, toy_data, caplog):
    caplog.set_level("INFO")
    model = train_on(toy_rows, toy_data)
    clean, _ = check_rows(toy_rows, toy_data)
    splits = split_rows(clean, toy_data, SplitOptions())
    clean.loc[clean["row"].isin(splits.loc[splits["part"] == "test", "row"]), "price"] = 7.0
    tensors = {part: build_tensors(rows_of(part, clean, splits), model.encoder) for part in ("train", "valid", "test")}
    assert evaluate(model, tensors, clean, splits)[0]["baseline"]["r2_score"] is None
    assert re.search(r"test r2_score undefined, mean_absolute.* \(constant: r2_score undefined\)", caplog.text)


def judged(rows, data, **split):
    clean, _ = check_rows(rows, data)
    splits = split_rows(clean, data, SplitOptions.model_validate(split))
    model = train_on(rows, data, epochs=4)
    tensors = {part: build_tensors(rows_of(part, clean, splits), model.encoder) for part in ("train", "valid", "test")}
    return evaluate(model, tensors, clean, splits)


def named(toy_rows, names: dict[str, str]) -> pd.DataFrame:
    """Rows of which a fifth are positive, by names of our own."""
    rare = pd.Series(["yes" if number % 5 == 0 else "no" for number in range(60)])
    return toy_rows.assign(kind=rare.map(names).astype("str"))


def test_same_rows_with_other_names_of_labels_have_the_same_scores(toy_rows, toy_data, caplog):
    caplog.set_level("INFO")
    data = toy_data.model_copy(update={"task": "binary", "target": "kind"})
    found = []
    for names in ({"yes": "1", "no": "0"}, {"yes": "fraud", "no": "ok"}, {"yes": "a", "no": "b"}):
        metrics, predictions = judged(named(toy_rows, names), data)
        assert metrics["positive"] == names["yes"]
        assert f"the positive label is '{names['yes']}'" in caplog.text
        assert list(predictions)[-2:] == [f"probability_{label}" for label in sorted(names.values())]
        parts = [metrics[part] for part in ("train", "valid", "test", "baseline")]
        found.append((parts, predictions["row"].tolist(), predictions[f"probability_{names['yes']}"].tolist()))
    assert found[0] == found[1] == found[2]


def test_f1_is_of_the_label_that_is_set(toy_rows, toy_data):
    rows = named(toy_rows, {"yes": "fraud", "no": "ok"})
    data = toy_data.model_copy(update={"task": "binary", "target": "kind", "positive": "ok"})
    metrics, predictions = judged(rows, data)
    of_ok = reference.f1_score(predictions["truth"], predictions["prediction"], pos_label="ok")
    assert (metrics["positive"], metrics["test"]["f1_score"]) == ("ok", pytest.approx(of_ok))
    assert metrics["classes"]["ok"]["f1"] == metrics["test"]["f1_score"]


def test_label_that_test_lacks_is_said(toy_rows, toy_data, caplog):
    rows = toy_rows.assign(
        part=["test" if place != "sea" and n > 40 else "train" for n, place in enumerate(toy_rows["place"])]
    )
    columns = {**toy_data.columns, "part": ColumnOptions(kind="category")}
    data = toy_data.model_copy(
        update={"task": "multiclass", "target": "place", "columns": columns, "features": ("size",)}
    )
    metrics, _ = judged(rows, data, part_column="part")
    assert metrics["absent_from_test"] == ["sea"]
    assert metrics["classes"]["sea"]["rows"] == 0 and metrics["classes"]["sea"]["recall"] is None
    assert "test has no row of sea" in caplog.text


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_are_named_as_their_labels_stand_in_the_file(toy_rows, toy_data, task):
    data = toy_data.model_copy(update={"task": task, "target": "kind"})
    metrics, predictions = judged(named(toy_rows, {"yes": "1.0", "no": "2.0"}), data)
    assert set(metrics["classes"]) == {"1.0", "2.0"}
    assert metrics["positive"] == ("1.0" if task == "binary" else None)
    figure = plot_predictions(predictions.astype({"truth": "str", "prediction": "str"}), "x")
    assert figure.layout.xaxis.ticktext == figure.layout.yaxis.ticktext == ("1.0", "2.0")
