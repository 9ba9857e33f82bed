"""What each command imports: importing a library that it does not need is most of what a short command takes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .commands import PROJECT, TIMEOUT_SECONDS

TABLES = {"numpy", "pandas", "pyarrow"}
TORCH = {"torch"}
FIGURES = {"plotly", "PIL", "narwhals"}
COMPILER = {"torch._dynamo", "torch._inductor", "sympy", "triton"}
OTHERS = {"torchvision", "torchmetrics", "scipy", "sklearn", "sqlalchemy", "optuna", "onnx", "networkx", "lightning"}
HEAVY = TABLES | TORCH | FIGURES | COMPILER | OTHERS | {"plotly.express"}
MAY_IMPORT = {
    "torchlane --help": set(),
    "torchlane init prices.csv --target=price": TABLES,
    "kedro registry list": set(),
    "kedro run --pipeline=salaries --tags=prepare": TABLES,
    "kedro run --pipeline=salaries": TABLES | TORCH | FIGURES | {"scipy", "sklearn"},  # for the linear baseline
    "kedro run --pipeline=salaries.predict": TABLES | TORCH | FIGURES | {"sqlalchemy"},
}
PROGRAM = """
import atexit, json, pathlib, sys
result, heavy = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
atexit.register(lambda: result.write_text(json.dumps([each for each in heavy if each in sys.modules])))
sys.argv = sys.argv[3:]
if sys.argv[0] == "kedro":
    from kedro.framework.cli import main
else:
    from torchlane.cli import main
main()
"""


def heavy_imports(command: str, folder: Path, out: Path) -> set[str]:
    """Run a command in a process of its own, and return the libraries that it has imported."""
    words = command.split()
    if words[:2] == ["kedro", "run"]:
        words += ["--env=test", f"--params=output_root={out}"]
    result = out / "imported.json"
    program = [sys.executable, "-c", PROGRAM, str(result), json.dumps(sorted(HEAVY)), *words]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    assert done.returncode == 0, done.stderr
    return set(json.loads(result.read_text()))


@pytest.mark.parametrize(
    "command", [each for each in MAY_IMPORT if not each.startswith(("kedro run", "torchlane init"))]
)
def test_command_imports_only_what_it_may(tmp_path, command):
    assert heavy_imports(command, PROJECT, tmp_path) <= MAY_IMPORT[command]


def test_draft_of_a_table_imports_only_what_it_may(tmp_path):
    for name in ("conf", "pyproject.toml", "src", ".telemetry"):
        (shutil.copytree if (PROJECT / name).is_dir() else shutil.copy)(PROJECT / name, tmp_path / name)
    rows = "".join(f"{size},{'town' if size % 2 else 'sea'},{100 * size}\n" for size in range(1, 61))
    (tmp_path / "prices.csv").write_text(f"size,place,price\n{rows}")
    (command,) = (each for each in MAY_IMPORT if each.startswith("torchlane init"))
    assert heavy_imports(command, tmp_path, tmp_path) <= MAY_IMPORT[command]


def test_prepare_imports_only_what_it_may(tmp_path):
    command = "kedro run --pipeline=salaries --tags=prepare"
    assert heavy_imports(command, PROJECT, tmp_path) <= MAY_IMPORT[command]


@pytest.mark.slow
def test_run_and_scoring_import_only_what_they_may(tmp_path):
    for command in ("kedro run --pipeline=salaries", "kedro run --pipeline=salaries.predict"):
        assert heavy_imports(command, PROJECT, tmp_path) <= MAY_IMPORT[command], command


@pytest.mark.parametrize(
    ("own", "heavy", "dataset"),
    [("plots", "plotly.express", "plotly.PlotlyDataset"), ("stock", "sqlalchemy", "pandas.SQLTableDataset")],
)
def test_datasets_do_not_import_what_others_of_their_package_need_and_those_still_can(own, heavy, dataset):
    package, name = dataset.split(".")
    program = (
        f"import sys; from torchlane.datasets import {own}\n"
        f"assert '{heavy}' not in sys.modules\n"
        f"from kedro_datasets import {package}; assert {dataset}.__name__ == '{name}'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
