"""What `torchlane init` drafts and `kedro run` trains, beside other methods at their defaults, on many real tables.

    uv run --group peers --group tables python benchmarks/field.py [--tables concrete …] [--methods LightGBM …]

Each table of `field_tables.py` is drafted as `torchlane init` does, checked and split as `kedro run` does; only the
seeds of the split and of the training differ from the defaults. All methods are tested on the same rows. The network
stops early on valid. The others have no use for it: they are fitted on train and valid together, and those that hold
rows out by default take them from there. They take columns by their types in pandas, all but numbers as categories.

Predictions are kept under `--results`, a folder a table and seed, and a rerun goes on where the last one ended. A fit
of more than `--most-seconds` of a processor ends the turn of its method on that table. `OMP_NUM_THREADS` sets the
threads of all methods.

`--set '{training: {members: 4}}' --name "4 members" --methods torchlane` runs a network with other options. `--judge`
takes the tables that no choice may rest on. `--report` only prints what is there. RealMLP-TD, TabM-D and AutoGluon run
only if `--methods` names them; AutoGluon gets ten times the seconds that ours took.
"""

import argparse
import logging
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

import ranking
from classifiers import settings_of
from field_tables import TABLES, load, names
from methods import FAR, METHODS, OURS, SECOND, Method, autogluon, fit_network, peer, put_job, run_method, score_folder
from peers.jobs import Job, Predict
from torchlane.core.options import SECTIONS, Options
from torchlane.core.rows.checking import ROW, check_rejections, check_rows
from torchlane.core.rows.drafting import draft_parameters
from torchlane.core.rows.splits import rows_of, split_rows
from torchlane.core.tasks.tasks import TASKS
from torchlane.datasets.rows import RawRowsDataset

NEAR_METHODS = tuple(name for name in METHODS if name not in FAR)
TIMES_OURS = 10  # that AutoGluon may take
FEWEST_SECONDS = 30


class Prepared(NamedTuple):
    """A table as `kedro run` has it after its rows were checked."""

    clean: pd.DataFrame
    options: dict[str, Options]
    folders: list[Path]  # of the jobs, a seed each


