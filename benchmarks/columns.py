"""Tables of many columns: processor seconds, memory and sizes of each stage, beside another checkout of the project.

    OMP_NUM_THREADS=1 python benchmarks/columns.py [--columns 1000] [--rows 2000] [--other OTHER] [--turns 3]

The table is drawn: numbers, of which a tenth has missing values, with `--categories` a category in every tenth column,
and a target that a few of the numbers explain. It goes through `init`, all stages and the scoring of one file, in a
copy of each project, as a user would type the commands; `--stages init prepare` is enough for these two. OTHER is the
folder of the other checkout, with an environment `.venv` of its own. The commands of both take turns, and each figure
is the median of user and system seconds of the process and its children. Memory is the most that a command took so far.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

PROJECT = Path(__file__).resolve().parents[1]
STAGES = ("init", "prepare", "train", "evaluate", "report", "score")
ENVIRONMENT = {**os.environ, "OMEGACONF_MAX_YAML_EXPANDED_NODES": "none"}  # earlier versions read no long parameters
SHORT = "wide.training.epochs=3"
TAGS = {"train": "tune,train"}


def main() -> None:
    """Print a line for each stage."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--categories", action="store_true")
    parser.add_argument("--other", type=Path)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    arguments = parser.parse_args()
    checkouts = [PROJECT, *([arguments.other.resolve()] if arguments.other else [])]
    with tempfile.TemporaryDirectory() as folder:
        table = drawn_table(arguments.rows, arguments.columns, arguments.categories)
        file = Path(folder, "wide.csv")
        table.to_csv(file, index=False)
        print(f"{arguments.rows} rows of {arguments.columns} columns, {file.stat().st_size / 1e6:.0f} MB", flush=True)
        projects = [copied(checkout, Path(folder, str(number))) for number, checkout in enumerate(checkouts)]
        for stage in arguments.stages:
            pairs = list(zip(projects, checkouts, strict=True))
            turns = [[measure(stage, *pair, file) for pair in pairs] for _ in range(arguments.turns)]
            figures = [statistics.median(each) for each in zip(*turns, strict=True)]
            ratio = f", {figures[0] / figures[1]:.2f} of the other" if len(figures) > 1 else ""
            most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            shown = " | ".join(f"{seconds:.1f} s" for seconds in figures)
            print(f"{stage}: {shown}{ratio}; {most:.0f} MiB", flush=True)
        for project in projects:
            print(", ".join(sizes(project)), flush=True)


def drawn_table(n_rows: int, n_columns: int, categories: bool) -> pd.DataFrame:
    """Draw columns, and a target `y` that the first ones explain."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=(n_rows, n_columns)).round(4)
    target = numbers[:, :5].sum(1).round(4)
    missing = random.random(n_columns) < 0.1
    numbers[:, missing] = np.where(random.random((n_rows, int(missing.sum()))) < 0.1, np.nan, numbers[:, missing])
    table = pd.DataFrame(numbers, columns=[f"c{number}" for number in range(n_columns)])
    for number in range(9, n_columns, 10) if categories else ():
        table[f"c{number}"] = random.choice(["red", "green", "blue"], n_rows)
    return table.assign(y=target)


def copied(checkout: Path, place: Path) -> Path:
    """Copy what a run needs of a checkout."""
    for name in ("conf", "data", "pyproject.toml", "src", ".telemetry"):
        source = checkout / name
        ignored = shutil.ignore_patterns("__pycache__", "0[2-8]*")
        shutil.copytree(source, place / name, ignore=ignored) if source.is_dir() else shutil.copy(source, place / name)
    return place


def measure(stage: str, project: Path, checkout: Path, file: Path) -> float:
    """Run the command of a stage: processor seconds."""
    raw = project / "data/01_raw/wide.csv"
    if stage == "init":
        for written in (raw, project / "conf/base/parameters/wide.yml"):
            written.unlink(missing_ok=True)
    if stage == "score":
        inbox = raw.with_name("wide_inbox")
        shutil.rmtree(inbox, ignore_errors=True)
        inbox.mkdir()
        kept = pd.read_csv(file, dtype=str, keep_default_na=False).sample(frac=0.9)  # no copy of what was scored before
        kept.to_csv(inbox / "wide.csv", index=False)
        os.utime(inbox / "wide.csv", (0, 0))  # files that were just written may be incomplete
    command = {
        "init": ["torchlane", "init", str(file), "--target=y"],
        "score": ["kedro", "run", "--pipeline=wide.predict"],
    }.get(stage, ["kedro", "run", "--pipeline=wide", f"--tags={TAGS.get(stage, stage)}", f"--params={SHORT}"])
    before = os.times()
    program = checkout / ".venv/bin" / command[0]
    ended = subprocess.run([program, *command[1:]], cwd=project, capture_output=True, text=True, env=ENVIRONMENT)
    after = os.times()
    if ended.returncode:
        raise SystemExit(f"{stage} of {checkout} failed: {(ended.stdout + ended.stderr)[-2000:]}")
    return after.children_user + after.children_system - before.children_user - before.children_system


def sizes(project: Path) -> Iterator[str]:
    """Name the artifacts with their sizes."""
    for path in sorted((project / "data").rglob("*")):
        if path.is_file() and "wide" in str(path.relative_to(project)) and path.stat().st_size > 1e5:
            yield f"{path.name} {path.stat().st_size / 1e6:.1f} MB"


if __name__ == "__main__":
    main()
