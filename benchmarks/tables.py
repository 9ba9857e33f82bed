"""Our defaults against ten other methods at theirs, on the same repeated folds of the real tables.

    uv run --group peers python benchmarks/tables.py [--use-cases zoo] [--methods torchlane linear] [--repeats 2]

Rows that repeat another one entirely, target included, are dropped first. Each repeat deals the rest
into folds anew, classes alike in each; a method is fitted on all rows outside a fold (the network cuts
its valid part from them) and predicts the fold. All predictions are scored by the same code.

Predictions are kept under `--results`, fold by fold: after a kill the same command goes on, and a
method is run again only where its settings or the rows have changed. `--report` only prints what is
there. `OMP_NUM_THREADS` sets the threads of all methods.

`--set '{training: {members: 4}}' --name "4 members" --methods torchlane` adds a network with other
options. `--inner` cuts the folds from the rows that the first fold of the first repeat trains on, which
is how options are compared without a look at its test rows.
"""

import argparse
import hashlib
import json
import logging
import os
import subprocess
import sys
import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from sklearn.model_selection import KFold, StratifiedKFold

from classifiers import read_use_case, settings_of
from peers.jobs import Fit, Job, Predict, read_job, run_job, write_job
from peers.near import NEAR
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.judging.cross_validation import summarise_folds
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import Options
from torchlane.core.rows.levels import natural_order
from torchlane.core.rows.splits import rows_of, split_rows
from torchlane.core.tasks.tasks import TASKS

HERE = Path(__file__).parent
USE_CASES = ("salaries", "water_potability", "zoo", "salaries_2025")
PACKAGES = {"LightGBM": "lightgbm", "CatBoost": "catboost", "XGBoost": "xgboost-cpu"}
FAR = {"RealMLP-TD": "deep.py", "TabM-D": "deep.py", "AutoGluon": "automatic.py"}
OURS = "torchlane"
METHODS = (OURS, *NEAR, *FAR)
KINDS = ("category", "number")
SECOND = {"regression": "mean_absolute_error", "binary": "cross_entropy_loss", "multiclass": "cross_entropy_loss"}


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
    parser.add_argument("--inner", action="store_true")
    parser.add_argument("--report", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    for use_case in arguments.use_cases:
        rows, options = read_use_case(use_case, arguments.env, yaml.safe_load(arguments.set))
        logging.disable(logging.INFO)
        warnings.filterwarnings("ignore", message="The least populated class")
        results = arguments.results / (f"{use_case}_inner" if arguments.inner else use_case)
        folders = deal_folds(rows, options, arguments, results)[: arguments.only_folds]
        for method in () if arguments.report else arguments.methods:
            run_method(method, folders, options, arguments)
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
            labels = [] if data.task == "regression" else list(natural_order(different[data.target].unique()))
            facts = {"target": data.target, "task": data.task, "labels": labels, "seed": 1000 * len(folders)}
            digest = hashlib.sha256(str(facts).encode())
            for part in parts.values():
                digest.update(pd.util.hash_pandas_object(part, index=False).to_numpy().tobytes())
            kinds = {"categories": by_kind["category"], "numbers": by_kind["number"]}
            job = Job(**parts, **facts, **kinds, fingerprint=digest.hexdigest())
            if not _is_written(folders[-1], job):
                write_job(folders[-1], job)
    return folders


def _is_written(folder: Path, job: Job) -> bool:
    return (folder / "job.json").exists() and read_job(folder).fingerprint == job.fingerprint


def run_method(method: str, folders: list[Path], options: dict[str, Options], arguments: argparse.Namespace) -> None:
    """Fill in the predictions that are missing, in this process or in the environment of the peer."""
    settings = version_of(method, options, arguments)
    name = arguments.name if method == OURS else method
    missing = [folder for folder in folders if not is_done(folder, name, settings)]
    if method in FAR and missing:
        command = ["uv", "run", "--script", HERE / "peers" / FAR[method], method, "--settings", settings, *missing]
        environment = os.environ | {"AUTOGLUON_SECONDS": str(arguments.seconds)}
        environment.pop("VIRTUAL_ENV", None)
        subprocess.run(list(map(str, command)), env=environment, check=False)
        return
    fit: Fit = partial(network, options=options) if method == OURS else NEAR[method]
    for folder in missing:
        run_job(name, fit, settings, folder)
        print(f"{folder.parent.name} {folder.name}: {name}", file=sys.stderr, flush=True)


def version_of(method: str, options: dict[str, Options], arguments: argparse.Namespace) -> str:
    """Say all that a method's predictions depend on beside the rows."""
    if method == OURS:
        return settings_of(options)
    if method == "AutoGluon":
        return f"{FAR[method]} {arguments.seconds:g} s"
    return FAR.get(method) or version(PACKAGES.get(method, "scikit-learn"))


def is_done(folder: Path, method: str, settings: str) -> bool:
    """Whether the predictions are there and still those of these rows and settings."""
    path = folder / f"{method}.json"
    if not path.exists():
        return False
    done = read_result(path)
    return (done["fingerprint"], done["settings"]) == (read_job(folder).fingerprint, settings)


def read_result(path: Path) -> dict:
    """Read what `run_job` wrote."""
    return json.loads(path.read_text())


def network(job: Job, options: dict[str, Options]) -> Predict:
    """Train as the pipeline does, with the options that are shipped."""
    data = options["data"]
    rows = job.train.rename_axis("row").reset_index()
    split = options["split"].model_copy(update={"test_fraction": 0.0, "seed": job.seed})
    splits = split_rows(rows, data, split)
    train, valid = (rows_of(part, rows, splits) for part in ("train", "valid"))
    unseen = ~valid[data.target].isin(train[data.target]) & (data.task != "regression")
    train, valid = pd.concat([train, valid[unseen]]), valid[~unseen]
    encoder = fit_encoder(train, data, options["encoding"])
    training = options["training"].model_copy(update={"seed": job.seed})
    lesson = Lesson(build_tensors(train, encoder), build_tensors(valid, encoder), encoder, training)
    model, _ = train_model(lesson, data, options["model"], NoCheckpoints())

    def predict(test_rows: pd.DataFrame) -> np.ndarray:
        table = model.predict(test_rows)
        if data.task == "regression":
            return table["prediction"].to_numpy()
        labels = encoder.target.labels
        return job.probabilities(table[[f"probability_{label}" for label in labels]].to_numpy(), np.array(labels))

    return predict


def score_all(results: Path) -> pd.DataFrame:
    """Score the predictions that belong to the rows of their folder: a line a fold and method."""
    lines = []
    for folder in sorted(results.glob("repeat-*-fold-*")):
        job = read_job(folder)
        truth = pd.Index(job.labels).get_indexer(job.test[job.target]) if job.labels else job.test[job.target]
        truth = torch.tensor(np.array(truth))
        _, repeat, _, fold = folder.name.split("-")
        for path in folder.glob("*.json"):
            done = read_result(path)
            if path.stem == "job" or done["fingerprint"] != job.fingerprint:
                continue
            prediction = torch.tensor(done["prediction"], dtype=torch.float64)
            task = TASKS[job.task]
            metrics = (task.primary_metric, SECOND[job.task])
            scores = {name: task.score(name, prediction, truth) for name in metrics}
            sizes = {"train": len(job.train), "valid": 0, "test": len(job.test)}
            line = {"method": path.stem, "repeat": int(repeat), "fold": int(fold), **sizes, **scores}
            lines.append(line | {"seconds": done["seconds"]})
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
