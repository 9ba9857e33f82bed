from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import TensorDataset

from tests.core.explaining.models import COLUMNS, case
from tests.core.fitted import plain_model
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.explaining.explanation import explain_model
from torchlane.core.explaining.importances import COLUMNS as IMPORTANCES
from torchlane.core.judging.evaluation import evaluate
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import DataOptions, EncodingOptions, EvaluationOptions, TrainingOptions
from torchlane.core.rows.splits import PARTS, rows_of

OPTIONS = EvaluationOptions(importance_repeats=2)


def parted(each, parts=("train", "valid", "test")) -> tuple[dict[str, TensorDataset], pd.DataFrame]:
    """Deal the rows of a case to these parts in turn."""
    splits = each.splits.assign(part=[parts[number % len(parts)] for number in range(len(each.clean))])
    tensors = {part: build_tensors(rows_of(part, each.clean, splits), each.model.encoder) for part in PARTS}
    return tensors, splits


def explain(each, parts=("train", "valid", "test"), **options):
    tensors, splits = parted(each, parts)
    return explain_model(each.model, tensors, each.clean, splits, OPTIONS.model_copy(update=options))


def test_score_is_that_of_the_metrics_on_test():
    each = case()
    tensors, splits = parted(each)
    importances, dependence, facts = explain_model(each.model, tensors, each.clean, splits, OPTIONS)
    metrics, _ = evaluate(each.model, tensors, each.clean, splits)
    assert importances["score"].tolist() == pytest.approx([metrics["test"]["r2_score"]] * 3)
    assert facts == {
        "part": "test",
        "metric": "r2_score",
        "rows": 20,
        "repeats": 2,
        "features": 3,
        "left_out": 0,
        "reason": None,
    }
    assert dependence["feature"].unique().tolist() == importances["feature"].tolist()


def test_valid_takes_the_place_of_a_test_part_without_rows():
    importances, dependence, facts = explain(case(), ("train", "valid"))
    assert set(importances["part"]) == {"valid"} and facts["part"] == "valid" and facts["rows"] == 30
    assert len(dependence)


@pytest.mark.parametrize(
    ("task", "parts", "options", "reason"),
    [
        ("regression", ("train",), {}, "neither test nor valid has rows"),
        ("regression", PARTS, {"importance_repeats": 0}, "evaluation.importance_repeats is 0"),
        ("binary", PARTS, {}, "roc_auc_score is not defined on test, whose 20 rows have one label of the target"),
    ],
)
def test_reason_says_why_there_are_no_importances(task, parts, options, reason, caplog):
    caplog.set_level("INFO")
    each = case(task)
    if task == "binary":  # those of test have one label
        each.clean.loc[2::3, "kind"] = "dear"
    importances, dependence, facts = explain(each, parts, **options)
    assert importances.empty and importances.columns.tolist() == list(IMPORTANCES)
    assert dependence.empty and facts["reason"] == reason
    assert f"importances: none, since {reason}" in caplog.text


def test_images_have_no_columns_to_permute():
    columns = {"image": {"kind": "image", "size": [1, 2, 2]}, "label": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "multiclass", "target": "label", "columns": columns})
    clean = pd.DataFrame({"row": [1, 2, 3], "image": [b"abcd", b"dcba", b"bbbb"], "label": list("xyx")})
    encoder = fit_encoder(clean, data, EncodingOptions())
    model = TrainedModel({"weight": torch.ones(1, 1)}, encoder, data, plain_model(), TrainingOptions())
    tensors = dict.fromkeys(PARTS, build_tensors(clean, encoder))
    splits = pd.DataFrame({"row": clean["row"], "part": "test"})
    importances, dependence, facts = explain_model(model, tensors, clean, splits, OPTIONS)
    assert importances.empty and dependence.empty
    assert facts["reason"] == "an image has no columns to permute"


def test_log_names_no_feature_whose_permutation_does_not_lower_the_score(caplog):
    caplog.set_level("INFO")
    each = case()
    for column in each.model.encoder.tabular:
        each.clean[column.name] = each.clean[column.name].iloc[0]
    explain(each)
    assert "importances: r2_score drops for no feature that is permuted (20 rows of test" in caplog.text


def test_rows_are_drawn_if_there_are_more_than_the_option_allows():
    importances, _, facts = explain(case(), importance_rows=15)
    assert facts["rows"] == 15 and len(importances) == 3
    pd.testing.assert_frame_equal(importances, explain(case(), importance_rows=15)[0])


def test_features_that_would_take_too_long_are_left_out_and_counted(monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr("torchlane.core.explaining.importances.MOST_WORK", 20 * 3 * 1100 * 2)
    importances, dependence, facts = explain(case())
    assert sorted(importances["feature"]) == ["place", "size"] == sorted(dependence["feature"].unique())
    assert (facts["features"], facts["left_out"], facts["repeats"]) == (2, 1, 1)
    assert "the last 1 features are left out" in caplog.text


def test_thousand_features_are_explained():
    names = [f"x{number}" for number in range(1000)]
    random = np.random.default_rng(0)
    clean = pd.DataFrame(random.normal(size=(30, 1000)), columns=names)
    clean.insert(0, "row", range(1, 31))
    clean["price"] = 5 * clean["x7"]
    data = DataOptions.model_validate(
        {"task": "regression", "target": "price", "columns": {name: COLUMNS["size"] for name in names}}
    )
    encoder = fit_encoder(clean, data, EncodingOptions())
    weights = torch.zeros(2, 1, 1000)
    weights[:, :, 7] = 5
    model = TrainedModel(
        {"head.weight": weights, "head.bias": torch.zeros(2, 1)},
        encoder,
        data,
        plain_model(widths=()),
        TrainingOptions(),
    )
    tensors = dict.fromkeys(PARTS, build_tensors(clean, encoder))
    splits = pd.concat([pd.DataFrame({"row": clean["row"], "part": part}) for part in PARTS])
    importances, _, facts = explain_model(model, tensors, clean, splits, OPTIONS)
    assert importances["feature"].iloc[0] == "x7" and facts["features"] == 1000
    assert (importances["importance"].iloc[1:] == 0).all() and importances["importance"].iloc[0] > 1


def test_diverged_model_has_a_reason():
    each = case()
    each.model = replace(each.model, weights={name: w * np.inf for name, w in each.model.weights.items()})
    importances, _, facts = explain(each)
    assert importances.empty and "predictions are not finite" in facts["reason"]
