"""Our defaults against ten other methods at theirs, on the same repeated folds of the real tables.

    uv run --group peers python benchmarks/tables.py [--use-cases zoo] [--methods torchlane linear] [--repeats 2]

Rows that repeat another one entirely, target included, are dropped first. Each repeat deals the rest
into folds anew, classes alike in each; a method is fitted on all rows outside a fold (the network cuts
its valid part from them) and predicts the fold. All predictions are scored by the same code.

Predictions are kept under `--results`, fold by fold: after a kill the same command goes on, and a
method is run again only where its settings or the rows have changed. `--report` only prints what is
there. `OMP_NUM_THREADS` sets the threads of all methods.

`--set '{training: {members: 4}}' --name "4 members" --methods torchlane` adds a network with other
options, `--default --name default` one without those that the use case sets for model and training.
`--inner` cuts the folds from the rows that the first fold of the first repeat trains on, which is how
options are compared without a look at its test rows.
"""

import argparse
import logging
import sys
import warnings
from functools import partial
from pathlib import Path

import pandas as pd
import yaml
from sklearn.model_selection import KFold, StratifiedKFold

from classifiers import read_use_case, settings_of
from methods import METHODS, OURS, Method, autogluon, fit_network, peer, put_job, run_method, score_folder
from peers.jobs import Job, Predict
from torchlane.core.judging.cross_validation import summarise_folds
from torchlane.core.options import SECTIONS, Options
from torchlane.core.rows.splits import rows_of, split_rows

USE_CASES = ("salaries", "water_potability", "zoo", "salaries_2025")
KINDS = ("category", "number")


def main() -> None:
    """Run what is missing, then report on all that is there."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--use-cases", nargs="+", default=USE_CASES)
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--only-folds", type=int, help="run so many folds of all, the first ones")
    parser.add_argument("--env", default="public")
    parser.add_argument("--results", type=Path, default=Path("build/tables"))
    parser.add_argument("--set", default="{}", help="options of the network by section, as YAML")
    parser.add_argument("--name", default=OURS, help="what to call a network with other options")
    parser.add_argument("--seconds", type=float, default=60, help="AutoGluon's limit a fold")
    parser.add_argument(
        "--default", action="store_true", help="the network without what YAML says of model and training"
    )
    parser.add_argument("--inner", action="store_true")
    parser.add_argument("--report", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    for use_case in arguments.use_cases:
        rows, options = read_use_case(use_case, arguments.env, yaml.safe_load(arguments.set))
        if arguments.default:
            options |= {section: SECTIONS[section]() for section in ("model", "training")}
        logging.disable(logging.INFO)
        warnings.filterwarnings("ignore", message="The least populated class")
        results = arguments.results / (f"{use_case}_inner" if arguments.inner else use_case)
        folders = deal_folds(rows, options, arguments, results)[: arguments.only_folds]
        for name in () if arguments.report else arguments.methods:
            run_method(method_of(name, options, arguments), folders)
        logging.disable(logging.NOTSET)
        report(use_case, results)


def deal_folds(rows: pd.DataFrame, options: dict[str, Options], arguments: argparse.Namespace, results: Path) -> list:
    """Write the rows of each fold of each repeat into a folder."""
    data = options["data"]
    columns = [*data.feature_columns, data.target]
    different = rows[~rows.duplicated(columns)][columns].reset_index(drop=True)
    kind = KFold if data.task == "regression" else StratifiedKFold
    deal = partial(kind, arguments.folds, shuffle=True)
    if arguments.inner:
        outside, _ = next(deal(random_state=0).split(different, different[data.target]))
        different = different.iloc[outside].reset_index(drop=True)
    by_kind = {kind: [name for name, each in data.feature_columns.items() if each.kind == kind] for kind in KINDS}
    folders = []
    for repeat in range(arguments.repeats):
        for fold, (train, test) in enumerate(deal(random_state=repeat).split(different, different[data.target])):
            folders.append(results / f"repeat-{repeat}-fold-{fold}")
            parts = {"train": different.iloc[train], "test": different.iloc[test]}
            kinds = {"categories": by_kind["category"], "numbers": by_kind["number"]}
            put_job(
                folders[-1], parts, {"target": data.target, "task": data.task, "seed": 1000 * len(folders), **kinds}
            )
    return folders


def method_of(name: str, options: dict[str, Options], arguments: argparse.Namespace) -> Method:
    """Give a method as it is run."""
    if name == OURS:
        return Method(arguments.name, settings_of(options), partial(network, options=options))
    return autogluon(arguments.seconds) if name == "AutoGluon" else peer(name)


def network(job: Job, options: dict[str, Options]) -> Predict:
    """Train as the pipeline does, with the options that are shipped."""
    data = options["data"]
    rows = job.train.rename_axis("row").reset_index()
    split = options["split"].model_copy(update={"test_fraction": 0.0, "seed": job.seed})
    splits = split_rows(rows, data, split)
    train, valid = (rows_of(part, rows, splits) for part in ("train", "valid"))
    unseen = ~valid[data.target].isin(train[data.target]) & (data.task != "regression")
    return fit_network(pd.concat([train, valid[unseen]]), valid[~unseen], options, job)


def score_all(results: Path) -> pd.DataFrame:
    """Score the predictions that belong to the rows of their folder: a line a fold and method."""
    lines = []
    for folder in sorted(results.glob("repeat-*-fold-*")):
        _, repeat, _, fold = folder.name.split("-")
        lines += [{"repeat": int(repeat), "fold": int(fold), **line} for line in score_folder(folder)]
    return pd.DataFrame(lines)


def report(use_case: str, results: Path) -> None:
    """Print a table, best method first, and keep the scores beside the predictions."""
    scores = score_all(results)
    if scores.empty:
        return
    scores.to_csv(results / "scores.csv", index=False)
    primary, second = [name for name in scores if name.endswith(("_score", "_error", "_loss"))]
    print(f"\n{use_case}: {scores['train'].max() + scores['test'].min()} rows\n")
    print(f"| method | {primary} | {second} | fit seconds | folds | torchlane ahead by (95 % interval) | folds ahead |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    place = ["repeat", "fold"]
    ours = scores[scores["method"] == OURS].set_index(place)
    for method in scores.groupby("method")[primary].mean().sort_values(ascending=False).index:
        theirs = scores[scores["method"] == method].set_index(place)
        cells = [f"{theirs[name].mean():.4g} ± {theirs[name].std():.2g}" for name in (primary, second)]
        cells += [f"{theirs['seconds'].median():.1f}", str(len(theirs))]
        ahead = (ours[primary] - theirs[primary]).dropna()
        if method != OURS and len(ahead) > 1:
            shared = theirs.loc[ahead.index].assign(ahead=ahead).reset_index()
            found = summarise_folds(shared[[*place, "train", "valid", "test", "ahead"]])["ahead"]
            cells += [
                f"{found['mean']:+.4f} ({found['low']:+.4f} to {found['high']:+.4f})",
                f"{(ahead > 0).sum()} of {len(ahead)}",
            ]
        print(f"| {' | '.join([method, *cells, '', ''][:7])} |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
