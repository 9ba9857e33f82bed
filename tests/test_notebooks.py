"""The notebooks: each is what its text form makes, and runs from a clean state without changing the project."""

import importlib.util
import os
import re
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient

from .commands import PROJECT
from .test_readme import clone

FOLDER = PROJECT / "notebooks"
NAMES = ["tour", "salaries", "water_potability", "zoo", "digits"]
FROM_ROOT = ("salaries", "digits")  # the others are run in their own folder
SLOW = pytest.mark.slow
CELL_SECONDS = 300


def load_writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_notebooks", FOLDER / "write.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


writer = load_writer()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def execute(name: str, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook in a kernel that works in `folder`, and that has ended afterwards."""
    kernels = set()
    notebook = nbformat.reads((FOLDER / f"{name}.ipynb").read_text(), as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        on_cell_start=lambda **_: kernels.add(client.km.provisioner.pid),
    )
    client.execute()
    (kernel,) = kernels
    with pytest.raises(ProcessLookupError):
        os.kill(kernel, 0)
    return notebook


def printed(notebook: nbformat.NotebookNode) -> str:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(output.get("text") or output.get("data", {}).get("text/plain", "") for output in outputs)


def kinds_of_output(notebook: nbformat.NotebookNode) -> set[str]:
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return {kind for output in outputs for kind in output.get("data", {})}


def test_there_is_a_notebook_of_each_text_form():
    texts, notebooks = ({path.stem for path in paths} for paths in (writer.texts(), FOLDER.glob("*.ipynb")))
    assert set(NAMES) <= texts <= notebooks  # there may be others, of your own


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_what_its_text_form_makes_without_outputs(name):
    stored = (FOLDER / f"{name}.ipynb").read_text()
    assert stored == writer.content_of(FOLDER / f"{name}.py"), "run python notebooks/write.py"
    notebook = nbformat.reads(stored, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells and all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    assert set(notebook.metadata) == {"jupytext", "kernelspec"}


@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=SLOW) for name in NAMES[1:])])
def test_notebook_runs_from_a_clean_state_and_changes_nothing(name, tmp_path, monkeypatch):
    for folder in ("project", "temporary", "home"):
        (tmp_path / folder).mkdir()
    project = clone(tmp_path / "project")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = contents(project)
    notebook = execute(name, project if name in FROM_ROOT else project / "notebooks")
    after = contents(project)
    assert {path for path in {*before, *after} if before.get(path) != after.get(path)} <= {project / ".viz/stats.json"}
    assert not list((tmp_path / "temporary").glob("torchlane_*"))
    assert "application/vnd.plotly.v1+json" in kinds_of_output(notebook)
    said = printed(notebook)
    assert re.search(r"^\d\d:\d\d:\d\d INFO ", said, re.MULTILINE)  # the project's log, not Kedro's
    assert not re.search(r"[a-z]Warning\b", said)  # of a library; those about the data begin with WARNING
