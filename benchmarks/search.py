"""What a search costs and what it is worth, on the real salaries.

    python benchmarks/search.py time [--repeats 3] [--trials 32]
    python benchmarks/search.py worth [--seeds 10] [--trials 32] [--members 1] [--sampler random]

`time`: a search with the default space, beside one that gives no trial up, one training with the
options as given (an ensemble, and one network alone), and the same trials one after another, each
trained to the end of its patience by the plain loop. All of them take turns; medians and ratios, of
seconds and of processor seconds, which other work on the machine changes less.
`worth`: for each seed the rows are split anew; test R² of the ensemble with the options that a search
chose, and with those given, whose seeds are the same.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.judging.evaluation import evaluate
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.machine.devices import choose_device
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.networks import build_network
from torchlane.core.options import SECTIONS, Recipe
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import PARTS, rows_of, split_rows
from torchlane.core.search.given import given_params
from torchlane.core.search.ground import Ground
from torchlane.core.search.search import choose_options
from torchlane.core.search.space import read_values, resolve_space
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.members import make_members
from torchlane.datasets.studies import SQLStudies


def read_project(use_case: str, env: str) -> tuple[pd.DataFrame, dict]:
    """Load the clean rows and the options of a use case as the pipeline would."""
    metadata = bootstrap_project(".")
    with KedroSession.create(metadata.project_path, env=env) as session:
        context = session.load_context()
        sections = context.config_loader["parameters"][use_case]
        options = {name: model.model_validate(sections[name]) for name, model in SECTIONS.items()}
        return check_rows(context.catalog.load(f"{use_case}.raw_rows"), options["data"])[0], options


def make_ground(clean: pd.DataFrame, options: dict, seed: int, **tuning: object) -> Ground:
    """Split the rows by a seed and give the search what it works on; the networks' seeds follow the split's."""
    splits = split_rows(clean, options["data"], options["split"].model_copy(update={"seed": seed}))
    training = options["training"].model_copy(update={"seed": 1000 * seed})
    recipe = Recipe(encoding=options["encoding"], model=options["model"], training=training)
    return Ground(clean, splits, options["data"], recipe, options["tuning"].model_copy(update=tuning))


def search(ground: Ground) -> Recipe:
    """Search with a storage of its own: the best recipe."""
    with tempfile.TemporaryDirectory() as folder:
        studies = SQLStudies("salaries", Path(folder) / "search.sqlite")
        chosen, _, _ = choose_options(ground, studies, NoCheckpoints())
    return ground.recipe.changed(chosen["values"])


def train(ground: Ground, recipe: Recipe, members: int | None = None) -> dict[str, float]:
    """Train as the pipeline does: the metrics of test."""
    parts = {part: rows_of(part, ground.clean_rows, ground.splits) for part in PARTS}
    encoder = fit_encoder(parts["train"], ground.data, recipe.encoding)
    tensors = {part: build_tensors(rows, encoder) for part, rows in parts.items()}
    training = recipe.training.model_copy(update={"members": members or recipe.training.members})
    lesson = Lesson(tensors["train"], tensors["valid"], encoder, training)
    model, _ = train_model(lesson, ground.data, recipe.model, NoCheckpoints(), "")
    return evaluate(model, tensors, ground.clean_rows, ground.splits, quiet=True)[0]["test"]


def one_after_another(ground: Ground) -> None:
    """Train the trials that the search would ask for, each alone by the plain loop."""
    import optuna

    from torchlane.core.search.sampling import ask

    ground = ground.fitted()
    space = resolve_space(ground.options, ground.recipe, ground.data)
    study = optuna.create_study(direction="maximize")
    parts = [rows_of(part, ground.clean_rows, ground.splits) for part in ("train", "valid")]
    for trial in ask(
        study, space, ground.options, given_params(ground.recipe, space, ground.data), [], ground.options.trials
    ):
        recipe = ground.recipe.changed(read_values(trial.params, space))
        encoder = fit_encoder(parts[0], ground.data, recipe.encoding)
        tensors = [build_tensors(rows, encoder) for rows in parts]
        training = recipe.training.model_copy(update={"members": 1, "stacked": False})
        objective, device = Objective.of(encoder.target, training.loss), choose_device("cpu")
        build = partial(build_network, recipe.model, encoder, None)
        fit(make_members(build, *tensors, objective, training, device), NoCheckpoints(), quiet=True)


def time_search(clean: pd.DataFrame, options: dict, trials: int, repeats: int) -> None:
    """Print median seconds and processor seconds, and ratios to the search."""
    ground = make_ground(clean, options, 0, trials=trials)
    whole = make_ground(clean, options, 0, trials=trials, prune_epochs=None)
    runs: dict[str, Callable[[], object]] = {
        "search": lambda: search(ground),
        "search, none given up": lambda: search(whole),
        "one training": lambda: train(ground, ground.recipe),
        "one training of one network": lambda: train(ground, ground.recipe, members=1),
        f"the same {trials} one after another": lambda: one_after_another(ground),
    }
    search(ground)  # imports
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            started = time.perf_counter(), time.process_time()
            run()
            found[name].append((time.perf_counter() - started[0], time.process_time() - started[1]))
            print("  {}: {:.2f} s, processor {:.2f} s".format(name, *found[name][-1]), flush=True)
    for name, each in found.items():
        for clock, unit in enumerate(("s", "s of processors")):
            ratios = [one[clock] / other[clock] for one, other in zip(each, found["search"], strict=True)]
            median = statistics.median(one[clock] for one in each)
            print(f"{name}: {median:.2f} {unit}, {statistics.median(ratios):.2f} times the search")


def judge_search(clean: pd.DataFrame, options: dict, seeds: int, **tuning: object) -> None:
    """Print test R² with the options chosen and with those given, over splits."""
    lines = []
    for seed in range(seeds):
        ground = make_ground(clean, options, seed, **tuning)
        chosen = search(ground)
        scores = {"given": train(ground, ground.recipe)["r2_score"], "chosen": train(ground, chosen)["r2_score"]}
        lines.append(scores)
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()), flush=True)
    scores = pd.DataFrame(lines)
    for name in scores:
        print(f"{name}: {scores[name].mean():.4f} ± {scores[name].std():.4f}")
    ahead = scores["chosen"] - scores["given"]
    half = 1.96 * ahead.std() / np.sqrt(len(ahead))
    print(f"chosen - given: {ahead.mean():+.4f} ± {half:.4f} (95 %), ahead in {(ahead > 0).sum()} of {len(ahead)}")


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["time", "worth"])
    parser.add_argument("--env", default="public")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--sampler", default="random")
    arguments = parser.parse_args()
    clean, options = read_project("salaries", arguments.env)
    logging.disable(logging.INFO)
    if arguments.what == "time":
        time_search(clean, options, arguments.trials, arguments.repeats)
    else:
        tuning = {"trials": arguments.trials, "members": arguments.members, "sampler": arguments.sampler}
        judge_search(clean, options, arguments.seeds, **tuning)


if __name__ == "__main__":
    main()
