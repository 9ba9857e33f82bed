"""A trained model, an inbox and the job that scores it."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kedro.framework.startup import bootstrap_project

from tests.commands import PROJECT
from torchlane.cli import cli

from .asking import Run, settings_of


@pytest.fixture(scope="session")
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


@pytest.fixture
def score(outputs, inbox) -> Run:
    def run(params: str = "", *arguments: str) -> Result:
        bootstrap_project(PROJECT)
        command = ["run", "--pipeline=salaries.predict", "--env=test", settings_of(outputs, inbox, params)]
        return CliRunner().invoke(cli, [*command, *arguments])

    return run
