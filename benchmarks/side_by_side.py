"""An earlier commit and this one side by side: commands as users type them, each measured alone."""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

PROJECT = Path(__file__).resolve().parents[1]
OUTPUTS = {"base": "data", "public": "data/public", "notebook": "data/notebook"}  # by environment
OF_THREADS = ("OMP_", "MKL_", "GOMP_", "KMP_")


class Used(NamedTuple):
    """What a process took: wall seconds, processor seconds, largest resident memory in MiB."""

    wall: float
    processor: float
    memory: float


class Side:
    """A copy of a checkout's project, with data and outputs of its own, run by the programs of an environment."""

    def __init__(self, name: str, checkout: Path, programs: Path, folder: Path):
        self.name, self.checkout, self.folder = name, checkout, folder
        self._programs = programs
        for part in ("conf", "src", "pyproject.toml", ".telemetry"):
            source = checkout / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
        shutil.copytree(PROJECT / "data/01_raw", folder / "data/01_raw")

    def run(self, program: str, *words: str, threads: int | None = None) -> Used:
        """Run a program of the environment, which must succeed; without `threads` the product chooses."""
        return self._measured(program, words, threads)[0]

    def kedro(self, pipeline: str, *tags: str, env: str = "base", threads: int | None = None, **options: Any) -> Used:
        """Run a pipeline, or some of its stages; `options` are those of --params, with __ for a dot."""
        params = ",".join(f"{name.replace('__', '.')}={value}" for name, value in options.items())
        words = [f"--pipeline={pipeline}"]
        words += [f"--{name}={value}" for name, value in (("tags", ",".join(tags)), ("params", params)) if value]
        words += [f"--env={env}"] if env != "base" else []
        return self.run("kedro", "run", *words, threads=threads)

    def script(self, name: str, *words: str, threads: int | None = None) -> str:
        """Run a script of the checkout's benchmarks in the copy, and give what it prints."""
        return self._measured("python", (str(self.checkout / "benchmarks" / name), *words), threads)[1]

    def code(self, text: str, *words: str, threads: int | None = None) -> str:
        """Run some lines of Python in the copy, and give what they print."""
        return self._measured("python", ("-c", text, *words), threads)[1]

    def training_seconds(self, use_case: str, env: str = "base") -> float:
        """Sum the wall seconds of all epochs of the last training."""
        with self._report(use_case, env, "history.csv").open(newline="") as file:
            return sum(float(line["seconds"]) for line in csv.DictReader(file))

    def test_score(self, use_case: str, env: str = "base") -> float:
        """Read R² on test of the last evaluation."""
        return json.loads(self._report(use_case, env, "metrics.json").read_text())["test"]["r2_score"]

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def _measured(self, program: str, words: Sequence[str], threads: int | None) -> tuple[Used, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OF_THREADS)}
        environment |= {"OMP_NUM_THREADS": str(threads)} if threads else {}
        return measured([str(self._programs / program), *words], self.folder, environment)

    def _report(self, use_case: str, env: str, name: str) -> Path:
        return self.folder / OUTPUTS[env] / "08_reporting" / use_case / name


class Seen:
    """Figures of several rounds; those of one name are summed up by their median."""

    def __init__(self) -> None:
        self._figures: dict[str, list[float]] = {}

    def add(self, name: str, figure: float) -> None:
        self._figures.setdefault(name, []).append(figure)

    def ratio(self, name: str, other: str) -> float:
        """Divide two medians."""
        return median(self._figures[name]) / median(self._figures[other])


def measured(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[Used, str]:
    """Run a command that must succeed: what it and its children took, and what it printed."""
    with tempfile.TemporaryFile("w+") as printed:
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        text = printed.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with status {process.returncode}:\n{text[-3000:]}")
    return Used(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024), text


@contextmanager
def two_sides(commit: str, given: Path | None) -> Iterator[tuple[Side, Side]]:
    """Give a side of the earlier commit and one of this checkout.

    `given` is an existing checkout of that commit with its `.venv`. If nothing is there, it is made there and stays;
    without it, one is made in a temporary folder.
    """
    with tempfile.TemporaryDirectory() as temporary:
        before = given.resolve() if given else Path(temporary, "checkout")
        made = not before.exists()
        if made:
            git("worktree", "add", "--detach", str(before), commit)
        try:
            if not (before / ".venv").exists():
                plain = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
                subprocess.run(["uv", "sync", "--quiet"], cwd=before, check=True, env=plain)
            now = Side("now", PROJECT, Path(sys.executable).parent, Path(temporary, "now"))
            yield Side("before", before, before / ".venv/bin", Path(temporary, "before")), now
        finally:
            if made and not given:
                git("worktree", "remove", "--force", str(before))


def git(*words: str) -> None:
    """Run git in the project."""
    subprocess.run(["git", *words], cwd=PROJECT, check=True, capture_output=True)
