"""What reporting adds to a run of `salaries`: this commit and the one before there was a page, in turn.

    uv run python benchmarks/reporting.py [--rounds 3] [--commit 83a46f2] [--before FOLDER]

The figure is the difference of the medians, on one thread, since threads that wait for a core count as work. The table
below says what the stages and nodes of this commit take in one further run, with the libraries that each of them
imports first. `--before` is that of `speed.py`.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

from side_by_side import Side, Used, two_sides

USE_CASE, MOST, SHOWN = "salaries", 2.0, 12
NODES = """
import importlib, sys, time

nodes, started = importlib.import_module("kedro.pipeline.node"), time.process_time()
run, taken = nodes.Node.run, []

def timed(node, inputs=None):
    began = time.process_time()
    try:
        return run(node, inputs)
    finally:
        taken.append((node.name, time.process_time() - began))

nodes.Node.run = timed
sys.argv = ["kedro", "run", "--pipeline=" + sys.argv[1]]
try:
    importlib.import_module("kedro.framework.cli").main()
finally:
    for name, seconds in taken:
        print("taken", name, seconds)
"""


def main() -> None:
    """Print seconds of whole runs, and of the nodes that take most."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commit", default="83a46f2")
    parser.add_argument("--before", type=Path)
    arguments = parser.parse_args()
    with two_sides(arguments.commit, arguments.before) as sides:
        compare(sides, arguments.rounds)
        show_nodes(sides[1])


def compare(sides: tuple[Side, Side], rounds: int) -> None:
    """Print what whole runs take; the first of each side warms caches."""
    used: dict[str, list[Used]] = {side.name: [] for side in sides}
    for turn in range(rounds + 1):
        for side in sides if turn % 2 else reversed(sides):
            taken = side.kedro(USE_CASE, threads=1)
            if turn:
                used[side.name].append(taken)
    print("| seconds of a run | before | now | added | reach |\n" + "| --- " * 5 + "|")
    for kind in ("wall", "processor"):
        before, now = (median(getattr(each, kind) for each in used[side.name]) for side in sides)
        print(f"| {kind} | {before:.2f} | {now:.2f} | {now - before:.2f} | ≤ {MOST:g} |", flush=True)


def show_nodes(side: Side) -> None:
    """Print the processor seconds of the stages that explain and report, and of their dearest nodes."""
    lines = side.code(NODES, USE_CASE, threads=1).splitlines()
    taken = {name: float(seconds) for _, name, seconds in (line.split() for line in lines if line.startswith("taken "))}
    if not taken:
        sys.exit("no node was run")
    stages: dict[str, float] = {}
    for name, seconds in taken.items():
        stage = name.split(".")[1]
        stages[stage] = stages.get(stage, 0.0) + seconds
    print("\n| stage or node | processor seconds |\n| --- | --- |")
    for name, seconds in stages.items():
        print(f"| {name} | {seconds:.2f} |")
    dearest = sorted(taken, key=lambda name: -taken[name])
    for name in [each for each in dearest if each.split(".")[1] in ("evaluate", "report")][:SHOWN]:
        print(f"| {name} | {taken[name]:.3f} |")


if __name__ == "__main__":
    main()
