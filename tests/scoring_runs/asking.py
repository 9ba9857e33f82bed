"""Commands over an inbox of salaries, within the process of the test."""

from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project

from tests.commands import PROJECT
from torchlane.cli import cli

Run = Callable[..., Result]


def settings_of(outputs: Path, inbox: Path, params: str = "") -> str:
    own = f"output_root={outputs},raw_root={inbox.parent},salaries.prediction.settle_seconds=0"
    return f"--params={own}" + (f",{params}" if params else "")


def status(outputs: Path, *arguments: str) -> str:
    bootstrap_project(PROJECT)
    settings = f"--params=output_root={outputs},raw_root={outputs.parent}/raw"
    done = CliRunner().invoke(cli, ["status", "salaries", "--env=test", settings, *arguments])
    assert done.exit_code == 0, done.output
    return done.output
