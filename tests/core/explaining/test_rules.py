import math
from dataclasses import replace
from typing import Any

import pytest

from torchlane.core.explaining.contradictions import Contradictions
from torchlane.core.explaining.findings import Estimate, Evidence, Importance
from torchlane.core.explaining.part_differences import Apart
from torchlane.core.explaining.warnings import RULES, find_warnings

LINEAR = {"name": "ridge regression", "test": {"r2_score": 0.5}, "ahead": {"by": 0.2, "standard_error": 0.03}}
NUMBERS = Evidence(
    task="regression",
    target="y",
    primary="r2_score",
    is_image=False,
    loss="mse",
    rows={"train": 1400, "valid": 300, "test": 300},
    parted_by="",
    metrics={"test": {"r2_score": 0.7}, "calibration": {"coverage_asked": 0.9, "coverage": 0.9}},
    baselines={"linear": LINEAR},
    score=Estimate(0.7, 0.03, 300),
    losses={"valid": Estimate(1.0, 0.05, 300), "test": Estimate(1.1, 0.05, 300)},
    ahead=Estimate(2.0, 0.2, 300),
    shares={},
    level_rows={"place=town": 150, "place=sea": 150},
    signals={"x": 0.6, "place": 0.2},
    constant=(),
    importances={"x": Importance(0.3, 0.01), "place": Importance(0.1, 0.01)},
    apart=Apart(0.51, 0.02, 1700),
    contradictions=Contradictions(0, 0, 2000, 1.0),
    tail=0.1,
    edges={},
    covered=(270, 300),
)
CLASSES = {
    "yes": {"precision": 0.8, "recall": 0.8, "f1": 0.8, "rows": 100},
    "no": {"precision": 0.9, "recall": 0.9, "f1": 0.9, "rows": 200},
}
LABELS = replace(
    NUMBERS,
    task="binary",
    primary="roc_auc_score",
    loss="",
    metrics={"test": {"roc_auc_score": 0.9, "balanced_accuracy_score": 0.85}, "classes": CLASSES},
    baselines={
        "linear": {
            "name": "logistic regression",
            "test": {"roc_auc_score": 0.7},
            "ahead": {"by": 0.2, "standard_error": 0.03},
        }
    },
    shares={"yes": 1 / 3, "no": 2 / 3},
    tail=None,
    covered=None,
)


def linear(by: float | None, error: float | None) -> dict[str, Any]:
    return {"linear": {**LINEAR, "ahead": {"by": by, "standard_error": error}}}


def scored(r2_score: float) -> dict[str, Any]:
    return {**NUMBERS.metrics, "test": {"r2_score": r2_score}}


def classes(recall: float, rows: int, balanced: float = 0.6) -> dict[str, Any]:
    missed = {"precision": 0.5, "recall": recall, "f1": 0.5, "rows": rows}
    return {"test": {"balanced_accuracy_score": balanced}, "classes": {**CLASSES, "yes": missed}}


def rows(test: int, valid: int = 300) -> dict[str, int]:
    return {"train": 1400, "valid": valid, "test": test}


