"""Projects before and after a whole run."""

import shutil
from pathlib import Path

import pytest

from torchlane import stages
from torchlane.pipeline_registry import Pipelines

from .projects import Project, make_rows


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Let the use case `toy` be registered."""
    monkeypatch.setattr(stages, "pipelines", Pipelines(["toy"]))


@pytest.fixture
def project(tmp_path, toy_rows) -> Project:
    return Project(tmp_path / "project", toy_rows)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A project after a whole run and a whole fine-tuning."""
    made = Project(tmp_path_factory.mktemp("whole") / "project", make_rows())
    made.run()
    made.run(kind=".fine_tune")
    return made.folder


@pytest.fixture
def finished(whole, tmp_path) -> Project:
    """A copy of it."""
    copied = Project.__new__(Project)
    copied.folder = shutil.copytree(whole, tmp_path / "finished")
    copied.raw = copied.folder / "raw"
    return copied
