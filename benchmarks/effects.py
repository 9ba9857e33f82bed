"""What single options add to the default on the tables to choose on: one change at a time, with an interval.

    uv run --group peers --group tables python benchmarks/effects.py [--tables hitters …] [--variants plain …]

Each variant changes some options of the default (see `VARIANTS`) and leaves all else. The effect on a table is the
mean over seeds of its score minus that of the default on the same split, and of its log loss or, for numbers, its
mean absolute error in units of the default's. The interval is that of the mean over tables, by Student's t.
Predictions are kept as `field.py` keeps them, so a rerun goes on.
"""

import argparse
import logging
import warnings
from pathlib import Path

import pandas as pd
import yaml
from scipy import stats

from field import method_of, prepare, score_all
from field_tables import names
from methods import OURS, run_method

VARIANTS = {  # what else the options could be
    "no refit": "{training: {refit: false}}",
    "numbers plain": "{model: {numbers: plain}}",
    "numbers piecewise linear": "{model: {numbers: piecewise_linear}}",
    "numbers periodic": "{model: {numbers: periodic}}",
    "numbers by quantiles": "{encoding: {numbers: quantile}}",
    "members apart": "{training: {sharing: none}}",
    "TabM": "{training: {sharing: tabm}}",
    "TabM-mini": "{training: {sharing: tabm_mini}}",
    "8 members": "{training: {members: 8}}",
    "two layers of 64": "{model: {widths: [64, 64]}}",
    "three layers of 128": "{model: {widths: [128, 128, 128]}}",
    "no dropout": "{model: {dropout: 0}}",
    "ReLU": "{model: {activation: ReLU}}",
    "weight decay 0.1": "{training: {optimizer: {name: AdamW, arguments: {weight_decay: 0.1}}}}",
    "cosine schedule": "{training: {epochs: 60, patience_epochs: null, scheduler: {name: CosineAnnealingLR}}}",
    "batches of 32": "{training: {batch_size: 32}}",
    "label smoothing 0.05": "{training: {loss: {label_smoothing: 0.05}}}",
    "levels of 10 rows": "{encoding: {min_level_count: 10}}",
    "levels as numbers": "{encoding: {categories: ordinal}}",
    "target min_max": "{encoding: {target: min_max}}",
}
MULTICLASS = ("label smoothing 0.05",)  # losses of other tasks do not take it


def main() -> None:
    """Run what is missing, then report on all that is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=names("choose"), default=names("choose"))
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("build/field"))
    parser.add_argument("--most-seconds", type=float, default=180, help="of a processor, for a fit")
    parser.add_argument("--report", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    for variant in (OURS, *arguments.variants):
        for table in () if arguments.report else arguments.tables:
            run(table, variant, arguments)
    scores = score_all(arguments.results, arguments.tables, arguments.seeds, [OURS, *arguments.variants])
    report(scores, arguments.variants)


def run(table: str, variant: str, arguments: argparse.Namespace) -> None:
    """Fit one variant on one table, for each seed."""
    changes = yaml.safe_load(VARIANTS.get(variant, "{}"))
    prepared = prepare(table, arguments.seeds, arguments.results, changes)
    if variant in MULTICLASS and prepared.options["data"].task != "multiclass":
        return
    logging.disable(logging.WARNING)
    warnings.filterwarnings("ignore", message="The least populated class")
    arguments.name = variant
    run_method(method_of(OURS, prepared, arguments), prepared.folders, arguments.most_seconds)
    logging.disable(logging.NOTSET)


def report(scores: pd.DataFrame, variants: list[str]) -> None:
    """Print a line a variant, as Markdown."""
    print(
        "| variant | tables | score | ahead on | log loss or relative absolute error |\n| --- | --- | --- | --- | --- |"
    )
    if scores.empty:
        return
    usual = scores[scores["method"] == OURS].set_index(["table", "seed"])
    for variant in variants:
        theirs = scores[scores["method"] == variant].set_index(["table", "seed"])
        shared = theirs.index.intersection(usual.index)
        if shared.empty:
            continue
        theirs, ours = theirs.loc[shared], usual.loc[shared]
        unit = ours["second"].where(ours["task"] == "regression", 1.0)
        effects = pd.DataFrame(
            {"score": theirs["score"] - ours["score"], "second": (theirs["second"] - ours["second"]) / unit}
        )
        of_tables = effects.groupby("table").mean()
        ahead = int((of_tables["score"] > 0).sum())
        cells = [interval(of_tables["score"]), f"{ahead} of {len(of_tables)}", interval(of_tables["second"])]
        print(f"| {variant} | {len(of_tables)} | {' | '.join(cells)} |")


def interval(effects: pd.Series) -> str:
    """Write the mean of effects (n_tables,) with its 95 % interval."""
    if len(effects) < 2:
        return f"{effects.mean():+.4f}"
    margin = stats.t.ppf(0.975, len(effects) - 1) * effects.std(ddof=1) / len(effects) ** 0.5
    return f"{effects.mean():+.4f} ± {margin:.4f}"


if __name__ == "__main__":
    main()