EDGE = {"model.dropout": {"value": 0.59, "low": 0.0, "high": 0.6, "side": "high"}}
FOUND = [  # what is changed, the code that follows, and what the warning says
    (NUMBERS, {"signals": {"x": 0.97, "place": 0.2}}, "leak", "'x' alone saves 97.0%"),
    (NUMBERS, {"signals": {"x": 0.97, "place": 0.99}}, "leak", "'place', 'x' alone save up to 99.0%"),
    (LABELS, {"signals": {"x": 0.91}}, "leak", "'x' alone"),
    (NUMBERS, {"constant": ("z",)}, "useless-feature", "'z' has one value in train"),
    (
        NUMBERS,
        {"signals": {"x": 0.6, "place": -0.01}, "importances": {"x": Importance(0.3, 0.01), "place": Importance(0.01, 0.01)}},
        "useless-feature",
        "nothing shows that 'place' helps",
    ),
    (NUMBERS, {"losses": {**NUMBERS.losses, "test": Estimate(1.4, 0.05, 300)}}, "worse-on-test", "5.7 standard errors"),
    (NUMBERS, {"apart": Apart(0.7, 0.02, 1700)}, "parts-differ", "AUC of 0.70"),
    (NUMBERS, {"apart": Apart(0.7, 0.02, 1700), "parted_by": "split.part_column 'when'"}, "parts-differ", "as split.part_column 'when' makes"),
    (NUMBERS, {"level_rows": {"place=town": 297, "place=sea": 3}}, "few-rows", "rows of place=sea (3)"),
    (LABELS, {"metrics": classes(0.8, 4)}, "few-rows", "rows of y=yes (4)"),
    (NUMBERS, {"contradictions": Contradictions(40, 200, 2000, 0.8)}, "contradictory-rows", "r2_score above 0.80"),
    (LABELS, {"contradictions": Contradictions(40, 200, 2000, 0.8)}, "contradictory-rows", "accuracy_score above 0.80"),
    (NUMBERS, {"tail": 0.5}, "heavy-tail", "50% of the squared"),
    (LABELS, {"shares": {"yes": 0.04, "no": 0.96}}, "imbalanced", "96.0% of train is 'no'"),
    (NUMBERS, {"baselines": linear(0.0, 0.03), "metrics": scored(0.5)}, "linear-as-good", "ridge regression has r2_score 0.500 and the model 0.500"),
    (NUMBERS, {"baselines": linear(-0.3, 0.01), "metrics": scored(0.2)}, "linear-as-good", "and the model 0.200"),
    (NUMBERS, {"baselines": linear(0.02, 0.015), "metrics": scored(0.52)}, "linear-as-good", "0.520"),
    (NUMBERS, {"edges": EDGE}, "search-at-edge", "model.dropout 0.59 near the high end of 0 to 0.6"),
    (NUMBERS, {"covered": (240, 300)}, "interval-undercovers", "should cover 90% of new rows cover 80%"),
    (LABELS, {"metrics": classes(0.28, 186)}, "class-missed", "'yes' (recall 28% of 186 rows)"),
    (NUMBERS, {"ahead": Estimate(0.1, 0.2, 300)}, "no-better-than-constant", "squared error"),
    (NUMBERS, {"score": Estimate(0.7, 0.1, 300)}, "small-test", "may be 0.20 higher or lower"),
    (NUMBERS, {"rows": rows(15), "score": Estimate(0.7, 0.0, 15), "covered": (14, 15)}, "small-test", "15 rows"),
    (NUMBERS, {"metrics": {**NUMBERS.metrics, "test": {"r2_score": None}}}, "undefined-metric", "test gives no value of r2_score: "),
    (NUMBERS, {"parted_by": "split.all_rows_in"}, "tested-on-train", "every row into train and test"),
    (NUMBERS, {"parted_by": "split.all_rows_in", "score": Estimate(0.7, 0.1, 300)}, "tested-on-train", "every row"),
    (NUMBERS, {"ahead": Estimate(-41.0, 5.4, 300)}, "no-better-than-constant", "the model's squared error is 41 above that of"),
    (NUMBERS, {"covered": (0, 300)}, "interval-undercovers", "in less than 0.1% of such tests"),
]  # fmt: skip
NOT_FOUND = [
    (NUMBERS, {"signals": {"x": 0.94}}),
    (NUMBERS, {"signals": {"x": 0.99}, "rows": {"train": 40, "valid": 300, "test": 300}}),
    (NUMBERS, {"signals": {"x": 0.6, "place": -0.01}}),  # it matters beside others
    (NUMBERS, {"importances": {"x": Importance(0.3, 0.01), "place": Importance(0.01, 0.01)}}),  # it matters alone
    (NUMBERS, {"losses": {**NUMBERS.losses, "test": Estimate(1.4, 0.2, 300)}}),  # by chance
    (NUMBERS, {"losses": {"valid": Estimate(1.0, 0.001, 300), "test": Estimate(1.05, 0.001, 300)}}),  # hardly
    (NUMBERS, {"losses": {}}),
    (NUMBERS, {"losses": {"valid": Estimate(1.0, 0.0, 3), "test": Estimate(2.0, 0.0, 3)}}),  # chance is not known
    (NUMBERS, {"apart": Apart(0.6, 0.03, 300)}),
    (NUMBERS, {"apart": Apart(0.54, 0.005, 3000)}),
    (NUMBERS, {"apart": Apart(0.9, 0.01, 3000), "parted_by": "split.group_by"}),
    (NUMBERS, {"apart": Apart(0.9, 0.01, 3000), "parted_by": "split.order_by"}),
    (NUMBERS, {"contradictions": Contradictions(3, 6, 2000, 0.9)}),
    (NUMBERS, {"contradictions": Contradictions(40, 200, 2000, 0.99)}),
    (NUMBERS, {"contradictions": None}),
    (NUMBERS, {"baselines": linear(0.2, 0.15)}),  # more than one standard error, and much
    (NUMBERS, {"baselines": linear(None, None)}),
    (NUMBERS, {"baselines": {"linear": None, "reason": "evaluation.linear_baseline is false"}}),
    (NUMBERS, {"covered": (259, 300)}),
    (NUMBERS, {"covered": (240, 300), "rows": rows(300, valid=5)}),
    (NUMBERS, {"score": Estimate(0.7, 0.1, 300), "metrics": {**NUMBERS.metrics, "cross_validation": {"folds": 5}}}),
    (LABELS, {"metrics": classes(0.4, 20)}),  # 8 of 20 may be chance
    (LABELS, {"metrics": classes(0.28, 186, balanced=0.3)}),  # as of many labels that are hard to tell
    (LABELS, {"metrics": {**classes(0.28, 186), "weight": "w"}}),  # a share of weight is no count of rows
    (LABELS, {"shares": {"yes": 0.15, "no": 0.85}}),
]  # fmt: skip


