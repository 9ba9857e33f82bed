"""An earlier commit and this one in turn, by the commands that users type: each figure is a ratio of medians.

    uv run python benchmarks/speed.py [--only salaries digits …] [--rounds 3] [--commit 1f31350]
        [--before FOLDER] [--scale 1]

A checkout of the commit with an environment of its own is made in a temporary folder. `--before` names the folder: a
checkout that is there already is used, otherwise it is made there and stays. Each side works in a copy of its project,
on the same data.

Seconds of a training are the wall seconds of `history.csv`, on as many threads as the product takes, idle and beside
one process that keeps a core busy. Where a row says processor, they are user and system seconds of the whole process,
with one thread, since threads that wait for a core count as work. Memory is the largest resident set of a process.
`--scale 0.01` makes the drawn tables and inboxes smaller, to try the benchmark itself.
"""

import argparse
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from side_by_side import Seen, Side, Used, two_sides
from threads import busy_process


class Figure(NamedTuple):
    """A ratio, and how large it may be; None where it only says how things were."""

    name: str
    seen: float
    reach: float | None = None


class Work(NamedTuple):
    """The two sides, how often each is measured, and the size of what is drawn."""

    before: Side
    now: Side
    rounds: int
    scale: float

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.before, self.now

    def size(self, full: int) -> int:
        return max(1, round(full * self.scale))


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--commit", default="1f31350")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--scale", type=float, default=1)
    arguments = parser.parse_args()
    with two_sides(arguments.commit, arguments.before) as sides:
        print("| work | figure | seen | reach |\n" + "| --- " * 4 + "|", flush=True)
        for row in arguments.only:
            for figure in ROWS[row](Work(*sides, arguments.rounds, arguments.scale)):
                reach = "" if figure.reach is None else f"≤ {figure.reach:g}"
                print(f"| {row} | {figure.name} | {figure.seen:.3g} | {reach} |", flush=True)


# ---- training, idle and beside a busy process ----


def train_salaries(work: Work) -> Iterator[Figure]:
    """Train the bundled use case as it is."""
    return trainings(work, "salaries", "base", 1.3)


def train_digits(work: Work) -> Iterator[Figure]:
    """Train the notebook's perceptron for three of its 20 epochs."""
    return trainings(work, "digits", "notebook", 1.3, digits__training__epochs=3)


def train_busy_2025(work: Work) -> Iterator[Figure]:
    """Train the large survey for an epoch."""
    return trainings(work, "salaries_2025", "public", 2, salaries_2025__training__epochs=1)


def trainings(work: Work, use_case: str, env: str, reach: float, **options: int) -> Iterator[Figure]:
    """Compare seconds of training, idle and busy."""
    seen = Seen()

    def train(side: Side, state: str) -> None:
        side.kedro(use_case, "train", env=env, **options)
        seen.add(f"{side.name}, {state}", side.training_seconds(use_case, env))

    for side in work.sides:
        side.kedro(use_case, "prepare", "tune", env=env, **options)
    for _ in range(work.rounds):
        for side in work.sides:
            train(side, "idle")
        with busy_process():
            for side in reversed(work.sides):
                train(side, "busy")
    yield Figure("busy to idle", seen.ratio("now, busy", "now, idle"), reach)
    yield Figure("idle, now to before", seen.ratio("now, idle", "before, idle"), 1.1)
    yield Figure("busy to idle, before", seen.ratio("before, busy", "before, idle"))


def train_2025(work: Work) -> Iterator[Figure]:
    """Train the large survey: three epochs, less one for all that is not training; then evaluate."""
    seen, use_case = Seen(), "salaries_2025"
    for side in work.sides:
        side.kedro(use_case, "prepare", "tune", env="public", threads=1)
    for _ in range(work.rounds):
        for side in work.sides:
            one, three = (
                side.kedro(use_case, "train", env="public", threads=1, salaries_2025__training__epochs=epochs)
                for epochs in (1, 3)
            )
            seen.add(side.name, three.processor - one.processor)
            seen.add(f"{side.name}, memory", three.memory)
    for side in work.sides:
        side.kedro(use_case, "evaluate", env="public", threads=1, salaries_2025__training__epochs=3)
    first, second = (side.test_score(use_case, "public") for side in work.sides)
    yield Figure("processor seconds of two epochs, now to before", seen.ratio("now", "before"), 1 / 5)
    yield Figure("memory, now to before", seen.ratio("now, memory", "before, memory"), 1 / 2)
    yield Figure("R² on test, apart", abs(first - second), 0.001)


