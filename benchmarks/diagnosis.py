"""What watching a training costs, as a share of its processor time.

    python benchmarks/diagnosis.py [--rounds 3] [--env base] [--use-cases salaries water_potability zoo digits]

Each use case is trained on its own options; the time inside the observer is set against the rest.
"""

import argparse
import logging
import statistics
import time
from typing import Any

from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import SECTIONS, DiagnosisOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import PARTS, rows_of, split_rows
from torchlane.core.training.observation import Observer


def main() -> None:
    """Print processor seconds of a training, and the share that watching adds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--env", default="base")
    parser.add_argument("--use-cases", nargs="+", default=["salaries", "water_potability", "zoo", "digits"])
    arguments = parser.parse_args()
    project = {use_case: prepare(use_case, arguments.env) for use_case in arguments.use_cases}
    logging.disable(logging.WARNING)
    for use_case, (parts, encoder, options) in project.items():
        shares, seconds = [], []
        for number in range(arguments.rounds + 1):
            observer = TimedObserver(DiagnosisOptions())
            started = time.process_time()
            lesson = Lesson(parts["train"], parts["valid"], encoder, options["training"])
            train_model(lesson, options["data"], options["model"], NoCheckpoints(), observer=observer)
            whole = time.process_time() - started
            if number:  # the first round warms up
                seconds.append(whole)
                shares.append(observer.seconds / (whole - observer.seconds))
        print(
            f"{use_case}: {statistics.median(seconds):.2f} s, watching adds {statistics.median(shares):.1%} "
            f"({min(shares):.1%} to {max(shares):.1%})",
            flush=True,
        )


class TimedObserver(Observer):
    """An observer that adds up the processor time it takes."""

    seconds = 0.0

    def begin(self, *arguments: Any) -> None:
        """Look before training."""
        started = time.process_time()
        super().begin(*arguments)
        self.seconds += time.process_time() - started

    def after_epoch(self, *arguments: Any) -> None:
        """Look after an epoch."""
        started = time.process_time()
        super().after_epoch(*arguments)
        self.seconds += time.process_time() - started


def prepare(use_case: str, env: str) -> tuple:
    """Load, split and encode as the pipeline does: tensors a part, encoder, options."""
    metadata = bootstrap_project(".")
    with KedroSession.create(metadata.project_path, env=env) as session:
        context = session.load_context()
        sections = context.config_loader["parameters"][use_case]
        raw_rows = context.catalog.load(f"{use_case}.raw_rows")
    options = {name: model.model_validate(sections[name]) for name, model in SECTIONS.items()}
    clean, _ = check_rows(raw_rows, options["data"])
    splits = split_rows(clean, options["data"], options["split"])
    parts = {part: rows_of(part, clean, splits) for part in PARTS}
    encoder = fit_encoder(parts["train"], options["data"], options["encoding"])
    return {part: build_tensors(rows, encoder) for part, rows in parts.items()}, encoder, options


if __name__ == "__main__":
    main()