def codes(evidence: Evidence) -> list[str]:
    return [each["code"] for each in find_warnings(evidence)["warnings"]]


@pytest.mark.parametrize("evidence", [NUMBERS, LABELS])
def test_nothing_is_warned_of_where_nothing_is_wrong(evidence, caplog):
    result = find_warnings(evidence)
    assert result["warnings"] == []
    assert set(result["checked"]) | set(result["not_checked"]) == set(RULES)
    assert not set(result["checked"]) & set(result["not_checked"])
    other = {"class-missed", "imbalanced"} if evidence is NUMBERS else {"heavy-tail", "interval-undercovers"}
    assert set(result["not_checked"]) == other
    assert not caplog.records


@pytest.mark.parametrize(("evidence", "change", "code", "said"), FOUND)
def test_each_rule_finds_what_it_is_about_and_says_it_in_one_line(evidence, change, code, said, caplog):
    (warning,) = find_warnings(replace(evidence, **change))["warnings"]
    assert warning["code"] == code
    assert said in warning["warning"]
    assert warning["title"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == f"{code}: {warning['warning']}; {warning['remedy']}"
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 330


@pytest.mark.parametrize(("evidence", "change"), NOT_FOUND)
def test_rules_are_silent_where_chance_or_the_options_explain_it(evidence, change):
    assert codes(replace(evidence, **change)) == []


def test_every_rule_has_a_case():
    assert {code for _, _, code, _ in FOUND} | {"no-test"} == set(RULES)


def test_without_test_rows_the_rest_is_not_checked_and_says_why():
    metrics = {"test": {}, "calibration": {}}
    empty = {"rows": rows(0), "metrics": metrics, "score": None, "losses": {}, "ahead": None, "apart": None}
    result = find_warnings(replace(NUMBERS, **empty, level_rows={}, importances={}, covered=None))
    assert [each["code"] for each in result["warnings"]] == ["no-test"]
    assert result["not_checked"]["linear-as-good"] == "test has no rows"
    assert "leak" in result["checked"]


def test_the_gravest_warning_stands_first_and_names_its_column():
    several = replace(NUMBERS, signals={"x": 0.97}, tail=0.5, apart=Apart(0.7, 0.02, 1700))
    result = find_warnings(several)["warnings"]
    assert [each["code"] for each in result] == ["leak", "parts-differ", "heavy-tail"]
    assert (result[0]["column"], result[1]["column"]) == ("x", None)


def test_many_features_are_named_by_a_few():
    names = {f"x{number}": Importance(0.0, 0.01) for number in range(900)}
    signals = {"x": 0.6, **dict.fromkeys(names, 0.0)}
    (warning,) = find_warnings(replace(NUMBERS, importances=names, signals=signals))["warnings"]
    assert "and 895 more" in warning["warning"]
    assert len(warning["numbers"]["without_effect"]) == 900
    assert warning["remedy"] == "leave them out together and compare"  # nobody trains 900 times


def test_no_one_is_told_to_leave_out_the_only_feature():
    (warning,) = find_warnings(replace(NUMBERS, constant=("x",), importances={}, signals={"x": 0.0}))["warnings"]
    assert warning["remedy"] == "give features that tell something of the target"


@pytest.mark.parametrize(
    ("by", "title"),
    [(-0.3, "A linear model is better"), (-0.01, "Test does not show that the model is better than a linear one")],
)
def test_linear_model_that_is_clearly_better_is_called_so(by, title):
    (warning,) = find_warnings(replace(NUMBERS, baselines=linear(by, 0.03)))["warnings"]
    assert warning["title"] == title


def test_linear_model_is_not_recommended_where_nothing_is_better_than_a_constant():
    useless = replace(NUMBERS, ahead=Estimate(0.1, 0.2, 300))
    result = find_warnings(replace(useless, baselines=linear(-0.01, 0.03)))
    assert [each["code"] for each in result["warnings"]] == ["no-better-than-constant"]
    assert "linear-as-good" in result["not_checked"]
    better = find_warnings(replace(useless, baselines=linear(-0.3, 0.03)))
    assert {each["code"] for each in better["warnings"]} == {"no-better-than-constant", "linear-as-good"}


def test_scores_that_are_not_defined_are_no_warnings_of_chance():
    unknown = {"score": None, "losses": {"valid": Estimate(1.0, math.nan, 1), "test": Estimate(9.0, math.nan, 1)}}
    result = find_warnings(replace(NUMBERS, **unknown, ahead=Estimate(0.0, math.nan, 1)))
    assert result["warnings"] == []
    assert {"small-test", "worse-on-test", "no-better-than-constant"} <= set(result["not_checked"])
