"""Scoring as a scheduler starts it: exit statuses, the status command, and runs beside each other."""

import json
import os
import pickle
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project

import torchlane
from torchlane.cli import cli

from .commands import PROJECT, Started, run_command
from .test_runs import SALARIES

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """The outputs of a training."""
    folder = tmp_path_factory.mktemp("trained")
    bootstrap_project(PROJECT)
    settings = f"--params=output_root={folder},salaries.training.epochs=2,salaries.training.members=1"
    done = CliRunner().invoke(cli, ["run", "--pipeline=salaries", "--env=test", settings])
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def outputs(trained, tmp_path) -> Path:
    """A folder with the model alone: scoring needs nothing else."""
    (tmp_path / "outputs/06_models/salaries").mkdir(parents=True)
    shutil.copy(trained / "06_models/salaries/model.safetensors", tmp_path / "outputs/06_models/salaries")
    return tmp_path / "outputs"


@pytest.fixture
def inbox(tmp_path) -> Path:
    folder = tmp_path / "raw/salaries_inbox"
    folder.mkdir(parents=True)
    return folder


def settings_of(outputs: Path, inbox: Path, params: str = "") -> str:
    own = f"output_root={outputs},raw_root={inbox.parent},salaries.prediction.settle_seconds=0"
    return f"--params={own}" + (f",{params}" if params else "")


@pytest.fixture
def score(outputs, inbox) -> Run:
    def run(params: str = "", *arguments: str) -> Result:
        bootstrap_project(PROJECT)
        command = ["run", "--pipeline=salaries.predict", "--env=test", settings_of(outputs, inbox, params)]
        return CliRunner().invoke(cli, [*command, *arguments])

    return run


def status(outputs: Path, *arguments: str) -> str:
    bootstrap_project(PROJECT)
    settings = f"--params=output_root={outputs},raw_root={outputs.parent}/raw"
    done = CliRunner().invoke(cli, ["status", "salaries", "--env=test", settings, *arguments])
    assert done.exit_code == 0, done.output
    return done.output


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


def test_statuses_tell_a_scheduler_what_to_do(score, outputs, inbox):
    assert score().exit_code == 0
    text = SALARIES.read_text()
    (inbox / "rejected.csv").write_text(text.replace("2021", "1"))
    done = score()
    assert done.exit_code == 3
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "rows of rejected.csv are rejected, more than prediction.max_rejected_fraction 0.2 allows" in done.stderr
    (inbox / "good.csv").write_text(text)
    (inbox / "broken.csv").write_text("no\n1\n")
    done = score()
    assert done.exit_code == 4
    assert "broken.csv: column 'work_year' is missing; its columns are no" in done.stderr
    (inbox / "drifted.csv").write_text(text.replace('"EX"', '"SE"').replace('"MI"', '"EN"').replace('"SE"', '"EX"'))
    assert score("salaries.prediction.drift.action=stop").exit_code == 6
    assert score("salaries.prediction.max_atempts=1").exit_code == 1
    assert {entry["name"]: entry["state"] for entry in json.loads(status(outputs, "--json"))} == {
        "rejected.csv": "done",
        "good.csv": "done",
        "broken.csv": "failed",
        "drifted.csv": "failed",
    }


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda outputs: (outputs / "06_models/salaries/model.safetensors").unlink(),
            "model.safetensors does not exist",
        ),
        (
            lambda outputs: (outputs / "06_models/salaries/model.safetensors").write_bytes(pickle.dumps(pytest.fail)),
            "is not a whole safetensors file",
        ),
        (
            lambda outputs: [
                (outputs / "07_model_output/salaries").mkdir(parents=True),
                (outputs / "07_model_output/salaries/ledger.sqlite").write_text("this is no database" * 100),
            ],
            "cannot be opened",
        ),
    ],
    ids=["no model", "pickle", "no ledger"],
)
def test_run_that_cannot_start_has_a_status_of_its_own_and_claims_nothing(score, outputs, inbox, spoil, message):
    shutil.copy(SALARIES, inbox / "march.csv")
    spoil(outputs)
    done = score()
    assert done.exit_code == 5
    (line,) = done.stderr.splitlines()
    assert message in line
    assert not (outputs / "07_model_output/salaries/predictions").exists()


def test_status_says_what_failed_and_why(score, outputs, inbox):
    assert status(outputs) == "salaries: no file has arrived yet\n"
    shutil.copy(SALARIES, inbox / "march.csv")
    shutil.copy(SALARIES, inbox / "again.csv")
    (inbox / "broken.csv").write_text("no\n1\n")
    score()
    shutil.copy(SALARIES, inbox / "young.csv").touch()
    score("salaries.prediction.settle_seconds=600")
    shown = status(outputs)
    assert shown.startswith(
        "salaries: 1 waiting to settle, 1 done, 1 copies, 1 failed\ntoday: 1 files done, 607 rows scored, 0 rejected, "
    )
    assert "  broken.csv after 2 attempts: column 'work_year' is missing; its columns are no" in shown
    assert status(outputs, "--retry") == "1 files will be tried again by the next run\n"


def test_status_of_an_unknown_use_case_names_those_there_are():
    bootstrap_project(PROJECT)
    done = CliRunner().invoke(cli, ["status", "salarie"])
    assert done.exit_code == 1
    assert "'salarie' is not a use case; there are digits, salaries, water_potability" in done.stderr