def train_levels(work: Work) -> Iterator[Figure]:
    """Train a table with one category, of very many levels and of ten, by this commit: the earlier one lacks memory."""
    seen, random = Seen(), np.random.default_rng(0)
    n_rows = work.size(200_000)
    for n_levels, use_case in ((work.size(100_000), "many_levels"), (10, "few_levels")):
        levels = random.permutation(np.arange(n_rows) % n_levels)
        size = random.normal(size=n_rows).round(4)
        effect = random.normal(size=n_levels)[levels]
        price = (size + effect + random.normal(size=n_rows)).round(4)
        table = pd.DataFrame({"place": np.char.add("place ", levels.astype(str)), "size": size, "price": price})
        table.to_csv(work.now.folder / f"data/01_raw/{use_case}.csv", index=False)
        work.now.write(f"conf/base/parameters/{use_case}.yml", f"{use_case}:\n{LEVELS}")
        work.now.kedro(use_case, "prepare", "tune", threads=1)
    for _ in range(work.rounds):
        for use_case in ("many_levels", "few_levels"):
            used = work.now.kedro(use_case, "train", threads=1)
            seen.add(use_case, used.processor)
            seen.add(f"{use_case}, memory", used.memory)
    seen.add("GiB", 1024)
    yield Figure("GiB of memory with many levels", seen.ratio("many_levels, memory", "GiB"), 3)
    yield Figure("processor seconds, many levels to ten", seen.ratio("many_levels", "few_levels"), 2)


LEVELS = """
  data:
    task: regression
    target: price
    columns: {place: {kind: category}, size: {kind: number}, price: {kind: number}}
  training: {epochs: 2}
"""


def train_exactly(work: Work) -> Iterator[Figure]:
    """Compare `training.py` of both on one thread: its loops in units of the plain loop beside them."""
    times: dict[str, dict[tuple[str, str], float]] = {}
    for side in work.sides:
        words = ("--contestants=plain loop,exact,free", "--only=mnist,table,cnn", f"--rounds={work.rounds}")
        for part in re.split(r"\n(?=\w+: \d+ rows)", side.script("training.py", *words, threads=1)):
            for each, seconds in re.findall(r"^ +(plain loop|exact|free) +([\d.]+) s an epoch", part, re.MULTILINE):
                times.setdefault(side.name, {})[part.strip().partition(":")[0], each] = float(seconds)
    ratios = {
        name: {(case, each): own[case, each] / own[case, "plain loop"] for case, each in own}
        for name, own in times.items()
    }
    yield Figure("mnist, exact to plain loop", ratios["now"]["mnist", "exact"], 0.6)
    for case, each in ratios["now"]:
        if each != "plain loop":
            change = ratios["now"][case, each] / ratios["before"][case, each]
            yield Figure(f"{case}, {each}, now to before", change, 1.0)


# ---- whole commands ----


def start(work: Work) -> Iterator[Figure]:
    """Compare processor seconds of whole commands."""
    seen = Seen()
    commands: dict[str, tuple[float | None, Callable[[Side], float]]] = {
        "a whole run": (0.6, lambda side: side.kedro("salaries", threads=1).processor),
        "prepare": (0.5, lambda side: side.kedro("salaries", "prepare", threads=1).processor),
        "registry list": (0.5, lambda side: side.run("kedro", "registry", "list", threads=1).processor),
        "torchlane --help": (None, lambda side: side.run("torchlane", "--help", threads=1).processor),
        "an empty inbox": (None, lambda side: side.kedro("salaries.predict", threads=1).processor),
    }
    for turn in range(work.rounds + 1):
        for name, (_, processor) in commands.items():
            for side in work.sides:
                taken = processor(side)
                if turn:  # the first turn warms caches
                    seen.add(f"{side.name}, {name}", taken)
    for name, (reach, _) in commands.items():
        yield Figure(
            f"processor seconds of {name}, now to before", seen.ratio(f"now, {name}", f"before, {name}"), reach
        )


