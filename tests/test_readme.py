"""The commands and programs of the README and the pages, as they stand there, each run once in a clone."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml

from torchlane.core.options import SECTIONS, DataOptions, Recipe
from torchlane.core.search.space import resolve_space

from .commands import PROJECT, Started, run_command
from .pages import PAGES, blocks
from .test_runs import PUBLIC

NOT_RUN = {
    "pip install uv": "needs a package index",
    "uv sync": "needs a package index",
    "pip install uv && uv run pytest": "is what runs this test",
    "uv run pytest": "is what runs this test",
    "uv run pytest -m slow -rs": "takes many minutes; .ci/run runs it",
    "uv run pytest tests/core/tasks": "is part of what runs this test",
    "uv run ruff check .": "run by tests/test_conventions.py",
    "uv run ruff format .": "run by tests/test_conventions.py with --check",
    "uv run mypy": "run by tests/test_conventions.py",
    "uv run lint-imports": "run by tests/test_conventions.py",
    "uv run python benchmarks/salaries.py": "a measurement of minutes",
    "uv run python docs/pictures.py": "tests/browser/test_pictures.py runs it, into another folder",
    "uv sync --group mlflow": "needs a package index",
    "uv run kedro run --env=mlflow --pipeline=salaries": "run by tests/tracking/test_mlflow.py",
    "uv run kedro viz run": "a server; test_viz_of_the_readme_serves_the_pipeline starts it",
    "uv run kedro run --pipeline=houses": "needs rows; test_own_use_case_of_the_pages_runs makes them and runs it",
}


def without_numbers(text: str) -> str:
    return re.sub(r"\d[\d.]*(e[+-]\d+)?", "0", text)


COMMANDS = {page: [line for block in blocks(page, "console") for line in block.splitlines()] for page in PAGES}


SLOW = pytest.mark.slow
SHORT = {
    "  fine_tuning:\n": "  training: { epochs: 3, members: 2 }\n  fine_tuning:\n",
    "layer_decay: 0.2": "epochs: 3\n    layer_decay: 0.2",
}


def clone(folder: Path) -> Path:
    """Copy the project as a clone has it, with the real rows where they are."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listing, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
    rows = [f"{size},{'town' if size % 2 else 'village'},{1000 * size}" for size in (7 * n % 61 for n in range(60))]
    (folder / "my.csv").write_text("\n".join(["size,place,price", *rows]))
    outputs = folder / "conf/test/globals.yml"  # of its own, since two workers may run the commands at a time
    outputs.write_text(outputs.read_text().replace("${temporary_folder:}", str(folder / "outputs")))
    if PUBLIC.exists():
        (folder / "data/01_raw/public").mkdir()
        shutil.copy(PUBLIC, folder / "data/01_raw/public")
    return folder


def shorten(folder: Path) -> None:
    """Spare most of the training of salaries."""
    parameters = folder / "conf/base/parameters/salaries.yml"
    text = parameters.read_text()
    for old, new in SHORT.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    parameters.write_text(text)


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return clone(tmp_path_factory.mktemp("clone"))


class Printed(dict[str, str]):
    """What each command of the pages, and the programs of each page, printed when they were run one after another.

    Those of the README are always run as they stand; `short` shortens the trainings of the others.
    """

    def __init__(self, folder: Path, short: bool):
        super().__init__()
        self.folder = folder
        for page, lines in COMMANDS.items():
            if short and page == PAGES[1]:
                shorten(folder)
            for line in lines:
                self._run(line)
            for program in blocks(page, "python"):
                with Started("-c", program, folder=folder) as started:
                    done = started.wait()
                assert done.returncode == 0, f"{page}\n{done.stderr}"
                self[page.name] = done.stdout

    def _run(self, line: str) -> None:
        words = line.removeprefix("pip install uv && ").removeprefix("uv run ").split()
        if line in NOT_RUN or line in self or ("--env=public" in words and not PUBLIC.exists()):
            return
        words[0] = sys.executable if words[0] == "python" else words[0]
        done = run_command(*words, folder=self.folder)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        self[line] = done.stdout + done.stderr


