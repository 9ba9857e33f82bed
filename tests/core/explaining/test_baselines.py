import logging

import numpy as np
import pandas as pd
import pytest

from tests.core.fitted import plain_model
from tests.core.model.test_trained import train_on
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.explaining.baselines import fit_baselines
from torchlane.core.options import DataOptions, EvaluationOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import rows_of

RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.normal(size=(3, 200))


def baselines(columns, task="regression", parts=(120, 40, 40), weight=None, **options):
    """Train for an epoch on rows in the order of the parts, and fit the baseline."""
    rows = pd.DataFrame(columns)
    kinds = {name: {"kind": "number"} for name in rows if name != "y"}
    data = DataOptions.model_validate({"task": task, "target": "y", "columns": kinds, "weight": weight})
    clean, _ = check_rows(rows.astype(str), data)
    splits = pd.DataFrame({"row": clean["row"], "part": np.repeat(["train", "valid", "test"], parts)})
    model = train_on(rows.astype(str), data, network=plain_model(widths=(4,)), epochs=1)
    names = ("train", "valid", "test")
    tensors = {part: build_tensors(rows_of(part, clean, splits), model.encoder) for part in names}
    return fit_baselines(model, tensors, clean, splits, EvaluationOptions.model_validate(options))


def test_a_linear_target_is_found_in_raw_units(caplog):
    x, noise, _ = NUMBERS
    with caplog.at_level(logging.INFO):
        found = baselines({"x": x, "y": 1000 * x + 5000 + 10 * noise})["linear"]
    assert found["name"] == "ridge regression"
    assert found["test"]["r2_score"] > 0.99
    assert 5 < found["test"]["root_mean_squared_error"] < 20
    assert found["valid"]["r2_score"] > 0.99
    assert found["ahead"]["metric"] == "r2_score"
    assert found["ahead"]["by"] < 0  # of a network that was trained for an epoch
    assert found["ahead"]["standard_error"] > 0
    assert "baseline: ridge regression reaches test r2_score 0.99" in caplog.text


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_labels_are_told_by_logistic_regression_with_the_metrics_of_the_task(task):
    x, noise, other = NUMBERS
    edges = [0.0] if task == "binary" else [-0.5, 0.5]
    labels = [f"k{place}" for place in np.searchsorted(edges, x + 0.1 * noise)]
    found = baselines({"x": x, "other": other, "y": labels}, task)["linear"]
    assert found["name"] == "logistic regression"
    assert found["test"]["accuracy_score"] > 0.8
    assert "cross_entropy_loss" in found["valid"]


def test_parts_without_rows_have_no_metrics():
    x, noise, _ = NUMBERS
    found = baselines({"x": x, "y": x + noise}, parts=(200, 0, 0))["linear"]
    assert (found["valid"], found["test"]) == ({}, {})
    assert found["ahead"] == {"metric": "r2_score", "by": None, "standard_error": None}
    single = baselines({"x": x, "y": x + noise}, parts=(199, 0, 1))["linear"]
    assert single["test"]["r2_score"] is None
    assert single["ahead"]["by"] is None


def test_many_rows_are_compared_by_a_random_sample_and_not_by_the_first_of_the_file(monkeypatch):
    monkeypatch.setattr("torchlane.core.explaining.baselines.JUDGED_ROWS", 20)
    y = np.where(np.arange(200) < 185, 1.0, NUMBERS[1])  # test is constant in its first 25 rows
    found = baselines({"x": NUMBERS[0], "y": np.where(np.arange(200) < 160, NUMBERS[0], y)})["linear"]
    assert found["ahead"]["by"] is not None


def test_weights_of_rows_count():
    x = NUMBERS[0]
    heavy = np.where(x > 0, 1.0, 1e-6)
    found = baselines({"x": x, "w": heavy, "y": np.abs(x)}, weight="w")["linear"]  # linear where rows count
    assert found["test"]["r2_score"] > 0.95


def test_the_option_switches_it_off():
    x, noise, _ = NUMBERS
    found = baselines({"x": x, "y": x + noise}, linear_baseline=False)
    assert found == {"linear": None, "reason": "evaluation.linear_baseline is false"}
