import json

import numpy as np
import pandas as pd
import pytest

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.explaining.baselines import fit_baselines
from torchlane.core.explaining.evidence import gather_evidence
from torchlane.core.explaining.warnings import RULES, find_warnings
from torchlane.core.judging.evaluation import evaluate
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import SECTIONS
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import PARTS, rows_of, split_rows
from torchlane.core.search.chosen import no_change

RANDOM = np.random.default_rng(0)


def warnings_of(columns, task="regression", kinds=None, importances=(), **sections):
    """Train and judge as the pipeline does; columns of text are categories."""
    rows = pd.DataFrame(columns)
    found = {name: "category" if rows[name].dtype.kind in "OUT" else "number" for name in rows if name != "y"}
    data = {
        "task": task,
        "target": "y",
        "columns": {name: {"kind": kind} for name, kind in found.items()} | (kinds or {}),
    }
    sections = {"data": data, "training": {"epochs": 3, "members": 2}, "model": {"widths": [8]}, **sections}
    options = {name: model.model_validate(sections.get(name, {})) for name, model in SECTIONS.items()}
    clean, _ = check_rows(rows if kinds else rows.astype(str), options["data"])
    splits = split_rows(clean, options["data"], options["split"])
    parts = {part: rows_of(part, clean, splits) for part in PARTS}
    encoder = fit_encoder(parts["train"], options["data"], options["encoding"])
    tensors = {part: build_tensors(each, encoder) for part, each in parts.items()}
    lesson = Lesson(tensors["train"], tensors["valid"], encoder, options["training"])
    model, _ = train_model(lesson, options["data"], options["model"], NoCheckpoints(), "drawn")
    metrics, _ = evaluate(model, tensors, clean, splits, options["evaluation"].coverage, quiet=True)
    baselines = fit_baselines(model, tensors, clean, splits, options["evaluation"])
    table = pd.DataFrame(list(importances), columns=["feature", "importance", "over_repeats"])
    evidence = gather_evidence(model, tensors, options["split"], metrics, baselines, table, no_change())
    result = find_warnings(evidence)
    assert json.loads(json.dumps(result, allow_nan=False)) == result  # JSON has no NaN
    assert set(result["checked"]) | set(result["not_checked"]) == set(RULES)
    return {each["code"]: each for each in result["warnings"]}, result


def draw(n_rows: int = 400) -> dict[str, np.ndarray]:
    x, z, noise = RANDOM.normal(size=(3, n_rows))
    return {"x": x, "z": z, "y": x + np.abs(z) + 0.3 * noise}


def test_a_leak_is_named_with_its_column():
    columns = draw()
    found, _ = warnings_of({**columns, "copy": 3 * columns["y"] + 1})
    assert found["leak"]["column"] == "copy"
    found, _ = warnings_of(columns)
    assert "leak" not in found


def test_contradictions_tails_and_constants_are_measured_on_the_rows():
    levels = RANDOM.integers(0, 4, 400)
    target = np.exp(2 * RANDOM.normal(size=400))
    found, _ = warnings_of({"level": [f"l{each}" for each in levels], "same": np.ones(400), "y": target})
    assert {"contradictory-rows", "heavy-tail", "useless-feature"} <= set(found)
    assert found["contradictory-rows"]["numbers"]["rows"] == 400
    assert found["useless-feature"]["column"] == "same"


def test_a_feature_that_importances_and_its_own_signal_find_idle_is_named():
    columns = {**draw(800), "idle": RANDOM.permutation(np.arange(800.0))}
    importances = [("x", 0.5, 0.01), ("z", 0.2, 0.01), ("idle", 0.001, 0.01)]
    signals = [warnings_of({**columns, "idle": RANDOM.normal(size=800)}, importances=importances)[0] for _ in range(4)]
    assert any(found.get("useless-feature", {}).get("column") == "idle" for found in signals)
    assert all(found["useless-feature"]["column"] == "idle" for found in signals if "useless-feature" in found)


def test_parts_of_other_rows_are_told_apart_and_worse():
    columns = draw(900)
    part = np.repeat(["train", "valid", "test"], 300)
    columns["x"][600:] += 2
    columns["y"][600:] += 20
    split = {"part_column": "part"}
    found, _ = warnings_of({**columns, "part": part}, split=split)
    assert {"parts-differ", "worse-on-test", "interval-undercovers"} <= set(found)
    assert "as split.part_column 'part' makes the parts" in found["parts-differ"]["warning"]


def test_rows_of_a_rare_class_are_missed_and_accuracy_says_little():
    labels = np.where(np.arange(1200) % 20 == 0, "rare", "common")
    found, _ = warnings_of({"x": RANDOM.normal(size=1200), "y": labels}, "binary", split={"test_fraction": 0.4})
    assert {"class-missed", "imbalanced", "no-better-than-constant"} <= set(found)
    assert found["class-missed"]["numbers"]["classes"]["rare"]["recall"] < 0.2


SITUATIONS = {
    "no test": dict(columns=draw(60), split={"test_fraction": 0}),
    "no valid": dict(columns=draw(60), split={"valid_fraction": 0}),
    "neither": dict(columns=draw(60), split={"valid_fraction": 0, "test_fraction": 0}),
    "few rows": dict(columns=draw(8)),
    "all rows in all parts": dict(columns=draw(60), split={"all_rows_in": ["train", "valid", "test"]}),
    "one value of the target": dict(columns={"x": np.arange(60), "y": np.ones(60)}),
    "weights": dict(
        columns={**draw(60), "w": np.arange(60) % 3}, kinds=None, data={
            "task": "regression", "target": "y", "weight": "w", "columns": {"x": {"kind": "number"}, "w": {"kind": "number"}}
        }
    ),
    "levels only": dict(columns={"level": [f"l{number}" for number in range(60)], "y": np.arange(60)}),
    "100 classes": dict(
        columns={"x": np.arange(400), "y": [f"c{number % 100}" for number in range(400)]}, task="multiclass",
        split={"stratify": True, "valid_fraction": 0.25, "test_fraction": 0.25},
    ),
    "1,000 features": dict(
        columns={**{f"x{n}": v for n, v in enumerate(RANDOM.normal(size=(1000, 40)))}, "y": RANDOM.normal(size=40)}
    ),
    "images": dict(
        columns={"image": list(RANDOM.integers(0, 255, (60, 1, 6, 6), dtype=np.uint8)), "y": ["a", "b"] * 30},
        task="binary", kinds={"image": {"kind": "image", "size": [1, 6, 6]}}, model={"kind": "cnn", "widths": [4]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_no_situation_stops_a_run(situation):
    _, result = warnings_of(**SITUATIONS[situation])
    codes = [each["code"] for each in result["warnings"]]
    expected = {"no test": "no-test", "neither": "no-test", "few rows": "small-test", "all rows in all parts": "tested-on-train", "one value of the target": "undefined-metric"}  # fmt: skip
    if situation in expected:
        assert expected[situation] in codes


def test_parts_of_an_order_differ_by_intention():
    columns = {**draw(200), "x": np.arange(200.0)}
    found, _ = warnings_of(columns)
    assert "parts-differ" not in found
    found, result = warnings_of(columns, split={"order_by": "x"})
    assert result["not_checked"]["parts-differ"] == "split.order_by makes the parts, which differ by intention"
