"""What a run costs beside its imports and its training.

    python benchmarks/startup.py [--pairs 5]

Takes turns: a process that only imports what a run needs, and `kedro run --pipeline=salaries` with
one member. From the run's wall time it subtracts the imports of its pair and the training: the
median seconds of an epoch times their number, so that what is imported in the first epoch counts
as cost.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

IMPORTS = "import kedro.framework.cli, torch, sklearn.preprocessing, pandas"


def main() -> None:
    """Print each pair and the medians."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    pairs = parser.parse_args().pairs
    rests = []
    with tempfile.TemporaryDirectory() as folder:
        run = [
            str(Path(sys.executable).with_name("kedro")),
            "run",
            "--pipeline=salaries",
            f"--params=output_root={folder},salaries.training.members=1",
        ]
        for number in range(pairs + 1):
            imports = seconds_of([sys.executable, "-c", IMPORTS])
            wall = seconds_of(run)
            epochs = pd.read_csv(Path(folder, "08_reporting/salaries/history.csv"))["seconds"]
            training = epochs.median() * len(epochs)
            if number:  # the first pair warms caches
                rests.append(wall - imports - training)
                print(f"run {wall:.2f} s, imports {imports:.2f} s, training {training:.2f} s, rest {rests[-1]:.2f} s")
    print(f"rest: median {statistics.median(rests):.2f} s of {pairs} pairs")


def seconds_of(command: list[str]) -> float:
    """Time a command that must succeed."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
