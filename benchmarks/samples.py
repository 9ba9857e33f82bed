"""Bundled samples against the real files: the same network, trained and tested on each.

    python benchmarks/samples.py [--seeds 10] [--use-cases salaries water_potability]

Each seed draws the sample anew, and splits it and the real rows anew; options are those of the use
case. A sample that is as hard to learn as the real file scores the same: the goal is a difference
of at most 0.05 in the primary metric.
"""

import argparse
import logging
import time

import numpy as np
import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.judging.evaluation import evaluate
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import SECTIONS, Options
from torchlane.core.rows import samples
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import PARTS, rows_of, split_rows

GOAL = 0.05


def main() -> None:
    """Score real rows and samples with every seed, and print means, spread and paired differences."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--use-cases", nargs="+", default=samples.use_cases())
    arguments = parser.parse_args()
    project = {use_case: read_use_case(use_case) for use_case in arguments.use_cases}
    logging.disable(logging.WARNING)  # that redrawn rows are not those of the digest
    for use_case, (real, options) in project.items():
        lines = []
        for seed in range(arguments.seeds):
            started = time.perf_counter()
            drawn = samples.draw_rows(use_case, len(real), seed)
            lines.append({"real": score_network(real, options, seed), "sample": score_network(drawn, options, seed)})
            scores = ", ".join(f"{name} {value:.3f}" for name, value in lines[-1].items())
            print(f"{use_case}, seed {seed}: {scores}; {time.perf_counter() - started:.0f} s", flush=True)
        report(use_case, pd.DataFrame(lines))


def read_use_case(use_case: str) -> tuple[pd.DataFrame, dict[str, Options]]:
    """Load the real rows and the options as the pipeline would."""
    metadata = bootstrap_project(".")
    with KedroSession.create(metadata.project_path, env="public") as session:
        context = session.load_context()
        sections = context.config_loader["parameters"][use_case]
        options = {name: model.model_validate(sections[name]) for name, model in SECTIONS.items()}
        return context.catalog.load(f"{use_case}.raw_rows"), options


def score_network(raw_rows: pd.DataFrame, options: dict[str, Options], seed: int) -> float:
    """Split, train and test as the pipeline does: the primary metric on test."""
    clean, _ = check_rows(raw_rows, options["data"])
    splits = split_rows(clean, options["data"], options["split"].model_copy(update={"seed": seed}))
    parts = {part: rows_of(part, clean, splits) for part in PARTS}
    encoder = fit_encoder(parts["train"], options["data"], options["encoding"])
    tensors = {part: build_tensors(rows, encoder) for part, rows in parts.items()}
    training = options["training"].model_copy(update={"seed": 1000 * seed})
    lesson = Lesson(tensors["train"], tensors["valid"], encoder, training)
    model, _ = train_model(lesson, options["data"], options["model"], NoCheckpoints())
    metrics, _ = evaluate(model, tensors, clean, splits)
    return metrics["test"][model.task.primary_metric]


def report(use_case: str, scores: pd.DataFrame) -> None:
    """Print the score on real rows and on samples, and how far they are apart."""
    apart = scores["sample"] - scores["real"]
    half = 1.96 * apart.std() / np.sqrt(len(apart))
    print(f"\n{use_case}: test score over {len(scores)} seeds, mean ± standard deviation")
    for name in scores:
        print(f"  {name:8} {scores[name].mean():.4f} ± {scores[name].std():.4f}")
    met = "met" if abs(apart.mean()) <= GOAL else "missed"
    print(f"  sample - real: {apart.mean():+.4f} ± {half:.4f} (95 %); the goal of {GOAL} is {met}\n", flush=True)


if __name__ == "__main__":
    main()
