"""Processor seconds of evaluation and scoring, beside those of another checkout of the project.

    OMP_NUM_THREADS=1 python benchmarks/rows.py evaluate OTHER [--rows 1000000] [--turns 3]
    OMP_NUM_THREADS=1 python benchmarks/rows.py score OTHER [--rows 10000000] [--turns 3]
    OMP_NUM_THREADS=1 python benchmarks/rows.py files OTHER [--files 2000] [--turns 3]

OTHER is the folder of the other checkout, with an environment `.venv` of its own. The two take turns, each with a
model of 16 members that it has trained itself, and each figure is the median of user and system seconds of the
process and its children.
`evaluate` is the stage, over a table of salaries. `score` is `salaries.predict` over one file, beside pyarrow that
reads the file and writes it again. `files` is `salaries.predict` over small files of 20 rows; from each run, that of
an empty inbox is subtracted.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from scoring import COPY
from startup import processor_seconds
from torchlane.core.rows.samples import write_sample

ROWS_OF_SMALL = 20
QUICK = "salaries.tuning.trials=0,salaries.training.epochs=1,salaries.training.batch_size=4096"


def main() -> None:
    """Print the medians and their ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("evaluate", "score", "files"))
    parser.add_argument("other", type=Path)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    projects = [given.other.resolve(), Path(__file__).resolve().parents[1]]
    with tempfile.TemporaryDirectory() as folder:
        sides = [Side(project, Path(folder, str(number))) for number, project in enumerate(projects)]
        if given.what == "evaluate":
            compare_evaluation(sides, Path(folder), given.rows or 1_000_000, given.turns)
        elif given.what == "score":
            compare_scoring(sides, Path(folder), given.rows or 10_000_000, given.turns)
        else:
            compare_files(sides, Path(folder), given.files, given.turns)


class Side:
    """One checkout, with outputs of its own."""

    def __init__(self, project: Path, outputs: Path):
        self._project, self._outputs = project, outputs

    def run(self, pipeline: str, settings: str = "", tags: str = "") -> float:
        """Run a pipeline; give its processor seconds."""
        params = ",".join(filter(None, [f"output_root={self._outputs}", settings]))
        options = [f"--tags={tags}"] if tags else []
        return processor_seconds(
            self._project, ["kedro", "run", f"--pipeline={pipeline}", *options, f"--params={params}"]
        )

    def score(self, raw: Path) -> float:
        """Score what is in an inbox, as if nothing had ever been scored."""
        shutil.rmtree(self._outputs / "07_model_output", ignore_errors=True)
        return self.run("salaries.predict", f"raw_root={raw},salaries.prediction.settle_seconds=0")


def compare_evaluation(sides: list[Side], folder: Path, rows: int, turns: int) -> None:
    """Evaluate a large table."""
    write_sample("salaries", rows, 0, folder / "raw/salaries.csv")
    settings = f"raw_root={folder / 'raw'},{QUICK}"
    for side in sides:
        side.run("salaries", settings, "prepare,tune,train")
    before, now = take_turns([lambda side=side: side.run("salaries", settings, "evaluate") for side in sides], turns)
    print(f"evaluate {rows} rows: {before:.1f} s -> {now:.1f} s, {now / before:.2f} of it")


def compare_scoring(sides: list[Side], folder: Path, rows: int, turns: int) -> None:
    """Score one large file, and copy it."""
    path = folder / "raw/salaries_inbox/salaries.csv"
    write_sample("salaries", rows, 0, path)
    for side in sides:
        side.run("salaries", QUICK, "prepare,tune,train")
    copy = [sys.executable, "-c", COPY, str(path), str(folder / "copy.csv")]
    runs: list[Callable[[], float]] = [lambda side=side: side.score(folder / "raw") for side in sides]
    before, now, copied = take_turns([*runs, lambda: seconds_of(copy)], turns)
    print(f"score {rows} rows: {before:.1f} s -> {now:.1f} s, {now / before:.2f} of it")
    print(f"pyarrow reads and writes the file in {copied:.1f} s: {before / copied:.1f} -> {now / copied:.1f} times")


def compare_files(sides: list[Side], folder: Path, n_files: int, turns: int) -> None:
    """Score small files."""
    write_sample("salaries", n_files * ROWS_OF_SMALL, 0, folder / "all.csv")
    header, *lines = (folder / "all.csv").read_text().splitlines(keepends=True)
    (folder / "raw/salaries_inbox").mkdir(parents=True)
    for number in range(n_files):
        own = lines[number * ROWS_OF_SMALL : (number + 1) * ROWS_OF_SMALL]
        (folder / f"raw/salaries_inbox/{number:05}.csv").write_text("".join([header, *own]))
    (folder / "none/salaries_inbox").mkdir(parents=True)
    for side in sides:
        side.run("salaries", QUICK, "prepare,tune,train")
    runs = [lambda side=side, raw=raw: side.score(folder / raw) for side in sides for raw in ("raw", "none")]
    before, nothing_before, now, nothing = take_turns(runs, turns)
    each_before, each = ((before - nothing_before) / n_files, (now - nothing) / n_files)
    print(
        f"{n_files} files of {ROWS_OF_SMALL} rows: {1000 * each_before:.1f} ms a file -> {1000 * each:.1f} ms, "
        f"{each / each_before:.2f} of it"
    )


def take_turns(runs: list[Callable[[], float]], turns: int) -> list[float]:
    """Give the median of the seconds of each, after one turn that warms caches."""
    seconds = [[run() for run in runs] for _ in range(turns + 1)][1:]
    return [statistics.median(own) for own in zip(*seconds, strict=True)]


def seconds_of(command: list[str]) -> float:
    """Run a command; give its processor seconds."""
    before = os.times()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    main()
