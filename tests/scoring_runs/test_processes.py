"""Scoring as a scheduler starts it: processes, signals, and runs beside each other."""

import json
import os
import shutil
import signal
import sqlite3
import sys
import time
from pathlib import Path

import pandas as pd

from tests.commands import PROJECT, Started, run_command
from tests.test_runs import SALARIES

from .asking import settings_of, status


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


def test_scoring_runs_beside_a_training_and_leaves_its_notes_alone(score, outputs, inbox):
    from filelock import FileLock

    shutil.copy(SALARIES, inbox / "march.csv")
    note = outputs / "06_models/salaries/.unfinished.json"
    note.write_text('["salaries.model"]')
    with FileLock(outputs / "06_models/salaries/.lock"):
        assert score().exit_code == 0
    assert note.read_text() == '["salaries.model"]'


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


def test_ledger_is_the_same_from_every_folder_of_the_project(outputs, inbox):
    shutil.copy(SALARIES, inbox / "march.csv")
    settings = settings_of(Path(os.path.relpath(outputs, PROJECT)), inbox)
    done = run_command("kedro", "run", "--pipeline=salaries.predict", "--env=test", settings, folder=PROJECT / "tests")
    assert done.returncode == 0, done.stderr
    assert (outputs / "07_model_output/salaries/ledger.sqlite").exists()
