"""Scoring as a scheduler starts it: exit statuses, and the status command."""

import json
import pickle
import shutil

import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from tests.commands import PROJECT
from tests.test_runs import SALARIES
from torchlane.cli import cli

from .asking import settings_of, status


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
        "salaries: 1 waiting to settle, 1 done, 1 copies, 1 failed\ntoday: 1 file done, 607 rows scored, 0 rejected, "
    )
    assert "  broken.csv after 2 attempts: column 'work_year' is missing; its columns are no" in shown
    assert status(outputs, "--retry") == "1 files will be tried again by the next run\n"


def test_status_of_an_unknown_use_case_names_those_there_are():
    bootstrap_project(PROJECT)
    done = CliRunner().invoke(cli, ["status", "salarie"])
    assert done.exit_code == 1
    assert "'salarie' is not a use case; there are digits, salaries, water_potability" in done.stderr


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


def test_model_of_images_says_how_to_predict_them(outputs, inbox, tmp_path):
    bootstrap_project(PROJECT)
    train = ["run", "--pipeline=digits", "--env=test", f"--params=output_root={tmp_path},digits.training.epochs=1"]
    assert CliRunner().invoke(cli, train).exit_code == 0
    done = CliRunner().invoke(
        cli, ["run", "--pipeline=digits.predict", "--env=test", f"--params=output_root={tmp_path}"]
    )
    assert done.exit_code == 5
    assert "the model takes images, and the files of an inbox hold tables" in done.stderr
