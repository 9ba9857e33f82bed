"""Artifacts by hand, of a few rows."""

from dataclasses import replace
from typing import Any

import pandas as pd

from torchlane.core.options import (
    DataOptions,
    DiagnosisOptions,
    EncodingOptions,
    EvaluationOptions,
    ModelOptions,
    Recipe,
    SplitOptions,
    TrainingOptions,
    TuningOptions,
)
from torchlane.reporting.facts.artifacts import Artifacts
from torchlane.reporting.facts.gather import gather_facts

PLACE = {
    "use_case": "houses",
    "model": "data/06_models/houses/model.safetensors",
    "inbox": "data/01_raw/houses_inbox",
    "environment": None,
    "given": {"output_root": None, "raw_root": None},
}
NUMBERS = {"r2_score": 0.6, "mean_absolute_error": 30156.6, "root_mean_squared_error": 42000.0, "loss": 0.3}
LABELS = {
    "accuracy_score": 0.6721,
    "balanced_accuracy_score": 0.6,
    "macro_f1_score": 0.58,
    "cross_entropy_loss": 0.6,
    "loss": 0.61,
}

BY_ROWS = {
    **{"batch_size": 64, "epochs": 200, "patience_epochs": 20, "members": 16},
    **{"learning_rate": 0.002, "sharing": "columns", "refit": False},
}


def of_numbers(metrics: dict[str, Any] | None = None, features: int = 2, **others: Any) -> Artifacts:
    """Make the artifacts of a regression on test of 91 rows; `metrics` and `others` replace parts of them."""
    names = [f"feature_{number}" for number in range(features)]
    columns = {name: {"kind": "number", "minimum": 0} for name in names} | {"price": {"kind": "number", "unit": "USD"}}
    own = {
        "train": NUMBERS,
        "valid": NUMBERS,
        "test": NUMBERS,
        "baseline": {"r2_score": -0.01, "mean_absolute_error": 55000.0, "root_mean_squared_error": 70000.0},
        "median": {"value": 101_000.0, "mean_absolute_error": 52000.0},
        "rows": {"train": 425, "valid": 91, "test": 91},
        "data": "sales of 2025",
        "calibration": {"coverage_asked": 0.9, "coverage": 0.9231, "interval_width": 148567.6},
        "cross_validation": {},
    }
    data = DataOptions(task="regression", target="price", columns=columns)
    return _artifacts(data, names, own | (metrics or {}), others)


def of_labels(
    labels: tuple[str, ...] = ("no", "yes"), metrics: dict[str, Any] | None = None, **others: Any
) -> Artifacts:
    """Make the artifacts of a classification on test of 491 rows; the last of two labels is the positive one."""
    binary = len(labels) == 2
    scores = {"roc_auc_score": 0.68, **LABELS, "f1_score": 0.4} if binary else LABELS
    own = {
        "train": scores,
        "valid": scores,
        "test": scores,
        "baseline": {**scores, "accuracy_score": 0.6212},
        "rows": {"train": 2293, "valid": 492, "test": 491},
        "data": "bundled sample",
        "calibration": {"temperature": 0.84},
        "positive": labels[-1] if binary else None,
        "classes": {
            label: {"precision": 0.65, "recall": 0.9 - 0.6 * (place > 0), "f1": 0.4, "rows": 186}
            for place, label in enumerate(labels)
        },
        "absent_from_test": [],
        "cross_validation": {},
    }
    columns = {"feature_0": {"kind": "category"}, "answer": {"kind": "category", "levels": labels}}
    data = DataOptions(task="binary" if binary else "multiclass", target="answer", columns=columns)
    return _artifacts(data, ["feature_0"], own | (metrics or {}), others)


def facts_of(artifacts: Artifacts) -> dict[str, Any]:
    """Gather facts, with a place as the dataset adds it."""
    return {**gather_facts(artifacts), "place": PLACE}


def _artifacts(data: DataOptions, names: list[str], metrics: dict[str, Any], others: dict[str, Any]) -> Artifacts:
    importances = [1 / (place + 1) for place in range(len(names))]
    made = Artifacts(
        data_summary={
            "source": metrics["data"],
            "rows": {"raw": 610, "kept": 607, "rejected": 3},
            "rejected": [{"rule": "a number", "column": names[0], "rows": 3}],
            "missing": {names[0]: 12},
            "repeats": {"copies": 42, "by_chance": 0},
            "split": metrics["rows"],
            "columns": {name: {"kind": "number", "unit": None, "distinct": 40} for name in names},
        },
        provenance={
            "time": "2025-03-01T06:30:00+00:00",
            "model": "a" * 64,
            "rows": "b" * 64,
            "source": metrics["data"],
            "members": 16,
            "by_rows": BY_ROWS,
            "device": "cpu",
            "threads": 1,
            "versions": {"torchlane": "0.1.0", "torch": "2.15.0"},
            "system": "Linux on x86_64",
            "processors": 2,
            "commit": "c" * 40,
        },
        history=pd.DataFrame(
            {"epoch": [1, 2, 3], "train_loss": 0.5, "seconds": 0.5, "members": 16, "members_kept": [0, 10, 6]}
        ),
        diagnosis={"enabled": True, "capacity": "10561 parameters", "findings": []},
        metrics=metrics,
        baselines={"linear": {"name": "ridge regression", "valid": {}, "test": metrics["test"]}},
        warnings={"warnings": [], "checked": ["small-test"], "not_checked": {}},
        explanation={"part": "test", "metric": "r2_score", "reason": None, "left_out": 0},
        feature_importances=pd.DataFrame(
            {"feature": names, "importance": importances, "over_repeats": 0.01, "over_members": 0.02}
        ),
        mistakes=pd.DataFrame({"row": [7], "truth": ["1"], "prediction": ["2"], "error": [1.0], names[0]: [3]}),
        failures=pd.DataFrame(columns=["feature", "group", "rows", "error", "overall", "standard_errors"]),
        leaderboard=pd.DataFrame(columns=["trial", "state", "value"]),
        chosen_options={"trials": 0, "values": {}},
        option_importances={},
        recipe=Recipe(encoding=EncodingOptions(), model=ModelOptions(), training=TrainingOptions()),
        data=data,
        split=SplitOptions(),
        tuning=TuningOptions(),
        evaluation=EvaluationOptions(),
        diagnosing=DiagnosisOptions(),
    )
    return replace(made, **others)