def main() -> None:
    """Run what is missing, then report on all that is there."""
    arguments = read_arguments()
    chosen = arguments.tables or names("judge" if arguments.judge else "choose")
    wrong = set(chosen) - set(names("judge" if arguments.judge else "choose"))
    if wrong:
        sys.exit(
            f"not among the tables to {'judge by' if arguments.judge else 'choose on'}: {', '.join(sorted(wrong))}"
        )
    for table in () if arguments.report else chosen:
        prepared = prepare(table, arguments.seeds, arguments.results, yaml.safe_load(arguments.set))
        logging.disable(logging.WARNING)
        warnings.filterwarnings("ignore", message="The least populated class")
        for name in arguments.methods:
            run_method(method_of(name, prepared, arguments), prepared.folders, arguments.most_seconds)
        logging.disable(logging.NOTSET)
    shown = [arguments.name if name == OURS else name for name in arguments.methods]
    report(score_all(arguments.results, chosen, arguments.seeds, shown), arguments.name)


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=list(TABLES))
    parser.add_argument("--judge", action="store_true", help="the tables to judge by")
    parser.add_argument("--methods", nargs="+", default=NEAR_METHODS, help="also names given by --name, in a --report")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--results", type=Path, default=Path("build/field"))
    parser.add_argument("--set", default="{}", help="options of the network by section, as YAML")
    parser.add_argument("--name", default=OURS, help="what to call a network with other options")
    parser.add_argument("--most-seconds", type=float, default=180, help="of a processor, for a fit in this environment")
    parser.add_argument("--seconds", type=float, help="AutoGluon's, instead of ten times ours")
    parser.add_argument("--presets", default="best_quality", help="AutoGluon's")
    parser.add_argument("--report", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    unknown = set(arguments.methods) - set(METHODS)
    if unknown and not arguments.report:
        parser.error(f"no method is called {', '.join(sorted(unknown))}; there are {', '.join(METHODS)}")
    return arguments


def prepare(name: str, seeds: int, results: Path, changes: dict[str, Any]) -> Prepared:
    """Draft a table, check its rows, and write a job for each seed."""
    rows, target = load(name)
    file = results / name / f"{name}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    rows.to_csv(file, index=False)
    raw = RawRowsDataset(filepath=str(file)).load()
    draft = draft_parameters(raw, name, target)
    drafted = yaml.safe_load(draft.parameters)[name]
    options = {
        section: model.model_validate({**drafted.get(section, {}), **changes.get(section, {})})
        for section, model in SECTIONS.items()
    }
    clean, rejected = check_rows(raw, options["data"])
    check_rejections(clean, rejected, options["data"])
    print(f"{name}: {draft.summary}; {len(raw) - len(clean)} rows rejected", file=sys.stderr, flush=True)
    prepared = Prepared(clean, options, [file.with_name(f"seed-{seed}") for seed in range(seeds)])
    for seed, folder in enumerate(prepared.folders):
        write_job_of(prepared, rows, seed, folder)
    return prepared


def write_job_of(prepared: Prepared, rows: pd.DataFrame, seed: int, folder: Path) -> None:
    """Write what peers get: the columns of `rows` by their types, and the target that ours has."""
    data, parts = prepared.options["data"], split(prepared, seed)
    features = rows.drop(columns=data.target)
    numbers = list(features.select_dtypes("number").columns)
    categories = [name for name in features if name not in numbers]
    features = features.astype({name: "float64" for name in numbers})
    for name in categories:
        features[name] = features[name].astype(str).astype(object).where(features[name].notna(), None)
    given = {
        part: features.iloc[of_part[ROW] - 1].assign(**{data.target: of_part[data.target].to_numpy()})
        for part, of_part in parts.items()
    }
    facts = {"target": data.target, "task": data.task, "seed": seed, "categories": categories, "numbers": numbers}
    put_job(folder, {"train": pd.concat([given["train"], given["valid"]]), "test": given["test"]}, facts)


def split(prepared: Prepared, seed: int) -> dict[str, pd.DataFrame]:
    """Split the rows as the pipeline does with that seed."""
    options = prepared.options["split"].model_copy(update={"seed": seed})
    splits = split_rows(prepared.clean, prepared.options["data"], options, quiet=True)
    return {part: rows_of(part, prepared.clean, splits) for part in ("train", "valid", "test")}


def network(job: Job, prepared: Prepared) -> Predict:
    """Train on our rows of the job, which peers have as pandas reads them."""
    parts = split(prepared, job.seed)
    predict = fit_network(parts["train"], parts["valid"], prepared.options, job)
    return lambda _: predict(parts["test"])


def method_of(name: str, prepared: Prepared, arguments: argparse.Namespace) -> Method:
    """Give a method as it is run."""
    if name == OURS:
        return Method(arguments.name, settings_of(prepared.options), partial(network, prepared=prepared))
    if name != "AutoGluon":
        return peer(name)
    if arguments.seconds is not None:
        return autogluon(arguments.seconds, arguments.presets)
    ours = [line for folder in prepared.folders for line in score_folder(folder) if line["method"] == arguments.name]
    if not ours:
        sys.exit(
            f"AutoGluon gets {TIMES_OURS} times the seconds of '{arguments.name}': run that first, or set --seconds"
        )
    seconds = max(FEWEST_SECONDS, TIMES_OURS * pd.DataFrame(ours)["seconds"].median())
    return autogluon(seconds, arguments.presets, f"{TIMES_OURS} times ours")


def score_all(results: Path, tables: list[str], seeds: int, methods: list[str]) -> pd.DataFrame:
    """Score all predictions that are there: a line a table, method and seed, as `ranking` wants them."""
    lines = []
    for table in tables:
        for seed in range(seeds):
            folder = results / table / f"seed-{seed}"
            for line in score_folder(folder) if (folder / "job.json").exists() else ():
                if line["method"] in methods:
                    lines.append({"table": table, "seed": seed, **line})
    scores = pd.DataFrame(lines)
    for column, metric_of in (("score", {task: TASKS[task].primary_metric for task in TASKS}), ("second", SECOND)):
        if lines:
            scores[column] = [line[metric_of[line["task"]]] for line in lines]
    return scores


def report(scores: pd.DataFrame, ours: str) -> None:
    """Print each table, then all of them together, as Markdown."""
    if scores.empty:
        return
    summary = ranking.over_tables(scores)
    print_tables(scores, list(summary.index))
    print_summary(summary)
    print_behind(ranking.behind_boosted(scores, ours), ours)


def print_tables(scores: pd.DataFrame, methods: list[str]) -> None:
    """Print scores with the times of fits, then the second metric."""
    values, second = ranking.means(scores), ranking.means(scores, "second")
    wall, used = ranking.medians(scores, "seconds"), ranking.medians(scores, "processor_seconds")
    facts = scores.groupby("table", sort=False)[["task", "train", "test"]].first()
    print(
        "Mean score over seeds (R² of numbers, AUC of two classes, accuracy of more), and below it the median wall and"
    )
    print("processor seconds of a fit:\n")
    print(f"| table | rows | {' | '.join(methods)} |\n{'| --- ' * (len(methods) + 2)}|")
    for table, (task, train, test) in facts.iterrows():
        best = values.loc[table, methods].max()
        cells = [
            f"{shown(values.loc[table, name], best)}<br>{wall.loc[table, name]:.3g}, {used.loc[table, name]:.3g}"
            if pd.notna(values.loc[table, name])
            else "-"
            for name in methods
        ]
        print(f"| {table}, {task} | {train + test} | {' | '.join(cells)} |")
    print("\nLog loss of classes, mean absolute error of numbers:\n")
    print(f"| table | {' | '.join(methods)} |\n{'| --- ' * (len(methods) + 1)}|")
    for table in facts.index:
        print(
            f"| {table} | {' | '.join(shown(second.loc[table, name], second.loc[table].min()) for name in methods)} |"
        )


def shown(value: float, best: float) -> str:
    """Write a number, the best one in bold."""
    if pd.isna(value):
        return "-"
    return f"**{value:.4g}**" if value == best else f"{value:.4g}"


def print_summary(summary: pd.DataFrame) -> None:
    """Print a line a method."""
    print("\nOver tables; a normalised score is 0 for the worst method of a table and 1 for the best, and times are")
    print("medians of multiples of LightGBM's:\n")
    print(
        "| method | tables | mean rank | mean normalised score | mean rank by log loss | wall time | processor time |"
    )
    print("| --- " * 7 + "|")
    for name, line in summary.iterrows():
        cells = [f"{line[column]:.2f}" for column in ("rank", "normalised", "log_loss_rank", "time", "processor_time")]
        print(f"| {name} | {line['tables']:.0f} | {' | '.join(cells)} |")


def print_behind(lines: pd.DataFrame, ours: str) -> None:
    """Print how far ours is ahead of the best boosted trees of each table."""
    if lines.empty:
        return
    print(f"\n{ours} beside the boosted trees that are best on each table, 95 % interval paired over seeds:\n")
    print("| table | best of them | ahead by | interval | behind by more than it |\n| --- | --- | --- | --- | --- |")
    for line in lines.itertuples():
        verdict = "yes" if line.high < 0 else "no"
        print(f"| {line.table} | {line.best} | {line.ahead:+.4f} | {line.low:+.4f} to {line.high:+.4f} | {verdict} |")
    print(f"\nbehind by more than the interval on {(lines['high'] < 0).sum()} of {len(lines)} tables")


if __name__ == "__main__":
    main()
