"""How many new rows intervals cover on small tables, over many trainings.

    python benchmarks/intervals.py [--rows 60 100 200 500 1000] [--trainings 100] [--sources salaries drawn]

Each training draws a table of so many rows, cuts train and valid from it as shares of 0.7 and 0.15, and is
tested on 1,000 rows that it has not seen. `salaries` takes rows that differ of the real survey of 2025 with the
settings of `salaries`; `drawn` has five numbers and a noise that grows with one of them. `kept weights` are
residuals of the weights that valid has chosen, all intervals as wide, as it was before; `held out` are those
of `HeldOut`, all as wide; `and spread` are the intervals of `predict`. Trainings are kept under
`--results`: after a kill the same command goes on.
"""

import argparse
import logging
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from classifiers import read_use_case
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.learning import Lesson, conclude, fit_lessons
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks import build_network
from torchlane.core.options import SECTIONS, DataOptions, Options
from torchlane.core.rows.checking import check_rows
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.members import make_members

ASKED = 0.9
TEST_ROWS = 1000
TOGETHER = 20  # trainings in one stack
SHARES = {"train": 0.7, "valid": 0.15}
NUMBERS = [*"abcde", "y"]


def main() -> None:
    """Train what is missing, then print a line a size."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[60, 100, 200, 500, 1000])
    parser.add_argument("--trainings", type=int, default=100)
    parser.add_argument("--sources", nargs="+", default=["salaries", "drawn"])
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--results", type=Path, default=Path("build/intervals"))
    arguments = parser.parse_args()
    for source in arguments.sources:
        pool, options = read_source(source)
        logging.disable(logging.INFO)
        print(f"\n{source}, {arguments.members} members: mean coverage ± standard error, mean width over that of old")
        print("\n| rows | trainings | kept weights | held out | and spread | width held out | width and spread |")
        print("| --- " * 7 + "|", flush=True)
        for n_rows in arguments.rows:
            lines = []
            for first in range(0, arguments.trainings, TOGETHER):
                seeds = range(first, min(first + TOGETHER, arguments.trainings))
                path = arguments.results / f"{source}-{n_rows}-{arguments.members}-{seeds.start}-{seeds.stop}.csv"
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    measure(pool, options, n_rows, seeds, arguments.members).to_csv(path, index=False)
                lines.append(pd.read_csv(path))
            report(n_rows, pd.concat(lines))
        logging.disable(logging.NOTSET)


def read_source(source: str) -> tuple[pd.DataFrame, dict[str, Options]]:
    """Give the rows that tables are drawn from, and the options that go with them."""
    if source == "drawn":
        random = np.random.default_rng(0)
        features = random.normal(size=(100_000, 5))
        noise = np.exp(0.8 * features[:, 4] - 0.5) * random.normal(size=len(features))
        target = np.sin(2 * features[:, 0]) + features[:, 1] * features[:, 2] + 0.5 * features[:, 3] + noise
        data = {"task": "regression", "target": "y", "columns": {name: {"kind": "number"} for name in NUMBERS}}
        options = {name: SECTIONS[name].model_validate({}) for name in ("encoding", "model", "training")}
        options["data"] = DataOptions.model_validate(data)
        rows = pd.DataFrame(np.column_stack([features, target]), columns=NUMBERS)
        return check_rows(rows, options["data"])[0], options
    rows, options = read_use_case("salaries_2025", "public", {})
    _, own = read_use_case("salaries", "public", {})
    return rows.drop_duplicates(list(rows.columns.drop("row"))), {**own, "data": options["data"]}


def train_members(asked: list[Lesson], options: dict[str, Options]) -> list[tuple[TrainedModel, torch.Tensor]]:
    """Train models in one stack, each with what its members say of the held-out rows of valid (members, n_rows)."""
    members = []
    lessons = fit_lessons(asked, options["model"])
    for lesson in lessons:
        objective = Objective.of(lesson.encoder.target, lesson.training.loss)
        build = partial(build_network, lesson.model, lesson.encoder)
        members += make_members(build, lesson.train, lesson.valid, objective, lesson.training, torch.device("cpu"))
    outcomes, trained = iter(fit(members, NoCheckpoints(), quiet=True)), []
    for lesson in lessons:
        own = list(islice(outcomes, lesson.training.members))
        done, _ = conclude(lesson, own, options["data"], "", {})
        trained.append((done, torch.stack([each["held_out"] for each in own])))
    return trained


def measure(pool: pd.DataFrame, options: dict[str, Options], n_rows: int, seeds: range, n_members: int) -> pd.DataFrame:
    """Train once a seed, and give each one's coverage and mean width by the three ways."""
    lessons, tests, data = [], [], options["data"]
    for seed in seeds:
        numbers = [round(share * n_rows) for share in SHARES.values()]
        drawn = pool.sample(sum(numbers) + TEST_ROWS, random_state=seed).reset_index(drop=True)
        first, second = np.cumsum(numbers)
        train, valid, test = (drawn[part].reset_index(drop=True) for part in np.s_[:first, first:second, second:])
        encoder = fit_encoder(train, data, options["encoding"])
        training = options["training"].model_copy(update={"seed": 1000 * seed, "members": n_members})
        lessons.append(Lesson(build_tensors(train, encoder), build_tensors(valid, encoder), encoder, training))
        tests.append(test)
    lines = []
    for (trained, held_out), lesson, test in zip(train_members(lessons, options), lessons, tests, strict=True):
        features, targets = lesson.valid.tensors
        decode = lesson.encoder.target.decode
        truth = decode(targets.flatten())
        kept = trained.member_predictions(features).mean(0)
        old, held = (
            Calibration.of_values(each, torch.zeros_like(truth), truth) for each in (kept, decode(held_out).mean(0))
        )
        line, values = {}, test[data.target].to_numpy()
        for way, calibration in {"old": old, "held": held, "spread": trained.calibration}.items():
            table = replace(trained, calibration=calibration).predict(test, ASKED)
            line[f"{way}_coverage"] = float(((table["low"] <= values) & (values <= table["high"])).mean())
            line[f"{way}_width"] = float((table["high"] - table["low"]).mean())
        lines.append(line)
    return pd.DataFrame(lines)


def report(n_rows: int, lines: pd.DataFrame) -> None:
    """Print the line of one size."""
    means, errors, ways = lines.mean(), lines.sem(), ("old", "held", "spread")
    coverage = " | ".join(f"{means[f'{way}_coverage']:.3f} ± {errors[f'{way}_coverage']:.3f}" for way in ways)
    width = " | ".join(f"{means[f'{way}_width'] / means['old_width']:.2f}" for way in ways[1:])
    print(f"| {n_rows} | {len(lines)} | {coverage} | {width} |", flush=True)


if __name__ == "__main__":
    main()
