"""The network against ridge regression on the real salaries, over many splits.

    python benchmarks/salaries.py [--seeds 20] [--env public]

Each seed splits the rows anew; network and ridge see the same parts. The ridge takes one-hot
levels and standardised numbers; its penalty is chosen on valid, as the network's stopping epoch
is. `ridge, refitted` is fitted once more on train and valid together, which the network is not.
"""

import argparse
import logging
import time

import numpy as np
import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.judging.evaluation import evaluate
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import SECTIONS
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import PARTS, rows_of, split_rows

PENALTIES = np.geomspace(0.03, 100, 15)


def main() -> None:
    """Score every seed and print means, spread and paired differences."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--env", default="public")
    arguments = parser.parse_args()
    raw_rows, options = read_project(arguments.env)
    logging.disable(logging.INFO)
    clean, _ = check_rows(raw_rows, options["data"])
    lines = []
    for seed in range(arguments.seeds):
        split = options["split"].model_copy(update={"seed": seed})
        splits = split_rows(clean, options["data"], split)
        parts = {part: rows_of(part, clean, splits) for part in PARTS}
        started = time.perf_counter()
        scores = score_network(parts, clean, splits, options)
        scores["seconds"] = time.perf_counter() - started
        lines.append(scores | score_ridge(parts, options["data"]))
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.3f}" for name, value in lines[-1].items()), flush=True)
    report(pd.DataFrame(lines), clean.attrs["source"])


def read_project(env: str) -> tuple[pd.DataFrame, dict]:
    """Load the raw rows and the options of `salaries` as the pipeline would."""
    metadata = bootstrap_project(".")
    with KedroSession.create(metadata.project_path, env=env) as session:
        context = session.load_context()
        sections = context.config_loader["parameters"]["salaries"]
        return context.catalog.load("salaries.raw_rows"), {
            name: model.model_validate(sections[name]) for name, model in SECTIONS.items()
        }


def score_network(parts: dict, clean: pd.DataFrame, splits: pd.DataFrame, options: dict) -> dict[str, float]:
    """Train as the pipeline does, the members' seeds following the split's, and score on test."""
    encoder = fit_encoder(parts["train"], options["data"], options["encoding"])
    tensors = {part: build_tensors(rows, encoder) for part, rows in parts.items()}
    training = options["training"].model_copy(update={"seed": 1000 * options["split"].seed})
    lesson = Lesson(tensors["train"], tensors["valid"], encoder, training)
    model, _ = train_model(lesson, options["data"], options["model"], NoCheckpoints(), clean.attrs["source"])
    metrics, _ = evaluate(model, tensors, clean, splits)
    return {
        "network": metrics["test"]["r2_score"],
        "constant": metrics["baseline"]["r2_score"],
        "coverage": metrics["calibration"]["coverage"],
    }


def score_ridge(parts: dict[str, pd.DataFrame], data: object) -> dict[str, float]:
    """Fit the ridge on train with the penalty that is best on valid; then on train and valid."""
    columns, target = data.feature_columns, data.target
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), [name for name, each in columns.items() if each.kind == "category"]),
        (StandardScaler(), [name for name, each in columns.items() if each.kind == "number"]),
    )
    fitted = {alpha: make_pipeline(clone(encode), Ridge(alpha)) for alpha in PENALTIES}
    for ridge in fitted.values():
        ridge.fit(parts["train"], parts["train"][target])
    best = max(PENALTIES, key=lambda alpha: r2_score(parts["valid"][target], fitted[alpha].predict(parts["valid"])))
    both = pd.concat([parts["train"], parts["valid"]])
    refitted = make_pipeline(clone(encode), Ridge(best)).fit(both, both[target])
    test = parts["test"]
    return {
        "ridge": r2_score(test[target], fitted[best].predict(test)),
        "ridge, refitted": r2_score(test[target], refitted.predict(test)),
    }


def report(scores: pd.DataFrame, source: str) -> None:
    """Print test R² of each method, and how far the network is ahead of the ridge, split by split."""
    print(f"\ntest R² over {len(scores)} splits of {source}: mean ± standard deviation")
    for name in ("network", "ridge", "ridge, refitted", "constant"):
        print(f"  {name:16} {scores[name].mean():.4f} ± {scores[name].std():.4f}")
    for name in ("ridge", "ridge, refitted"):
        ahead = scores["network"] - scores[name]
        half = 1.96 * ahead.std() / np.sqrt(len(ahead))
        print(
            f"  network - {name}: {ahead.mean():+.4f} ± {half:.4f} (95 %), ahead in {(ahead > 0).sum()} of {len(ahead)}"
        )
    print(f"  coverage of the 90 % intervals: {scores['coverage'].mean():.4f} ± {scores['coverage'].std():.4f}")
    print(f"  seconds to train a network: median {scores['seconds'].median():.1f}")


if __name__ == "__main__":
    main()
