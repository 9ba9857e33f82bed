"""What holds for the whole repository."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import MemoryDataset

from .commands import PROJECT, run_command


@pytest.mark.parametrize(
    "command",
    [("ruff", "check"), ("ruff", "format", "--check"), ("mypy",), ("lint-imports",)],
    ids=lambda command: " ".join(command),
)
def test_code_passes(command):
    done = run_command(*command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("env", ["base", "public", "notebook", "test"])
def test_every_dataset_of_every_pipeline_stands_in_the_catalog(env):
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT, env=env) as session:
        catalog = session.load_context().catalog
    assert set(pipelines) >= {"__default__", "salaries"}
    for pipeline in pipelines.values():
        for name in pipeline.datasets():
            if not name.startswith("params:") and not name.endswith(".scored"):  # only its own run may see that one
                assert name in catalog, f"{name} is misspelt: it would be lost in memory"
                assert not isinstance(catalog[name], MemoryDataset)


def test_every_output_has_a_layer_for_kedro_viz():
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT) as session:
        catalog = session.load_context().catalog
    for name in pipelines["salaries"].all_outputs() | {"salaries.raw_rows"}:
        assert catalog[name].metadata["kedro-viz"]["layer"], name


def test_direct_and_transitive_dependencies_are_pinned_by_name_and_version_only():
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    direct = [
        *settings["project"]["dependencies"],
        *(pin for pin in settings["dependency-groups"]["dev"] if isinstance(pin, str)),  # others include a group
        *settings["dependency-groups"]["onnx"],
        *settings["dependency-groups"]["metrics"],
        *settings["build-system"]["requires"],
    ]
    pins = [*direct, *settings["tool"]["uv"]["constraint-dependencies"]]
    for pin in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin), pin
    assert len(pins) > 100


def test_telemetry_is_off():
    assert (PROJECT / ".telemetry").read_text() == "consent: false\n"


def test_importing_torchlane_does_not_import_torch():
    program = "import sys, torchlane, torchlane.cli; assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    done = run_command(sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr


def test_loading_a_model_does_not_import_what_only_training_or_reports_need():
    program = (
        "import sys, torchlane; torchlane.load\n"
        "heavy = {'torchvision', 'plotly', 'sklearn', 'kedro'} & set(sys.modules); assert not heavy, heavy"
    )
    done = run_command(sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr


def test_no_file_names_a_path_of_a_machine():
    for path in [
        *PROJECT.glob("src/**/*.py"),
        *PROJECT.glob("conf/**/*.yml"),
        *PROJECT.glob("*.md"),
        *PROJECT.glob("*/*.md"),
    ]:
        assert not re.search(r"(?<![\w.])/(home|root|work|Users)/", path.read_text()), path
    assert Path(PROJECT, "uv.lock").name in (PROJECT / ".gitignore").read_text().split()