def test_scoring_runs_beside_a_training_and_leaves_its_notes_alone(score, outputs, inbox):
    from filelock import FileLock

    shutil.copy(SALARIES, inbox / "march.csv")
    note = outputs / "06_models/salaries/.unfinished.json"
    note.write_text('["salaries.model"]')
    with FileLock(outputs / "06_models/salaries/.lock"):
        assert score().exit_code == 0
    assert note.read_text() == '["salaries.model"]'


def test_two_processes_over_one_inbox_score_each_file_once(outputs, inbox):
    text = SALARIES.read_text().splitlines()
    for number in range(8):
        (inbox / f"{number}.csv").write_text("\n".join(text[: number + 5]))
    command = ["kedro", "run", "--pipeline=salaries.predict", "--env=test", settings_of(outputs, inbox)]
    with Started(*command) as one, Started(*command) as other:
        jobs = [one.wait(), other.wait()]
    logs = [job.stderr for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], logs
    assert sum(log.count(" rows scored, 0 rejected") for log in logs) == 8
    assert {entry["state"] for entry in json.loads(status(outputs, "--json"))} == {"done"}
    lengths = [len(pd.read_csv(path)) for path in (outputs / "07_model_output/salaries/predictions").iterdir()]
    assert sorted(lengths) == list(range(4, 12))


def test_sigterm_ends_the_run_and_gives_the_file_back(outputs, inbox):
    from torchlane.core.rows.samples import write_sample

    write_sample("salaries", 400_000, 0, inbox / "large.csv")
    command = ["kedro", "run", "--pipeline=salaries.predict", "--env=test", settings_of(outputs, inbox)]
    folder = outputs / "07_model_output/salaries/predictions"
    with Started(*command) as job:
        while not job.ended() and not (folder.exists() and list(folder.glob(".partial*"))):
            time.sleep(0.02)
        job.send(signal.SIGTERM)
        done = job.wait()
    assert done.returncode == 143, done.stderr
    assert list(folder.iterdir()) == []
    with sqlite3.connect(outputs / "07_model_output/salaries/ledger.sqlite") as ledger:
        assert ledger.execute("SELECT state, attempts FROM contents").fetchall() == [("waiting", 0)]


def test_scoring_does_not_import_what_only_training_or_reports_need(outputs, inbox):
    shutil.copy(SALARIES, inbox / "march.csv")
    program = (
        "import sys; from click.testing import CliRunner; from kedro.framework.startup import bootstrap_project\n"
        "from torchlane.cli import cli; from pathlib import Path; bootstrap_project(Path.cwd())\n"
        f"command = ['run', '--pipeline=salaries.predict', '--env=test', {settings_of(outputs, inbox)!r}]\n"
        "done = CliRunner().invoke(cli, command); assert done.exit_code == 0, done.output\n"
        "heavy = {'torchvision', 'sklearn', 'torchlane.core.training.fit'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = run_command(sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr


def test_nothing_arrived_means_nothing_is_drawn(outputs, inbox):
    program = (
        "import sys; from click.testing import CliRunner; from kedro.framework.startup import bootstrap_project\n"
        "from torchlane.cli import cli; from pathlib import Path; bootstrap_project(Path.cwd())\n"
        f"command = ['run', '--pipeline=salaries.predict', '--env=test', {settings_of(outputs, inbox)!r}]\n"
        "done = CliRunner().invoke(cli, command); assert done.exit_code == 0, done.output\n"
        "heavy = {'torchlane.figures.drift', 'torchlane.pipelines.supervised'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = run_command(sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    assert not (outputs / "08_reporting/salaries/drift_by_file.json").exists()


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


def test_model_of_images_says_how_to_predict_them(outputs, inbox, tmp_path):
    bootstrap_project(PROJECT)
    train = ["run", "--pipeline=digits", "--env=test", f"--params=output_root={tmp_path},digits.training.epochs=1"]
    assert CliRunner().invoke(cli, train).exit_code == 0
    done = CliRunner().invoke(
        cli, ["run", "--pipeline=digits.predict", "--env=test", f"--params=output_root={tmp_path}"]
    )
    assert done.exit_code == 5
    assert "the model takes images, and the files of an inbox hold tables" in done.stderr


def test_ledger_is_the_same_from_every_folder_of_the_project(outputs, inbox):
    shutil.copy(SALARIES, inbox / "march.csv")
    settings = settings_of(Path(os.path.relpath(outputs, PROJECT)), inbox)
    done = run_command("kedro", "run", "--pipeline=salaries.predict", "--env=test", settings, folder=PROJECT / "tests")
    assert done.returncode == 0, done.stderr
    assert (outputs / "07_model_output/salaries/ledger.sqlite").exists()


def test_worst_of_several_use_cases_decides_the_exit_status(score, outputs, inbox, trained):
    text = SALARIES.read_text()
    (inbox / "rejected.csv").write_text(text.replace("2021", "1"))
    zoo = inbox.parent / "zoo_inbox"
    zoo.mkdir()
    (zoo / "broken.csv").write_text("no\n1\n")
    train = ["run", "--pipeline=zoo", "--env=test", f"--params=output_root={outputs}"]
    assert CliRunner().invoke(cli, train).exit_code == 0
    done = CliRunner().invoke(
        cli,
        [
            "run",
            "--pipelines=salaries.predict,zoo.predict",
            "--env=test",
            settings_of(outputs, inbox, "zoo.prediction.settle_seconds=0"),
        ],
    )
    assert done.exit_code == 4, done.stderr
    assert "broken.csv" in done.stderr.splitlines()[-1]
    assert "(and 1 more, see the log)" in done.stderr.splitlines()[-1]
