"""Scoring as a scheduler starts it: what a run writes."""

import json
import shutil

import pandas as pd
import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

import torchlane
from tests.commands import PROJECT
from tests.test_runs import SALARIES
from torchlane.cli import cli


def test_run_from_the_model_file_alone_leaves_predictions_ledger_drift_and_figure(score, outputs, inbox):
    shutil.copy(SALARIES, inbox / "march.csv")
    done = score("salaries.evaluation.coverage=0.5")
    assert done.exit_code == 0, done.output
    (output,) = (outputs / "07_model_output/salaries/predictions").iterdir()
    predictions = pd.read_csv(output)
    model = torchlane.load(outputs / "06_models/salaries/model.safetensors")
    expected = model.predict(pd.read_csv(SALARIES, dtype="str", keep_default_na=False), coverage=0.5)
    pd.testing.assert_frame_equal(predictions[list(expected)], expected, check_exact=True, check_dtype=False)
    assert sorted(str(path.relative_to(outputs)) for path in outputs.rglob("*") if path.is_file()) == [
        "06_models/salaries/model.safetensors",
        "07_model_output/salaries/ledger.sqlite",
        f"07_model_output/salaries/predictions/{output.name}",
        "08_reporting/salaries/drift.json",
        "08_reporting/salaries/drift_by_file.json",
        "08_reporting/salaries/scoring.json",
    ]
    drift = json.loads((outputs / "08_reporting/salaries/drift.json").read_text())
    assert [(file["file"], file["rows"], file["beyond"]) for file in drift["files"]] == [("march.csv", 607, [])]
    assert json.loads((outputs / "08_reporting/salaries/drift_by_file.json").read_text())["data"]


def test_truth_that_arrives_later_gives_live_metrics_once(score, outputs, inbox):
    shutil.copy(SALARIES, inbox / "march.csv")
    assert score().exit_code == 0
    metrics = outputs / "08_reporting/salaries/live_metrics.json"
    assert not metrics.exists()
    truth = pd.read_csv(SALARIES)[["salary_in_usd"]].head(100)
    (inbox.parent / "salaries_outcomes").mkdir()
    truth.assign(file="march.csv", row=truth.index + 1).to_csv(
        inbox.parent / "salaries_outcomes/april.csv", index=False
    )
    done = score()
    assert done.exit_code == 0, done.output
    found = json.loads(metrics.read_text())
    assert found["all"]["rows"] == 100
    assert found["all"]["mean_absolute_error"] > 0
    metrics.unlink()
    assert score().exit_code == 0
    assert not metrics.exists()  # nothing is new


@pytest.mark.parametrize(("use_case", "target"), [("zoo", "class_type"), ("water_potability", "Potability")])
def test_labels_are_predicted_with_their_probabilities(tmp_path, use_case, target):
    bootstrap_project(PROJECT)
    settings = f"output_root={tmp_path},raw_root={tmp_path}/raw,{use_case}.prediction.settle_seconds=0"
    train = ["run", f"--pipeline={use_case}", "--env=test", f"--params=output_root={tmp_path}"]
    assert CliRunner().invoke(cli, train).exit_code == 0
    rows = pd.read_csv(PROJECT / f"data/01_raw/{use_case}.csv", dtype="str", keep_default_na=False)
    inbox = tmp_path / f"raw/{use_case}_inbox"
    inbox.mkdir(parents=True)
    rows.drop(columns=target).to_csv(inbox / "new.csv.gz", index=False)
    done = CliRunner().invoke(cli, ["run", f"--pipeline={use_case}.predict", "--env=test", f"--params={settings}"])
    assert done.exit_code == 0, done.output
    (output,) = (tmp_path / f"07_model_output/{use_case}/predictions").iterdir()
    found = pd.read_csv(output)
    expected = torchlane.load(tmp_path / f"06_models/{use_case}/model.safetensors").predict(rows)
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_exact=True)
