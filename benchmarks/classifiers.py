"""Networks against logistic regression and a random forest on the real zoo and water_potability.

    python benchmarks/classifiers.py [--use-cases zoo water_potability] [--seeds 5] [--folds 5] [--env public]

Every seed deals the rows into folds anew, classes alike in each. All methods are tested on the same
folds; the others are fitted on all rows outside a fold, the network cuts its valid part from them.
The score is the primary metric: accuracy for zoo, ROC AUC for water_potability. `--set` changes
options of the network, `--inner` scores it on the valid parts instead, which is how options are
picked without a look at the test folds.
"""

import argparse
import logging
import time

import numpy as np
import pandas as pd
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline

from peers.near import encoding
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import SECTIONS, Options
from torchlane.core.rows.checking import check_rows


def main() -> None:
    """Score every fold of every seed, and print means, spread and paired differences."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--use-cases", nargs="+", default=["zoo", "water_potability"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--env", default="public")
    parser.add_argument("--set", default="{}", help="options by section, as YAML: {model: {dropout: 0.1}}")
    parser.add_argument("--inner", action="store_true")
    arguments = parser.parse_args()
    for use_case in arguments.use_cases:
        rows, options = read_use_case(use_case, arguments.env, yaml.safe_load(arguments.set))
        logging.disable(logging.INFO)
        scores = []
        for seed in range(arguments.seeds):
            folds = StratifiedKFold(arguments.folds, shuffle=True, random_state=seed)
            for fold, (outside, test) in enumerate(folds.split(rows, rows[options["data"].target])):
                started = time.process_time()
                line = score_fold(rows.iloc[outside], rows.iloc[test], options, 1000 * seed + fold, arguments.inner)
                scores.append({"seed": seed, **line, "seconds": time.process_time() - started})
            done = pd.DataFrame(scores).query("seed == @seed").drop(columns="seed").mean()
            print(
                f"{use_case}, seed {seed}: " + ", ".join(f"{name} {value:.4f}" for name, value in done.items()),
                flush=True,
            )
        logging.disable(logging.NOTSET)
        report(use_case, pd.DataFrame(scores))


def read_use_case(use_case: str, env: str, changes: dict) -> tuple[pd.DataFrame, dict[str, Options]]:
    """Load the clean rows and the options as the pipeline would."""
    metadata = bootstrap_project(".")
    with KedroSession.create(metadata.project_path, env=env) as session:
        context = session.load_context()
        sections = context.config_loader["parameters"][use_case]
        raw_rows = context.catalog.load(f"{use_case}.raw_rows")
    options = {
        name: model.model_validate({**sections[name], **changes.get(name, {})}) for name, model in SECTIONS.items()
    }
    return check_rows(raw_rows, options["data"])[0], options


def settings_of(options: dict[str, Options]) -> str:
    """Say all that a network depends on beside its rows and seed."""
    return " ".join(options[section].model_dump_json() for section in ("split", "encoding", "model", "training"))


def score_fold(outside: pd.DataFrame, test: pd.DataFrame, options: dict, seed: int, inner: bool) -> dict[str, float]:
    """Fit on the rows outside a fold, and score on its rows; with `inner` the network alone, on valid."""
    data, fraction = options["data"], options["split"].valid_fraction
    train, valid = outside, outside.iloc[:0]
    if fraction or inner:
        share = fraction or 0.2
        train, valid = train_test_split(
            outside, test_size=share, random_state=seed, stratify=stratum(outside[data.target])
        )
        missing = ~valid[data.target].isin(train[data.target])
        train, valid = pd.concat([train, valid[missing]]), valid[~missing]
    scored = valid if inner else test
    scores = {"network": score_network(train, valid if fraction else valid.iloc[:0], scored, options, seed)}
    if inner:
        return scores
    features = list(data.feature_columns)
    by_kind = [
        [name for name, each in data.feature_columns.items() if each.kind == kind] for kind in ("category", "number")
    ]
    others = {"logistic regression": LogisticRegression(max_iter=5000),
              "random forest": RandomForestClassifier(500, random_state=seed)}  # fmt: skip
    for name, model in others.items():
        pipeline = make_pipeline(encoding(*by_kind), model).fit(outside[features], outside[data.target])
        scores[name] = score(scored[data.target], pipeline.predict_proba(scored[features]), pipeline.classes_)
    return scores


def stratum(labels: pd.Series) -> pd.Series | None:
    """Keep classes alike in both parts where each has two rows."""
    return labels if labels.value_counts().min() > 1 else None


def score_network(train: pd.DataFrame, valid: pd.DataFrame, test: pd.DataFrame, options: dict, seed: int) -> float:
    """Train as the pipeline does, and score on other rows."""
    encoder = fit_encoder(train, options["data"], options["encoding"])
    training = options["training"].model_copy(update={"seed": seed})
    lesson = Lesson(build_tensors(train, encoder), build_tensors(valid, encoder), encoder, training)
    model, _ = train_model(lesson, options["data"], options["model"], NoCheckpoints())
    labels = np.array(encoder.target.labels)
    probabilities = model.predict(test)[[f"probability_{label}" for label in labels]].to_numpy()
    return score(test[options["data"].target], probabilities, labels)


def score(truth: pd.Series, probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Give the ROC AUC of two labels, or the accuracy of more."""
    if len(labels) == 2:
        return roc_auc_score(truth == labels[1], probabilities[:, 1])
    return accuracy_score(truth, labels[probabilities.argmax(1)])


def report(use_case: str, scores: pd.DataFrame) -> None:
    """Print each method's mean and spread over seeds, and how far the network is ahead, seed by seed."""
    by_seed = scores.groupby("seed").mean()
    print(f"\n{use_case}: mean over {len(scores)} folds ± standard deviation over {len(by_seed)} seeds")
    for name in by_seed.columns.drop("seconds"):
        ahead = by_seed["network"] - by_seed[name]
        print(f"  {name:20} {by_seed[name].mean():.4f} ± {by_seed[name].std():.4f}", end="")
        print(f"; network ahead by {ahead.mean():+.4f} ± {ahead.std():.4f}" if name != "network" else "")
    print(f"  processor seconds a fold, all methods: {scores['seconds'].median():.1f}\n", flush=True)


if __name__ == "__main__":
    main()