@pytest.fixture(scope="module", params=["short trainings", pytest.param("as they stand", marks=SLOW)])
def printed(request, tmp_path_factory) -> Printed:
    return Printed(clone(tmp_path_factory.mktemp("printed")), short=request.param == "short trainings")


def test_each_command_that_is_not_run_stands_on_a_page():
    assert set(NOT_RUN) <= {line for lines in COMMANDS.values() for line in lines}


def test_commands_of_the_pages_run_in_a_clone(printed):
    assert len(printed) >= 20
    assert {line for lines in COMMANDS.values() for line in lines if "--env=public" not in line} <= {*printed, *NOT_RUN}


def test_programs_of_the_pages_run_after_their_commands(printed):
    assert {page.name for page in PAGES if blocks(page, "python")} <= set(printed)
    assert re.search(r"prediction +spread", printed["README.md"])
    assert re.match(r"salary_in_usd, in the units of the raw file \[array\(\[-?\d+\.", printed["exchange.md"])


def test_log_in_the_readme_is_that_of_its_first_command(printed):
    (shown,) = blocks(PROJECT / "README.md", "")
    found = without_numbers(printed[COMMANDS[PROJECT / "README.md"][0]])
    for line in shown.splitlines():
        pattern = re.escape(without_numbers(line)).replace("…", ".*")
        assert re.search(f"{pattern}$", found, re.MULTILINE), line


def test_reference_of_options_is_written_as_it_stands(printed):
    assert "uv run python docs/options.py" in printed
    assert (printed.folder / "docs/options.md").read_text() == (PROJECT / "docs/options.md").read_text()


def test_viz_of_the_readme_serves_the_pipeline(project):
    port = 20_000 + os.getpid() % 20_000
    kedro = str(Path(sys.executable).with_name("kedro"))
    command = [kedro, "viz", "run", "--no-browser", "--host=127.0.0.1", f"--port={port}"]
    with subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        main = b""
        try:
            for _ in range(120):
                try:
                    main = urllib.request.urlopen(f"http://127.0.0.1:{port}/api/main", timeout=5).read()
                    break
                except (urllib.error.URLError, ConnectionError):
                    assert server.poll() is None, "kedro viz has ended"
                    time.sleep(0.5)
        finally:
            server.terminate()
    assert b"salaries.model" in main


def test_own_use_case_of_the_pages_runs(project):
    (parameters,) = [block for block in blocks(PROJECT / "docs/data.md", "yaml") if block.startswith("houses:")]
    (project / "conf/base/parameters/houses.yml").write_text(parameters)
    heatings = ["gas", "oil", "none"]
    rows = [f"{size},{'town' if size % 2 else 'village'},{heatings[size % 3]},{1000 * size}" for size in range(80)]
    (project / "data/01_raw/houses.csv").write_text("\n".join(["size,place,heating,price", *rows, "9,town,coal,soon"]))
    done = run_command("kedro", "run", "--pipeline=houses", folder=project)
    assert done.returncode == 0, done.stderr
    rejected = (project / "data/02_intermediate/houses/rejected_rows.csv").read_text().splitlines()
    assert rejected[1:] == [
        "1,size,0,at least 1",
        '81,heating,coal,"one of gas, oil, none"',
        "81,price,soon,a number",
    ]


def test_search_space_of_the_pages_is_one():
    (block,) = blocks(PROJECT / "docs/search.md", "yaml")
    tuning = SECTIONS["tuning"].model_validate(yaml.safe_load(block)["salaries"]["tuning"])
    data = DataOptions.model_validate({"task": "regression", "target": "y", "columns": {"x": {"kind": "number"}}})
    recipe = Recipe.model_validate({"encoding": {}, "model": {}, "training": {}})
    assert set(resolve_space(tuning, recipe, data)) == set(tuning.space)
    assert len(tuning.space) == 6
