"""How often each warning is given: on drawn tables where nothing is wrong, and on the use cases with several seeds.

    python benchmarks/warning_rates.py [--rounds 20] [--env base] [--use-cases salaries …] [--seeds 5] [--epochs 40]

On the drawn tables every warning is a false alarm: all features matter, the target is no linear function of them and
has no heavy tails, no two rows are equal, and test has enough rows.
Nothing is searched. A use case is split and trained anew for each seed.
"""

import argparse
import logging
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.explaining.baselines import fit_baselines
from torchlane.core.explaining.evidence import gather_evidence
from torchlane.core.explaining.explanation import explain_model
from torchlane.core.explaining.findings import Evidence
from torchlane.core.explaining.part_differences import tell_apart
from torchlane.core.explaining.rules_of_data import APART_AUC, APART_ERRORS
from torchlane.core.explaining.warnings import find_warnings
from torchlane.core.judging.evaluation import evaluate
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import SECTIONS, Options
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import PARTS, rows_of, split_rows
from torchlane.core.search.chosen import no_change

ROWS, TEST = 3_000, 0.3
SPLITS = 200  # random splits whose parts are told apart

Sections = dict[str, Any]


def main() -> None:
    """Print how many runs gave each warning."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--env", default="base")
    parser.add_argument("--use-cases", nargs="*", default=["salaries", "water_potability", "zoo", "digits"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for task in ("regression", "binary", "multiclass"):
        runs = [judge(*drawn(task, seed, arguments.epochs)) for seed in range(arguments.rounds)]
        report(f"drawn, {task}", runs)
    for use_case in arguments.use_cases:
        raw_rows, sections = of_project(use_case, arguments.env)
        runs = [judge(raw_rows, reseeded(sections, seed)) for seed in range(arguments.seeds)]
        report(f"{use_case} ({arguments.env})", runs)
        told_apart(use_case, raw_rows, sections)


def report(name: str, runs: Iterable[list[str]]) -> None:
    """Print how often each code was given."""
    runs = list(runs)
    counts = Counter(code for codes in runs for code in codes)
    shown = ", ".join(f"{code} {count}" for code, count in counts.most_common()) or "none"
    print(f"{name}, {len(runs)} runs: {shown}", flush=True)


def drawn(task: str, seed: int, epochs: int) -> tuple[pd.DataFrame, Sections]:
    """Draw a table whose target is a bent function of four numbers and a category, with noise."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(ROWS, 4))
    place = random.integers(0, 4, ROWS)
    x, y, u, v = numbers.T
    score = np.sin(2 * x) + np.abs(y) - np.where(place % 2 == 0, u, -u) + (v > 0.3) + 0.3 * random.normal(size=ROWS)
    columns = {f"x{number}": column for number, column in enumerate(numbers.T)}
    rows = pd.DataFrame({**columns, "place": [f"p{each}" for each in place]})
    if task == "regression":
        rows["y"] = score
    else:
        edges = [0.5] if task == "binary" else [0.33, 0.67]
        rows["y"] = np.searchsorted(np.quantile(score, edges), score).astype(str)
    kinds = {name: {"kind": "number"} for name in columns} | {"place": {"kind": "category"}}
    given = {
        "data": {"task": task, "target": "y", "columns": kinds},
        "split": {"test_fraction": TEST, "valid_fraction": 0.2, "seed": seed},
        "model": {"widths": [64, 64]},
        "training": {"epochs": epochs, "seed": seed, "learning_rate": 0.005, "members": 4},
    }
    return rows.astype(str), {name: model.model_validate(given.get(name, {})) for name, model in SECTIONS.items()}


def of_project(use_case: str, env: str) -> tuple[pd.DataFrame, Sections]:
    """Load the raw rows and the options of a use case."""
    metadata = bootstrap_project(".")
    with KedroSession.create(metadata.project_path, env=env) as session:
        context = session.load_context()
        sections = context.config_loader["parameters"][use_case]
        raw_rows = context.catalog.load(f"{use_case}.raw_rows")
    return raw_rows, {name: model.model_validate(sections[name]) for name, model in SECTIONS.items()}


def reseeded(sections: Sections, seed: int) -> Sections:
    """Change the seed of split and training."""
    return {**sections, **{name: with_seed(sections[name], seed) for name in ("split", "training")}}


def with_seed(options: Options, seed: int) -> Options:
    """Change the seed of some options."""
    return options.model_copy(update={"seed": seed})


def encoded(raw_rows: pd.DataFrame, sections: Sections) -> tuple[pd.DataFrame, pd.DataFrame, Any, dict[str, Any]]:
    """Check, split and encode rows as the pipeline does."""
    clean, _ = check_rows(raw_rows, sections["data"])
    splits = split_rows(clean, sections["data"], sections["split"], quiet=True)
    parts = {part: rows_of(part, clean, splits) for part in PARTS}
    encoder = fit_encoder(parts["train"], sections["data"], sections["encoding"])
    return clean, splits, encoder, {part: build_tensors(rows, encoder) for part, rows in parts.items()}


def judge(raw_rows: pd.DataFrame, sections: Sections) -> list[str]:
    """Train and judge as the pipeline does, and give the codes of the warnings."""
    return [each["code"] for each in find_warnings(evidence_of(raw_rows, sections))["warnings"]]


def evidence_of(raw_rows: pd.DataFrame, sections: Sections) -> Evidence:
    """Train and judge as the pipeline does, and measure what warnings look at."""
    clean, splits, encoder, tensors = encoded(raw_rows, sections)
    lesson = Lesson(tensors["train"], tensors["valid"], encoder, sections["training"])
    model, _ = train_model(lesson, sections["data"], sections["model"], NoCheckpoints(), "drawn")
    evaluation = sections["evaluation"]
    metrics, _ = evaluate(model, tensors, clean, splits, evaluation.coverage, quiet=True)
    baselines = fit_baselines(model, tensors, clean, splits, evaluation)
    importances, *_ = explain_model(model, tensors, clean, splits, evaluation)
    return gather_evidence(model, tensors, sections["split"], metrics, baselines, importances, no_change())


def told_apart(use_case: str, raw_rows: pd.DataFrame, sections: Sections) -> None:
    """Print how often random parts of a use case are told apart, and how far from chance the largest AUC is."""
    started, alarms, excess = time.process_time(), 0, []
    for seed in range(SPLITS):
        *_, encoder, tensors = encoded(raw_rows, reseeded(sections, seed))
        apart = tell_apart(tensors["train"].tensors[0], tensors["test"].tensors[0], encoder, seed)
        if apart is None:
            print(f"{use_case}: parts are too small to be told apart")
            return
        excess.append((apart.auc - 0.5) / apart.error)
        alarms += apart.auc > APART_AUC and excess[-1] > APART_ERRORS
    print(
        f"{use_case}: parts told apart in {alarms} of {SPLITS} random splits; in standard errors, the AUC is above "
        f"chance by {np.mean(excess):.2f} ± {np.std(excess):.2f}, at most {max(excess):.2f} "
        f"({time.process_time() - started:.0f} s)",
        flush=True,
    )


if __name__ == "__main__":
    main()
