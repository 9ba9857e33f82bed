"""Tables of many columns: processor seconds, memory and sizes of each stage, beside another checkout of the project.

    uv run python benchmarks/columns.py [--columns 1000] [--rows 2000] [--categories] [--stages init prepare …]
        [--other OTHER] [--turns 3]

The table is drawn: numbers, of which a tenth has missing values, with `--categories` a category in every tenth column,
and a target that a few of the numbers explain. It goes through `init`, all stages and the scoring of one file, in a
copy of each project, as a user would type the commands, with one thread; `--stages init prepare` is enough for these
two. OTHER is the folder of the other checkout, with an environment `.venv` of its own. The commands of both take turns.
Each figure is the median of user and system seconds of the process and its children, with its largest resident memory.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from side_by_side import PROJECT, Side, Used

STAGES = ("init", "prepare", "train", "evaluate", "report", "score")
TAGS = {"train": ("tune", "train")}


def main() -> None:
    """Print a line for each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--categories", action="store_true")
    parser.add_argument("--other", type=Path)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    arguments = parser.parse_args()
    os.environ["OMEGACONF_MAX_YAML_EXPANDED_NODES"] = "none"  # earlier versions read no long parameters
    with tempfile.TemporaryDirectory() as folder:
        sides = [Side("now", PROJECT, Path(sys.executable).parent, Path(folder, "now"))]
        if arguments.other:
            other = arguments.other.resolve()
            sides.append(Side("other", other, other / ".venv/bin", Path(folder, "other")))
        file = Path(folder, "wide.csv")
        drawn_table(arguments.rows, arguments.columns, arguments.categories).to_csv(file, index=False)
        print(f"{arguments.rows} rows of {arguments.columns} columns, {file.stat().st_size / 1e6:.0f} MB", flush=True)
        for stage in arguments.stages:
            turns = [[run(stage, side, file) for side in sides] for _ in range(arguments.turns)]
            figures = [statistics.median(used.processor for used in of_side) for of_side in zip(*turns, strict=True)]
            ratio = f", {figures[0] / figures[1]:.2f} of the other" if len(figures) > 1 else ""
            most = [max(used.memory for used in of_side) for of_side in zip(*turns, strict=True)]
            shown = " | ".join(f"{seconds:.1f} s, {each:.0f} MiB" for seconds, each in zip(figures, most, strict=True))
            print(f"{stage}: {shown}{ratio}", flush=True)
        for side in sides:
            print(", ".join(sizes(side.folder)), flush=True)


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


def run(stage: str, side: Side, file: Path) -> Used:
    """Run the command of a stage."""
    raw = side.folder / "data/01_raw/wide.csv"
    if stage == "init":
        for written in (raw, side.folder / "conf/base/parameters/wide.yml"):
            written.unlink(missing_ok=True)
        return side.run("torchlane", "init", str(file), "--target=y", threads=1)
    if stage == "score":
        inbox = raw.with_name("wide_inbox")
        shutil.rmtree(inbox, ignore_errors=True)
        inbox.mkdir()
        kept = pd.read_csv(file, dtype=str, keep_default_na=False).sample(frac=0.9)  # no copy of what was scored before
        kept.to_csv(inbox / "wide.csv", index=False)
        os.utime(inbox / "wide.csv", (0, 0))  # files that were just written may be incomplete
        return side.kedro("wide.predict", threads=1)
    return side.kedro("wide", *TAGS.get(stage, (stage,)), threads=1, wide__training__epochs=3)


def sizes(project: Path) -> Iterator[str]:
    """Name the artifacts with their sizes."""
    for path in sorted((project / "data").rglob("*")):
        if path.is_file() and "wide" in str(path.relative_to(project)) and path.stat().st_size > 1e5:
            yield f"{path.name} {path.stat().st_size / 1e6:.1f} MB"


if __name__ == "__main__":
    main()
