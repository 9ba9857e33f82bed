"""The commands of the README, as they stand there."""

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

from .commands import PROJECT, run_command
from .test_runs import PUBLIC

README = (PROJECT / "README.md").read_text()
COMMANDS = [line for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project as a clone has it, with the real rows where they are."""
    folder = tmp_path_factory.mktemp("clone")
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listing, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.splitlines():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
    rows = [f"{size},{'town' if size % 2 else 'village'},{1000 * size}" for size in (7 * n % 61 for n in range(60))]
    (folder / "my.csv").write_text("\n".join(["size,place,price", *rows]))
    if PUBLIC.exists():
        (folder / "data/01_raw/public").mkdir()
        shutil.copy(PUBLIC, folder / "data/01_raw/public")
    return folder


def test_commands_of_the_readme_run_in_a_clone(project):
    ran = []
    for line in COMMANDS:
        words = line.removeprefix("pip install uv && ").removeprefix("uv run ").split()
        if words[:3] == ["kedro", "viz", "run"] or ("--env=public" in words and not PUBLIC.exists()):
            continue
        done = run_command(*words, folder=project)
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        ran.append(line)
    assert len(ran) >= 5
    program = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    done = run_command(sys.executable, "-c", program.group(1), folder=project)
    assert done.returncode == 0, done.stderr
    assert "prediction" in done.stdout
    assert "spread" in done.stdout


def test_exported_program_of_the_readme_is_run(project):
    program = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "onnxruntime" in block)
    assert (project / "data/06_models/salaries/model.onnx").exists()  # a command above has made it
    done = run_command(sys.executable, "-c", program, folder=project)
    assert done.returncode == 0, done.stderr
    assert re.match(r"salary_in_usd, in the units of the raw file \[array\(\[-?\d+\.", done.stdout)


def test_viz_of_the_readme_serves_the_pipeline(project):
    assert "uv run kedro viz run" in COMMANDS
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


def test_own_use_case_of_the_readme_runs(project):
    yaml = next(block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if block.startswith("houses:"))
    (project / "conf/base/parameters/houses.yml").write_text(yaml)
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


def test_every_section_of_the_options_is_listed():
    assert re.findall(
        r"^\| `(\w+)` \| (?=task|fractions|categories|kind, |members|`trials|the share|whether the training|the parent|keys)",
        README,
        re.MULTILINE,
    ) == list(SECTIONS)


def test_every_folder_and_file_of_the_readme_is_there():
    tree = re.search(r"## What is where\n\n```\n(.*?)```", README, re.DOTALL).group(1)
    for name in re.findall(r"^[\w./]+(?=[\s{])", tree, re.MULTILINE):
        assert (PROJECT / name).exists(), name


def test_search_space_of_the_readme_is_one():
    yaml_block = next(block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if "  tuning:" in block)
    tuning = SECTIONS["tuning"].model_validate(yaml.safe_load(yaml_block)["salaries"]["tuning"])
    data = DataOptions.model_validate({"task": "regression", "target": "y", "columns": {"x": {"kind": "number"}}})
    recipe = Recipe.model_validate({"encoding": {}, "model": {}, "training": {}})
    assert set(resolve_space(tuning, recipe, data)) == set(tuning.space)
    assert len(tuning.space) == 6
