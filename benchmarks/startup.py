"""Processor seconds of whole commands, beside those of another checkout of the project.

    OMP_NUM_THREADS=1 python benchmarks/startup.py OTHER [--turns 5]

OTHER is the folder of the other checkout, with an environment `.venv` of its own. The commands of both take turns,
and each figure is the median of user and system seconds of the process and its children. With one thread, since
threads that wait for a core count as work.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

COMMANDS = {
    "torchlane --help": ["torchlane", "--help"],
    "registry list": ["kedro", "registry", "list"],
    "prepare": ["kedro", "run", "--pipeline=salaries", "--tags=prepare"],
    "salaries": ["kedro", "run", "--pipeline=salaries"],
    "salaries, one member": ["kedro", "run", "--pipeline=salaries"],
    "empty inbox": ["kedro", "run", "--pipeline=salaries.predict"],
}
ONE_MEMBER = "salaries.training.members=1"


def main() -> None:
    """Print the medians and their ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("other", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    projects = [arguments.other.resolve(), Path(__file__).resolve().parents[1]]
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, str(number)) for number in range(2)]
        for name, command in COMMANDS.items():
            seconds: tuple[list[float], list[float]] = ([], [])
            for turn in range(arguments.turns + 1):
                for project, output, own in zip(projects, outputs, seconds, strict=True):
                    taken = processor_seconds(project, [*command, *params(name, command, output)])
                    if turn:  # the first turn warms caches
                        own.append(taken)
            before, now = map(statistics.median, seconds)
            print(f"{name}: {before:.2f} s -> {now:.2f} s, {now / before:.2f} of it", flush=True)


def params(name: str, command: list[str], output: Path) -> list[str]:
    """Name the folder that a run writes to."""
    if command[1] != "run":
        return []
    return [f"--params=output_root={output}" + (f",{ONE_MEMBER}" if name.endswith("one member") else "")]


def processor_seconds(project: Path, command: list[str]) -> float:
    """Run a command of a project; the seconds of processes that have ended, user and system."""
    before = os.times()
    program = project / ".venv/bin" / command[0]
    subprocess.run([program, *command[1:]], cwd=project, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    main()
