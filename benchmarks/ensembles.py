"""How many members pay, and how far intervals and probabilities can be trusted, over many splits.

    python benchmarks/ensembles.py [--use-cases salaries water_potability] [--seeds 20] [--env public]

Each seed splits the rows anew, as the pipeline does, and trains 32 members once; the first 1, 4, 8, 16
are what a training of so many would give, since a member does not depend on its company. Calibration is
learned from valid and judged on test. Splits are kept under `--results`: after a kill the same
command goes on. `--set` changes options of the network, as in `tables.py`.
"""

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
import yaml

from classifiers import read_use_case, settings_of
from intervals import train_members
from peers.jobs import keep
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.judging.evaluation import score
from torchlane.core.model.learning import Lesson
from torchlane.core.options import Options
from torchlane.core.rows.splits import PARTS, rows_of, split_rows

MEMBERS = (1, 4, 8, 16, 32)
USUAL = 16  # of small tables
ASKED = 0.9  # of new rows within the interval


def main() -> None:
    """Measure the splits that are missing, then print means and their standard errors."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--use-cases", nargs="+", default=["salaries", "water_potability", "zoo"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--members", type=int, nargs="+", default=MEMBERS)
    parser.add_argument("--env", default="public")
    parser.add_argument("--set", default="{}", help="options by section, as YAML")
    parser.add_argument("--results", type=Path, default=Path("build/ensembles"))
    arguments = parser.parse_args()
    for use_case in arguments.use_cases:
        clean, options = read_use_case(use_case, arguments.env, yaml.safe_load(arguments.set))
        logging.disable(logging.INFO)
        settings = f"{settings_of(options)} {max(arguments.members)}"
        found = []
        for seed in range(arguments.seeds):
            path = arguments.results / f"{use_case}-{seed}.json"
            kept = json.loads(path.read_text()) if path.exists() else {}
            if kept.get("settings") != settings:
                kept = {"settings": settings, "lines": measure(clean, options, seed, arguments.members)}
                keep(path, kept)
            found += kept["lines"]
        logging.disable(logging.NOTSET)
        report(use_case, pd.DataFrame(found))


def measure(
    clean: pd.DataFrame, options: dict[str, Options], seed: int, numbers_of_members: Sequence[int]
) -> list[dict[str, float]]:
    """Train on one split, and score the first members and their calibration on test: a line a number of members."""
    splits = split_rows(clean, options["data"], options["split"].model_copy(update={"seed": seed}))
    parts = {part: rows_of(part, clean, splits) for part in PARTS}
    encoder = fit_encoder(parts["train"], options["data"], options["encoding"])
    tensors = {part: build_tensors(rows, encoder) for part, rows in parts.items()}
    training = options["training"].model_copy(update={"seed": 1000 * seed, "members": max(numbers_of_members)})
    lesson = Lesson(tensors["train"], tensors["valid"], encoder, training)
    ((model, held_out),) = train_members([lesson], options)
    features = tensors["test"].tensors[0]
    of_members = model.member_predictions(features)
    values = parts["test"][encoder.target.name]
    numbers = encoder.target.task == "regression"
    truth = torch.tensor(values.to_numpy(float) if numbers else encoder.target.label_index(values))
    lines = []
    for members in numbers_of_members:
        first = replace(model, weights={name: each[:members] for name, each in model.weights.items()})
        first = first.calibrated(tensors["valid"], held_out[:members])
        line = {"seed": seed, "members": members, **score(model.task, of_members[:members].mean(0), truth)}
        if numbers:
            table = first.describe_predictions(features, ASKED)
            line["coverage"] = float(values.reset_index(drop=True).between(table["low"], table["high"]).mean())
            line["interval_width"] = float((table["high"] - table["low"]).mean())
        else:
            line["temperature"] = first.calibration.temperature
            calibrated = score(model.task, first.joint_prediction(of_members[:members]), truth)
            line["calibrated_cross_entropy_loss"] = calibrated["cross_entropy_loss"]
        lines.append(line)
    return lines


def report(use_case: str, lines: pd.DataFrame) -> None:
    """Print the means by members, and each number of members against the default, split by split."""
    primary = next(name for name in lines if name.endswith("_score"))
    usual = USUAL if USUAL in set(lines["members"]) else lines["members"].max()
    n_splits = lines["seed"].nunique()
    print(f"\n{use_case}: mean of {n_splits} splits, ± its standard error\n")
    names = list(lines.columns.drop(["seed", "members"]))
    print(f"| members | {' | '.join(names)} | {primary} beside that of {usual} |")
    print("| --- " * (len(names) + 2) + "|")
    default = lines[lines["members"] == usual].set_index("seed")[primary]
    for members, each in lines.groupby("members"):
        cells = [f"{each[name].mean():.4g} ± {each[name].sem():.2g}" for name in names]
        beside = each.set_index("seed")[primary] - default
        print(f"| {members} | {' | '.join(cells)} | {beside.mean():+.4f} ± {beside.sem():.4f} |", flush=True)
    if "calibrated_cross_entropy_loss" in lines:
        own = lines[lines["members"] == usual]
        gain = own["cross_entropy_loss"] - own["calibrated_cross_entropy_loss"]
        print(f"\ncalibration lowers the cross entropy of {usual} members by {gain.mean():.4f}", end="")
        print(f" ± {gain.sem():.4f}, in {(gain >= 0).sum()} of {n_splits} splits", flush=True)


if __name__ == "__main__":
    main()