def evaluate(work: Work) -> Iterator[Figure]:
    """Evaluate a model of 16 members on a million rows."""
    seen, options = Seen(), {"salaries__training__epochs": 1, "salaries__training__batch_size": 8192}
    for side in work.sides:
        file = side.folder / "data/01_raw/salaries.csv"
        side.run("torchlane", "sample", "salaries", f"--rows={work.size(1_000_000)}", f"--output={file}")
        side.kedro("salaries", "prepare", "tune", "train", **options)
    for _ in range(work.rounds):
        for side in work.sides:
            seen.add(side.name, side.kedro("salaries", "evaluate", threads=1, **options).processor)
    yield Figure("processor seconds, now to before", seen.ratio("now", "before"), 1 / 3)


def score_rows(work: Work) -> Iterator[Figure]:
    """Let `scoring.py speed` of both compare 16 members with reading and writing the file."""
    words = ("speed", f"--rows={work.size(10_000_000)}", "--members=16", f"--pairs={work.rounds}")
    for side, reach in ((work.now, 2), (work.before, None)):
        last = side.script("scoring.py", *words).splitlines()[-1]
        wall, processor = re.findall(r"([\d.]+) times", last)[:2]
        name = "" if reach else ", before"
        yield Figure(f"scoring to reading and writing{name}", float(wall), reach)
        yield Figure(f"processor seconds of scoring to those of reading and writing{name}", float(processor))


def score_files(work: Work) -> Iterator[Figure]:
    """Score files of 20 rows, less what a run over a single one takes."""
    seen, settings = Seen(), {"salaries__prediction__settle_seconds": 0}
    for side in work.sides:
        side.kedro("salaries", salaries__training__epochs=1)
    lines = (work.now.folder / "data/01_raw/salaries.csv").read_text().splitlines()

    def score(side: Side, n_files: int, turn: str) -> Used:
        for number in range(n_files):  # in each turn other files, since a copy of an earlier one is not scored
            first = 1 + number % (len(lines) - 20)
            rows = [f"{each},{turn} {number}" for each in lines[first : first + 20]]
            side.write(f"data/01_raw/salaries_inbox/{turn}/{number}.csv", "\n".join([f"{lines[0]},id", *rows]))
        return side.kedro("salaries.predict", threads=1, **settings)

    for turn in range(work.rounds):
        for side in work.sides:
            one, many = score(side, 1, f"one {turn}"), score(side, work.size(2000), f"many {turn}")
            seen.add(f"{side.name}, wall", many.wall - one.wall)
            seen.add(f"{side.name}, processor", many.processor - one.processor)
    yield Figure("wall seconds of a file, now to before", seen.ratio("now, wall", "before, wall"), 1 / 3)
    yield Figure("processor seconds of a file, now to before", seen.ratio("now, processor", "before, processor"))


def many_columns(work: Work) -> Iterator[Figure]:
    """Draft and prepare a table of many numeric columns."""
    os.environ.setdefault("OMEGACONF_MAX_YAML_EXPANDED_NODES", "none")  # else 1f31350 refuses so many parameters
    seen, n_columns = Seen(), work.size(5000)
    numbers = np.random.default_rng(0).normal(size=(2000, n_columns)).round(4)
    table = pd.DataFrame(numbers, columns=[f"c{number}" for number in range(n_columns)])
    table = table.assign(y=numbers[:, :5].sum(1).round(4))
    for turn in range(work.rounds):
        for side in work.sides:
            file = side.folder / f"wide_{turn}.csv"
            table.to_csv(file, index=False)
            drafted = side.run("torchlane", "init", file.name, "--target=y", threads=1)
            seen.add(f"{side.name}, init", drafted.processor)
            seen.add(f"{side.name}, prepare", side.kedro(file.stem, "prepare", threads=1).processor)
            (side.folder / f"conf/base/parameters/{file.stem}.yml").unlink()  # other runs would read it too
    for stage in ("init", "prepare"):
        yield Figure(
            f"processor seconds of {stage}, now to before", seen.ratio(f"now, {stage}", f"before, {stage}"), 0.1
        )


ROWS: dict[str, Callable[[Work], Iterator[Figure]]] = {
    "salaries": train_salaries,
    "digits": train_digits,
    "salaries_2025 busy": train_busy_2025,
    "salaries_2025": train_2025,
    "levels": train_levels,
    "start": start,
    "evaluate": evaluate,
    "scoring": score_rows,
    "files": score_files,
    "columns": many_columns,
    "exact": train_exactly,
}


if __name__ == "__main__":
    main()
