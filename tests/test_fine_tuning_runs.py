"""Fine-tuning as a user types it."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import torchlane

from .commands import PROJECT, run_command
from .test_runs import digests, read_json

NEW = PROJECT / "data/01_raw/salaries_new.csv"


def run(pipeline: str, root: Path, params: str = ""):
    settings = ",".join(filter(None, [f"output_root={root}", params]))
    return run_command("kedro", "run", f"--pipeline={pipeline}", "--env=test", f"--params={settings}")


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The outputs of a run of salaries."""
    root = tmp_path_factory.mktemp("trained")
    done = run("salaries", root)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def root(trained, tmp_path) -> Path:
    shutil.copytree(trained, tmp_path / "out")
    return tmp_path / "out"


def test_run_leaves_every_artifact_and_the_python_api_predicts_the_same(root):
    parent = (root / "06_models/salaries/model.safetensors").read_bytes()
    before = set(digests(root))
    done = run("salaries.fine_tune", root, "salaries.fine_tuning.freeze.first=1")
    assert done.returncode == 0, done.stderr
    assert sorted(set(digests(root)) - before) == [
        "02_intermediate/salaries/new_clean_rows.parquet",
        "02_intermediate/salaries/new_rejected_rows.csv",
        "03_primary/salaries/new_splits.parquet",
        "06_models/salaries/fine_tuned_model.safetensors",
        "07_model_output/salaries/comparison_scores.csv",
        "07_model_output/salaries/fine_tuned_predictions.csv",
        "08_reporting/salaries/comparison.json",
        "08_reporting/salaries/fine_tuned_history.csv",
        "08_reporting/salaries/fine_tuned_history.json",
        "08_reporting/salaries/fine_tuned_metrics.json",
        "08_reporting/salaries/fine_tuned_predictions.json",
    ]
    assert (root / "06_models/salaries/model.safetensors").read_bytes() == parent
    assert "frozen: linear_1" in done.stderr
    assert "fine-tuned ahead of scratch: r2_score by" in done.stderr
    assert "on the parent's own 91 test rows" in done.stderr
    metrics = read_json(root / "08_reporting/salaries/fine_tuned_metrics.json")
    own = torchlane.load(root / "06_models/salaries/model.safetensors")
    assert metrics["parent"]["fingerprint"] == own.fingerprint
    assert metrics["data"] == "bundled sample"
    assert metrics["rows"]["train"] + metrics["rows"]["valid"] + metrics["rows"]["test"] == 200
    assert metrics["forgetting"]["parent"]["r2_score"] == pytest.approx(
        read_json(root / "08_reporting/salaries/metrics.json")["test"]["r2_score"]
    )
    saved = pd.read_csv(root / "07_model_output/salaries/fine_tuned_predictions.csv")
    raw = pd.read_csv(NEW, keep_default_na=False).iloc[saved["row"] - 1]
    tuned = torchlane.load(root / "06_models/salaries/fine_tuned_model.safetensors")
    np.testing.assert_array_equal(tuned.predict(raw)["prediction"], saved["prediction"])

    first = (root / "06_models/salaries/fine_tuned_model.safetensors").read_bytes()
    done = run("salaries.fine_tune", root, "salaries.fine_tuning.freeze.first=1")
    assert done.returncode == 0, done.stderr
    assert (root / "06_models/salaries/fine_tuned_model.safetensors").read_bytes() == first


def test_parent_of_another_use_case_is_named_by_path(root, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(NEW, raw / "water_potability_new.csv")
    parent = root / "06_models/salaries/model.safetensors"
    params = f"raw_root={raw},water_potability.fine_tuning.parent={parent}"
    done = run("water_potability.fine_tune", root, params)
    assert done.returncode == 1
    assert "the parent was trained for another task, regression of 'salary_in_usd', not binary" in done.stderr

    elsewhere = tmp_path / "elsewhere"
    done = run("salaries.fine_tune", elsewhere, f"salaries.fine_tuning.parent={parent}")
    assert done.returncode == 0, done.stderr
    metrics = read_json(elsewhere / "08_reporting/salaries/fine_tuned_metrics.json")
    assert metrics["forgetting"]["rows"] == 91


@pytest.mark.parametrize(
    ("pipeline", "params", "message"),
    [
        ("zoo.fine_tune", "", "data/01_raw/zoo_new.csv does not exist; put a CSV file with a header there"),
        ("digits.fine_tune", "", "data/01_raw/digits_new is not a folder; put one sub-folder per class there"),
        ("salaries.fine_tune", "", "06_models/salaries/model.safetensors to fine-tune; run the use case's pipeline"),
        ("salaries.fine_tune", "salaries.fine_tuning.parent=nowhere", "there is no parent nowhere to fine-tune"),
        ("salaries.fine_tune", "salaries.fine_tuning.frezee=head", "did you mean 'freeze'"),
    ],
)
def test_mistake_ends_in_one_line_with_status_1(tmp_path, pipeline, params, message):
    done = run(pipeline, tmp_path, params)
    assert done.returncode == 1
    (error,) = [line for line in done.stderr.splitlines() if " INFO " not in line]
    assert error.startswith("Error: ")
    assert message in error


def test_new_rows_that_lack_a_column_of_the_parent_are_refused_with_its_name(root, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    pd.read_csv(NEW).drop(columns="job_title").to_csv(raw / "salaries_new.csv", index=False)
    done = run("salaries.fine_tune", root, f"raw_root={raw}")
    assert done.returncode == 1
    assert "column 'job_title' is missing in " in done.stderr
    assert "and the parent needs it" in done.stderr


def test_images_of_new_classes_come_from_a_folder(tmp_path):
    from PIL import Image
    from sklearn.datasets import load_digits

    bundled = load_digits()
    for number, (image, label) in enumerate(zip(bundled.images[:120], bundled.target[:120], strict=True)):
        name = "letter" if label == 9 else str(label)  # the parent knows no letter
        place = tmp_path / "raw/digits_new" / name / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).save(place)
    quick = "digits.training.epochs=1,digits.fine_tuning.repeats=1,digits.fine_tuning.freeze.first=1"
    done = run("digits", tmp_path / "out", quick)
    assert done.returncode == 0, done.stderr
    conf = shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    parameters = conf / "base/parameters/digits.yml"
    levels = "levels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"
    assert levels in parameters.read_text()
    parameters.write_text(parameters.read_text().replace(levels, levels.replace("9]", "9, letter]")))
    settings = f"--params=output_root={tmp_path}/out,raw_root={tmp_path}/raw,{quick}"
    command = ("kedro", "run", "--pipeline=digits.fine_tune", "--env=test", f"--conf-source={conf}", settings)
    done = run_command(*command)
    assert done.returncode == 0, done.stderr
    assert "frozen: convolution_1_1" in done.stderr
    assert "new classes: letter" in done.stderr
    tuned = torchlane.load(tmp_path / "out/06_models/digits/fine_tuned_model.safetensors")
    assert tuned.encoder.target.labels == (*map(str, range(10)), "letter")
    metrics = read_json(tmp_path / "out/08_reporting/digits/fine_tuned_metrics.json")
    assert metrics["rows"]["train"] + metrics["rows"]["valid"] + metrics["rows"]["test"] == 120
    assert metrics["forgetting"]["rows"] > 200
