"""What stands in `deploy/`, as far as a machine without a scheduler can check it."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
from jinja2 import Environment

from torchlane.core.scoring.failures import ScoringError

from .commands import PROJECT, run_command

DEPLOY = PROJECT / "deploy"
README = (DEPLOY / "README.md").read_text()
AIRFLOW = "apache-airflow==3.3.2"


@pytest.fixture
def installed(tmp_path) -> Path:
    """A project whose `kedro` writes down how it was called and ends with the statuses in the file `statuses`."""
    shutil.copytree(DEPLOY, tmp_path / "deploy")
    kedro = tmp_path / ".venv/bin/kedro"
    kedro.parent.mkdir(parents=True)
    kedro.write_text(
        '#!/bin/sh\necho "$@" >> called\n. ./settings\n'
        'status=$(head -n 1 statuses); sed -i 1d statuses\necho "Error: this is why"\nexit "$status"\n'
    )
    kedro.chmod(0o755)
    (tmp_path / "settings").write_text("")
    return tmp_path


def run_script(folder: Path, *statuses: int, **settings: str) -> tuple[int, list[str], str]:
    """Run `score.sh`: its status, the calls of kedro, and what it prints."""
    (folder / "statuses").write_text("".join(f"{status}\n" for status in statuses))
    environment = {**os.environ, "RETRY_SECONDS": "0", **settings}
    command = [str(folder / "deploy/score.sh"), "salaries", "--env=test"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/", timeout=60)
    called = folder / "called"
    return done.returncode, called.read_text().splitlines() if called.exists() else [], done.stdout + done.stderr


def test_script_calls_kedro_and_says_nothing_when_all_is_well(installed):
    assert run_script(installed, 0) == (0, ["run --pipeline=salaries.predict --env=test"], "")
    assert "this is why" in (installed / "data/08_reporting/salaries/scoring.log").read_text()


@pytest.mark.parametrize(
    ("statuses", "status", "calls"),
    [([4, 0], 0, 2), ([5, 5, 0], 0, 3), ([4, 4, 4, 0], 4, 3), ([3], 3, 1), ([6], 6, 1), ([1], 1, 1), ([2], 2, 1)],
)
def test_script_tries_again_where_that_may_help(installed, statuses, status, calls):
    ended, called, printed = run_script(installed, *statuses)
    assert (ended, len(called)) == (status, calls)
    lines = [
        f"scoring salaries, try {number}, ended with status {each}: Error: this is why"
        for number, each in enumerate(statuses, 1)
        if each
    ]
    assert printed.splitlines() == lines[:calls]


def test_script_leaves_a_run_at_work_alone(installed):
    folder = installed / "data/08_reporting/salaries"
    folder.mkdir(parents=True)
    with (folder / ".score.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert run_script(installed, 0) == (0, [], "")


def test_script_ends_what_takes_too_long(installed):
    (installed / "settings").write_text("sleep 30\n")
    ended, called, _ = run_script(installed, 0, TIMEOUT="0.5")
    assert (ended, len(called)) == (124, 1)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_units_pass_systemd_analyze_and_a_mistake_does_not(tmp_path):
    units = []
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text().replace("/opt/torchlane/.venv/bin/kedro", "/bin/true")
        (tmp_path / path.name).write_text(text)
        units.append(str(tmp_path / path.name.replace("@.", "@salaries.")))
    done = run_command("systemd-analyze", "verify", "--man=no", *units)
    assert (done.returncode, done.stderr) == (0, "")
    service = tmp_path / "torchlane-predict@.service"
    service.write_text(service.read_text().replace("MemoryMax=", "MemoryMaximum="))
    assert "Unknown key" in run_command("systemd-analyze", "verify", "--man=no", *units).stderr


def test_cron_line_has_five_times_a_user_and_a_command_that_is_there():
    (line,) = [each for each in (DEPLOY / "cron/torchlane").read_text().splitlines() if re.match(r"[\d*]", each)]
    *times, user, command, use_case = line.split()
    assert len(times) == 5
    assert user == "torchlane"
    script = PROJECT / Path(command).relative_to("/opt/torchlane")
    assert os.access(script, os.X_OK)
    assert (PROJECT / f"conf/base/parameters/{use_case}.yml").exists()


def test_container_file_copies_what_is_there_and_all_that_a_run_needs(tmp_path):
    text = (DEPLOY / "container/Containerfile").read_text()
    copied = [words.split()[1:-1] for words in re.findall(r"^COPY (.*)$", text, re.MULTILINE)]
    for name in {name for names in copied for name in names}:
        source = PROJECT / name
        assert source.exists(), name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    done = run_command(
        "kedro", "run", "--pipeline=salaries.predict", f"--params=output_root={tmp_path}", folder=tmp_path
    )
    assert done.returncode == 5  # there is no model yet
    assert "model.safetensors does not exist" in done.stderr


@pytest.mark.slow
def test_container_builds():
    if shutil.which("docker") is None or run_command("docker", "info").returncode:
        pytest.skip("there is no docker daemon")
    done = run_command("docker", "build", "--file", "deploy/container/Containerfile", "--tag", "torchlane-test", ".")
    assert done.returncode == 0, done.stderr


def test_every_exit_status_is_explained():
    explained = {int(number) for number in re.findall(r"^\| (\d) \|", README, re.MULTILINE)}
    assert explained == {0, 1, 2} | {kind.exit_status for kind in ScoringError.__subclasses__()}


TRIED_AGAIN = {  # by its number, what the table says of a status
    int(number): answer == "yes" for number, answer in re.findall(r"^\| (\d) \|.*\| (no|yes)\b", README, re.MULTILINE)
}


def render_dag(**settings: object) -> str:
    source = (DEPLOY / "airflow/dag.py.j2").read_text()
    return (
        Environment(autoescape=True)
        .from_string(source)
        .render(package_name="torchlane", pipeline_name="salaries.predict", **settings)
    )


class ToldError(Exception):
    """What Airflow's exceptions are, by name."""


