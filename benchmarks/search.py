"""What a search costs and what it is worth, on the real salaries and on public tables.

    python benchmarks/search.py time [--repeats 3] [--trials 32]
    uv run --group tables python benchmarks/search.py worth [--seeds 7] [--trials 32] [--members 1] [--ensemble 16]

`time`: a search with the default space, beside one that gives no trial up, one training with the
options as given (an ensemble, and one network alone), and the same trials one after another, each
trained to the end of its patience by the plain loop. All of them take turns; medians and ratios, of
seconds and of processor seconds, which other work on the machine changes less.
`worth`: for each seed the rows are split anew; the primary metric on test of the ensemble with the
options that a search chose, with those given, whose seeds are the same, and with those of the best
trial on valid, which a search without `tuning.keep_given` would take. Tables other than salaries are
at most `--rows` rows of those of `drafts.py`, with the options that `torchlane init` drafts. `--rate` sets the learning
rate that is given, to see what a search makes of a poor one.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from scipy.stats import t

from drafts import TABLES, read_table
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.judging.evaluation import evaluate
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.machine.devices import choose_device
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.networks import build_network
from torchlane.core.options import SECTIONS, Recipe
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.drafting import draft_parameters
from torchlane.core.rows.splits import PARTS, rows_of, split_rows
from torchlane.core.search.given import given_params
from torchlane.core.search.ground import Ground
from torchlane.core.search.search import choose_options
from torchlane.core.search.space import read_values, resolve_space
from torchlane.core.tasks.objectives import Objective
from torchlane.core.tasks.tasks import TASKS
from torchlane.core.training.fit import fit
from torchlane.core.training.members import make_members
from torchlane.datasets.rows import RawRowsDataset
from torchlane.datasets.studies import SQLStudies

JUDGED = ["salaries", "concrete", "diabetes", "sacramento", "attrition", "hpc_data"]


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


def search(ground: Ground, folder: str | None = None) -> tuple[Recipe, str]:
    """Search with a storage of its own, or with that in a folder: the recipe that is chosen, and the reason."""
    with tempfile.TemporaryDirectory() as own:
        studies = SQLStudies("worth", Path(folder or own) / "search.sqlite")
        chosen, _, _ = choose_options(ground, studies, NoCheckpoints())
    return ground.recipe.changed(chosen["values"]), chosen["said"]


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


def read_drafted(name: str, most_rows: int) -> tuple[pd.DataFrame, dict]:
    """Load a public table, and the options that `torchlane init` drafts for it."""
    collection, item, target = TABLES[name]
    rows = read_table(collection, item)
    rows = rows.sample(min(most_rows, len(rows)), random_state=0).sort_index()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.csv"
        rows.to_csv(path, index=False, na_rep="NA" if collection != "scikit-learn" else "")
        raw_rows = RawRowsDataset(filepath=str(path)).load()
    drafted = yaml.safe_load(draft_parameters(raw_rows, name, target).parameters)[name]
    options = {section: model.model_validate(drafted.get(section, {})) for section, model in SECTIONS.items()}
    return check_rows(raw_rows, options["data"])[0], options


def judge_search(
    clean: pd.DataFrame, options: dict, seeds: int, ensemble: int | None, **tuning: object
) -> pd.DataFrame:
    """Score test with the options given, those chosen, and those of the best trial on valid: a line a split."""
    lines = []
    for seed in range(seeds):
        ground = make_ground(clean, options, seed, **tuning)
        greedy = replace(ground, options=ground.options.model_copy(update={"keep_given": False}))
        with tempfile.TemporaryDirectory() as folder:
            (chosen, said), (best, _) = (search(each, folder) for each in (ground, greedy))  # the same trials
        given = train(ground, ground.recipe, ensemble)[ground.metric]
        of_best = given if best == ground.recipe else train(ground, best, ensemble)[ground.metric]
        lines.append({"given": given, "chosen": given if chosen == ground.recipe else of_best, "best": of_best})
        shown = ", ".join(f"{name} {value:.4f}" for name, value in lines[-1].items())
        print(f"  split {seed}: {shown}; {said}", flush=True)
    return pd.DataFrame(lines)


def report_worth(scores: pd.DataFrame) -> None:
    """Print how far options chosen, and those of the best trial on valid, are ahead on test, by table and over all.

    The interval of a table is that of its splits; that over all is the interval of the tables' means.
    """
    print("\n| table | metric | given | chosen - given (95 %) | changed | best on valid - given (95 %) | ahead |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    ahead = {name: scores[name] - scores["given"] for name in ("chosen", "best")}
    for table, of_table in scores.groupby("table", sort=False):
        chosen, best = (ahead[name][of_table.index] for name in ("chosen", "best"))
        changed, better = f"{(chosen != 0).sum()} of {len(chosen)}", f"{(best > 0).sum()} of {len(best)}"
        cells = (table, of_table["metric"].iloc[0], f"{of_table['given'].mean():.4f}", interval(chosen), changed)
        print(f"| {' | '.join([*cells, interval(best), better])} |")
    for name, each in ahead.items():
        print(f"{name} - given over tables: {interval(each.groupby(scores['table']).mean())}")


def interval(values: pd.Series) -> str:
    """Write a mean and half the width of its 95 % interval by Student's t."""
    half = t.ppf(0.975, len(values) - 1) * values.std() / np.sqrt(len(values))
    return f"{values.mean():+.4f} ± {half:.4f}"


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["time", "worth"])
    parser.add_argument("--env", default="public")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--ensemble", type=int)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--tables", nargs="+", choices=["salaries", *TABLES], default=JUDGED)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rate", type=float)
    arguments = parser.parse_args()
    salaries = read_project("salaries", arguments.env)
    logging.disable(logging.INFO)
    if arguments.what == "time":
        time_search(*salaries, arguments.trials, arguments.repeats)
        return
    tuning = {"trials": arguments.trials, "members": arguments.members, "sampler": arguments.sampler}
    found = []
    for name in arguments.tables:
        clean, options = salaries if name == "salaries" else read_drafted(name, arguments.rows)
        if arguments.rate:
            options["training"] = options["training"].model_copy(update={"learning_rate": arguments.rate})
        print(f"{name}: {len(clean):,} rows", flush=True)
        scores = judge_search(clean, options, arguments.seeds, arguments.ensemble, **tuning)
        found.append(scores.assign(table=name, metric=TASKS[options["data"].task].primary_metric))
    report_worth(pd.concat(found, ignore_index=True))


if __name__ == "__main__":
    main()