def test_dag_fails_at_once_where_a_person_is_needed_and_is_tried_again_elsewhere(monkeypatch):
    """Airflow retries after any error but `AirflowFailException`, and is silent about `AirflowSkipException`."""
    fail, skip, error = (type(name, (ToldError,), {}) for name in ("Fail", "Skip", "Error"))

    class Operator:
        made: ClassVar[list["Operator"]] = []
        status = 0

        def __init__(self, *, skip_on_exit_code: list[int], retries: int = 0, **arguments: object):
            self.skipped, self.arguments = skip_on_exit_code, arguments
            self.made.append(self)

        def execute(self, context: object) -> None:  # as BashOperator does
            if self.status in self.skipped:
                raise skip
            if self.status:
                raise error

    modules = {
        "airflow.providers.standard.operators.bash": {"BashOperator": Operator},
        "airflow.sdk": {"DAG": lambda **_: contextlib.nullcontext()},
        "airflow.sdk.exceptions": {"AirflowFailException": fail, "AirflowSkipException": skip},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    exec(compile(render_dag(), "dag.py", "exec"), {"__name__": "dag"})
    (task,) = Operator.made
    assert set(TRIED_AGAIN) == {1, 2} | {kind.exit_status for kind in ScoringError.__subclasses__()}
    for task.status, again in {**TRIED_AGAIN, 130: True, 143: True, -9: True}.items():
        with pytest.raises(ToldError) as raised:
            task.execute({})
        assert raised.type is (error if again else fail), task.status
    task.status = 0
    task.execute({})


def test_unit_is_not_started_again_where_a_person_is_needed_and_ends_as_failed():
    service = (DEPLOY / "systemd/torchlane-predict@.service").read_text()
    (prevented,) = re.findall(r"^RestartPreventExitStatus=(.*)$", service, re.MULTILINE)
    assert set(map(int, prevented.split())) == {status for status, again in TRIED_AGAIN.items() if not again}
    assert "SuccessExitStatus" not in service


@pytest.mark.slow
def test_dag_is_generated_and_runs_in_an_airflow_of_its_own(tmp_path):
    """Needs the network: sets up Airflow beside the project."""
    (command,) = re.findall(r"^uv run --group airflow (kedro airflow create .*)$", README, re.MULTILINE)
    dags, outputs = tmp_path / "dags", tmp_path / "outputs"
    trained = run_command("kedro", "run", "--pipeline=salaries", "--env=test", f"--params=output_root={outputs}")
    assert trained.returncode == 0, trained.stderr
    inbox = tmp_path / "raw/salaries_inbox"
    inbox.mkdir(parents=True)
    shutil.copy(PROJECT / "data/01_raw/salaries.csv", inbox)
    project = tmp_path / "project"
    (project / ".venv/bin").mkdir(parents=True)
    (project / ".venv/bin/kedro").symlink_to(Path(sys.executable).with_name("kedro"))
    shutil.copy(PROJECT / "pyproject.toml", project)
    for name in ("conf", "src"):
        shutil.copytree(PROJECT / name, project / name)
    settings = f"output_root={outputs},raw_root={tmp_path}/raw,salaries.prediction.settle_seconds=0"
    words = command.replace("build/dags", str(dags)).replace("/opt/torchlane", str(project)).split()
    words[-1] += f",retries=0,options=--env=test --params={settings.replace(',', ';')}"
    generated = run_command("uv", "run", "--group", "airflow", *words)
    assert generated.returncode == 0, generated.stderr
    (dag,) = dags.glob("*.py")
    dag.write_text(dag.read_text().replace(";", ","))

    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("VIRTUAL_ENV")},
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    venv = tmp_path / "airflow_venv"
    airflow = str(venv / "bin/airflow")
    for step in (
        ["uv", "venv", str(venv)],
        ["uv", "pip", "install", "--python", str(venv / "bin/python"), AIRFLOW],
        [airflow, "db", "migrate"],
        [airflow, "dags", "test", "torchlane_salaries_predict"],
    ):
        done = subprocess.run(step, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "state=success" in done.stdout + done.stderr
    assert len(list((outputs / "07_model_output/salaries/predictions").glob("*.csv"))) == 1

    kedro = project / ".venv/bin/kedro"
    kedro.unlink()
    dag.write_text(dag.read_text().replace('"retries": 0', '"retries": 1').replace("minutes=5", "seconds=1"))
    for status, again in TRIED_AGAIN.items():
        calls = tmp_path / f"calls of {status}"
        kedro.write_text(f'#!/bin/sh\necho called >> "{calls}"\nexit {status}\n')
        kedro.chmod(0o755)
        command = [airflow, "dags", "test", "torchlane_salaries_predict"]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 1, done.stdout + done.stderr
        assert len(calls.read_text().splitlines()) == (2 if again else 1), status
        assert "state=success" not in done.stdout + done.stderr
