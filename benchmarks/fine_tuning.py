"""Whether fine-tuning pays on real files: parent as it is, from scratch, fine-tuned, on the same held-out rows.

    python benchmarks/fine_tuning.py salaries [--seeds 20]   # salaries_2025 -> 50 … 400 rows of ds_salaries.csv
    python benchmarks/fine_tuning.py digits [--seeds 5]     # MNIST -> 5, 10, 50 images a class of 8 x 8 pixels
    python benchmarks/fine_tuning.py zoo [--seeds 20]        # without reptiles and amphibians -> with them
    python benchmarks/fine_tuning.py time                    # frozen layers against training all of them

Parents are trained once and kept in `--cache` (a temporary folder). Each seed deals the new rows anew;
scratch and fine-tuned stop on the same valid rows (a fifth of the new ones), and all three are tested
on all other rows. `--set` changes options of fine-tuning, as YAML; `--inner` scores a third of what else would
train, in place of the test parts: so options are picked without a look at the test rows, and on rows that
no training was stopped by.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

import torchlane
from torchlane.core import transfer
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_models
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import SECTIONS, Options
from torchlane.core.rows.checking import ROW, check_rows
from torchlane.core.rows.splits import rows_of, split_rows
from torchlane.core.transfer.comparison import score_on

VALID_SHARE = 0.2  # of the new rows
MEMBERS = 8
FORGOTTEN_SEEDS = 3  # whose fine-tuned models are tried on the parent's own test rows


def main() -> None:
    """Run a case and print its table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("case", choices=["salaries", "digits", "zoo", "time"])
    parser.add_argument("--seeds", type=int, default=None)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--sizes", type=int, nargs="+", default=None)
    parser.add_argument("--set", default="{}", help="options of fine-tuning, as YAML: {learning_rate: 0.003}")
    parser.add_argument("--inner", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "torchlane_fine_tuning")
    arguments = parser.parse_args()
    arguments.set = yaml.safe_load(arguments.set)
    {"salaries": salaries, "digits": digits, "zoo": zoo, "time": spend_time}[arguments.case](arguments)


def read_use_case(use_case: str, env: str, changes: dict | None = None) -> tuple[pd.DataFrame, dict[str, Options]]:
    """Load the clean rows and the options as the pipeline would, with `changes` by section."""
    metadata = bootstrap_project(".")
    with KedroSession.create(metadata.project_path, env=env) as session:
        context = session.load_context()
        sections = context.config_loader["parameters"][use_case]
        raw_rows = context.catalog.load(f"{use_case}.raw_rows")
    logging.disable(logging.INFO)
    changed = {name: {**sections[name], **(changes or {}).get(name, {})} for name in SECTIONS}
    options = {name: model.model_validate(changed[name]) for name, model in SECTIONS.items()}
    return check_rows(raw_rows, options["data"])[0], options


def train(lessons: list[Lesson], options: dict[str, Options]) -> list[TrainedModel]:
    """Train the models of some lessons, stacked where that can be."""
    return [each for each, _ in train_models(lessons, options["data"], options["model"], NoCheckpoints())]


def lesson_of(train_rows: pd.DataFrame, valid_rows: pd.DataFrame, options: dict[str, Options], seed: int) -> Lesson:
    """Encode rows as the pipeline would."""
    encoder = fit_encoder(train_rows, options["data"], options["encoding"])
    training = options["training"].model_copy(update={"seed": seed})
    return Lesson(build_tensors(train_rows, encoder), build_tensors(valid_rows, encoder), encoder, training)


def salaries(arguments: argparse.Namespace) -> None:
    """Fine-tune a model of January 2025 on some rows of the small survey."""
    parent, own_test, scratch_options, small = salaries_parent(arguments.cache)
    lines = []
    for size in arguments.sizes or (50, 100, 200, 400):
        started = time.perf_counter()
        lines += curve(parent, small, scratch_options, size, arguments, own_test)
        print(f"{size} rows: {time.perf_counter() - started:.0f} s", flush=True)
    report("salaries", pd.DataFrame(lines), ["r2_score", "mean_absolute_error"])


def salaries_parent(cache: Path) -> tuple[TrainedModel, pd.DataFrame, dict[str, Options], pd.DataFrame]:
    """Give the parent, its test rows, and the options and rows of the small survey."""
    settings = {"training": {"members": MEMBERS, "epochs": 10, "patience_epochs": 4, "batch_size": 512}}
    large, options = read_use_case("salaries_2025", "public", {"training": settings["training"]})
    small, small_options = read_use_case("salaries", "public")
    small_options["training"] = small_options["training"].model_copy(update={"members": MEMBERS})
    data = options["data"]
    names = [*data.feature_columns, data.target]
    known = large[[ROW, *names]].merge(small[names].drop_duplicates(), on=names)[ROW]
    large = large[~large[ROW].isin(known)].reset_index(drop=True)
    print(f"parent: {len(large)} rows of salaries_2025; {len(known)} that stand in ds_salaries.csv are left out")
    splits = split_rows(large, data, options["split"])
    parts = {part: rows_of(part, large, splits) for part in ("train", "valid", "test")}
    path = cache / "salaries.safetensors"
    if not path.exists():
        started = time.perf_counter()
        train([lesson_of(parts["train"], parts["valid"], options, 0)], options)[0].save(path)
        print(f"parent: trained in {time.perf_counter() - started:.0f} s", flush=True)
    return torchlane.load(path), parts["test"], small_options, small


def curve(
    parent: TrainedModel,
    rows: pd.DataFrame,
    options: dict[str, Options],
    size: int,
    arguments: argparse.Namespace,
    own_test: pd.DataFrame | None,
) -> list[dict]:
    """Score the three for each seed with about `size` new rows, of which a fifth is valid."""
    seeds = range(arguments.first_seed, arguments.first_seed + (arguments.seeds or 20))
    fractions = {"valid_fraction": VALID_SHARE * size / len(rows), "test_fraction": 1 - size / len(rows)}
    tuning = type(options["fine_tuning"]).model_validate(
        {**options["fine_tuning"].model_dump(), **fractions, **arguments.set}
    )
    data, parts, lessons, scratch = options["data"], [], [], []
    for seed in seeds:
        own = tuning.model_copy(update={"seed": seed})
        splits = transfer.split_new_rows(rows, data, options["split"], own)
        splits = inner_splits(splits, seed) if arguments.inner else splits
        parts.append({part: rows_of(part, rows, splits) for part in ("train", "valid", "test")})
        seeded = own.model_copy(update={"seed": 1000 * seed})
        lessons.append(
            transfer.make_lesson(parent, rows, splits, data, options["encoding"], options["training"], seeded)
        )
        scratch.append(lesson_of(parts[-1]["train"], parts[-1]["valid"], options, 1000 * seed))
    started = time.process_time()
    tuned = [each for each, _ in transfer.fine_tune(parent, lessons, data, tuning, NoCheckpoints())]
    middle = time.process_time()
    anew = train(scratch, options)
    seconds = {"fine_tuned": middle - started, "scratch": time.process_time() - middle}
    lines = []
    for number, seed in enumerate(seeds):
        scored = parts[number]["test"]
        target = tuned[number].encoder.target
        models = {"parent": parent, "fine_tuned": tuned[number], "scratch": anew[number]}
        for name, model in models.items():
            line = {"size": size, "seed": seed, "model": name, **score_on(scored, model, target)}
            lines.append({**line, "seconds": seconds.get(name, 0.0) / len(seeds)})
        if own_test is not None and number < FORGOTTEN_SEEDS and not arguments.inner:
            for name in ("parent", "fine_tuned"):
                scores = score_on(own_test, models[name], parent.encoder.target)
                lines.append({"size": size, "seed": seed, "model": f"{name}, parent's rows", **scores})
    return lines


def inner_splits(splits: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Put a third of train in the place of test."""
    inside = splits[splits["part"] != "test"].copy()
    held_out = inside[inside["part"] == "train"].sample(frac=1 / 3, random_state=seed).index
    inside.loc[held_out, "part"] = "test"
    return inside


def digits(arguments: argparse.Namespace) -> None:
    """Fine-tune a model of MNIST on some images of scikit-learn, and one of 0 to 4 on all ten digits."""
    arguments.seeds = arguments.seeds or 5
    rows, options = small_digits()
    lines = []
    for name, classes in (("ten digits", range(10)), ("0 to 4", range(5))):
        parent = digits_parent(arguments.cache, list(map(str, classes)))
        for size in arguments.sizes or (5, 10, 50):
            started = time.perf_counter()
            found = curve(parent, rows, options, 10 * size, arguments, None)
            lines += [{**line, "size": f"{name}, {size} a class"} for line in found]
            print(f"{name}, {size} a class: {time.perf_counter() - started:.0f} s", flush=True)
    report("digits", pd.DataFrame(lines), ["accuracy_score"])


def digits_options() -> dict:
    """A small network, so that all of it takes minutes on two cores."""
    return {
        "model": {"kind": "cnn", "widths": [16, 32], "depth": 1, "activation": "ReLU"},
        "training": {
            "epochs": 3, "batch_size": 64, "learning_rate": 0.003, "scheduler": None, "patience_epochs": None,
            "augmentation": None, "exact": False,
        },
    }  # fmt: skip


def digits_parent(cache: Path, classes: list[str]) -> TrainedModel:
    """Train on the first 12,000 images of MNIST's train part that are of these classes."""
    path = cache / f"digits_{len(classes)}.safetensors"
    if not path.exists():
        rows, options = read_use_case("digits", "public", digits_options())
        rows = rows[rows["label"].isin(classes) & (rows["part"] == "train")].head(12_000).reset_index(drop=True)
        started = time.perf_counter()
        train([lesson_of(rows, rows.iloc[:0], options, 0)], options)[0].save(path)
        print(f"parent: {len(classes)} digits, {len(rows)} images, {time.perf_counter() - started:.0f} s", flush=True)
    return torchlane.load(path)


def small_digits() -> tuple[pd.DataFrame, dict[str, Options]]:
    """Give scikit-learn's images, resized to 28 x 28 pixels, and the options of a model for them."""
    from PIL import Image

    rows, options = read_use_case("digits", "base", digits_options())
    images = [
        np.asarray(
            Image.fromarray(np.frombuffer(cell, np.uint8).reshape(8, 8)).resize((28, 28), Image.Resampling.BILINEAR)
        )
        for cell in rows["image"]
    ]
    columns = {**options["data"].model_dump()["columns"], "image": {"kind": "image", "size": [1, 28, 28]}}
    options["data"] = type(options["data"]).model_validate({**options["data"].model_dump(), "columns": columns})
    options["training"] = options["training"].model_copy(update={"epochs": 60, "patience_epochs": 10, "batch_size": 32})
    return rows.assign(image=[image.tobytes() for image in images]), options


def zoo(arguments: argparse.Namespace) -> None:
    """Fine-tune models without classes 3 and 5 on these and two animals of each other class."""
    rows, options = read_use_case("zoo", "base", {"training": {"members": MEMBERS, "epochs": 60, "batch_size": 16}})
    data, lines = options["data"], []
    for seed in range(arguments.first_seed, arguments.first_seed + (arguments.seeds or 20)):
        split = options["split"].model_copy(update={"seed": seed, "test_fraction": 0.3, "valid_fraction": 0.0})
        splits = split_rows(rows, data, split)
        train_rows, test = rows_of("train", rows, splits), rows_of("test", rows, splits)
        if arguments.inner:  # a third of what is not test
            test = train_rows.groupby(data.target, group_keys=False).sample(frac=0.34, random_state=seed)
            train_rows = train_rows[~train_rows[ROW].isin(test[ROW])]
        fresh = train_rows[data.target].isin(["3", "5"])
        few = train_rows[~fresh].groupby(data.target, group_keys=False).sample(2, random_state=seed)
        new = pd.concat([train_rows[fresh], few]).reset_index(drop=True)
        old = train_rows[~train_rows[ROW].isin(new[ROW])].reset_index(drop=True)
        parent, anew = (
            train([lesson_of(each, each.iloc[:0], options, 1000 * seed)], options)[0] for each in (old, new)
        )
        everything = train([lesson_of(pd.concat([old, new]), old.iloc[:0], options, 1000 * seed)], options)[0]
        tuning = type(options["fine_tuning"]).model_validate(
            {
                **options["fine_tuning"].model_dump(),
                **{"seed": 1000 * seed, "epochs": 60, "batch_size": 16, "patience_epochs": None},
                **arguments.set,
            }
        )
        all_train = pd.DataFrame({ROW: new[ROW], "part": "train"})
        lesson = transfer.make_lesson(parent, new, all_train, data, options["encoding"], options["training"], tuning)
        ((tuned, _),) = transfer.fine_tune(parent, [lesson], data, tuning, NoCheckpoints())
        models = {"parent": parent, "scratch": anew, "fine_tuned": tuned, "all rows": everything}
        target = tuned.encoder.target
        kept = ~test[data.target].isin(["3", "5"])
        for name, model in models.items():
            scores = {"accuracy_score": score_on(test, model, target)["accuracy_score"]}
            for label, where in {"kept classes": kept, "new classes": ~kept}.items():
                scores[label] = score_on(test[where].reset_index(drop=True), model, target)["accuracy_score"]
            lines.append({"size": f"{len(new)} rows", "seed": seed, "model": name, **scores})
    table = pd.DataFrame(lines).assign(size="new rows")
    report("zoo", table, ["accuracy_score", "kept classes", "new classes"])


def spend_time(arguments: argparse.Namespace) -> None:
    """Time 10 epochs of digits on 300 images: from scratch, and with more and more layers frozen, in turns."""
    rows, options = small_digits()
    parent = digits_parent(arguments.cache, list(map(str, range(10))))
    training = options["training"].model_copy(update={"epochs": 10, "patience_epochs": None})
    few = rows.head(300)
    common = {"epochs": 10, "patience_epochs": None}
    ways = {
        "from scratch": None,
        "all layers": {},
        "first layer frozen, computed each time": {"freeze": {"first": 1}, "once": False},
        "first layer frozen, computed once": {"freeze": {"first": 1}},
        "all but the head frozen, computed each time": {"freeze": {"all_but": "head"}, "once": False},
        "all but the head frozen, computed once": {"freeze": {"all_but": "head"}},
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.seeds or 7):
        for name, way in ways.items():
            started = time.process_time()
            if way is None:
                train([lesson_of(few, few.iloc[:0], {**options, "training": training}, 0)], options)
            else:
                settings = {key: value for key, value in way.items() if key != "once"}
                tuning = type(options["fine_tuning"]).model_validate({**common, **settings})
                splits = pd.DataFrame({ROW: few[ROW], "part": "train"})
                lesson = transfer.make_lesson(
                    parent, few, splits, options["data"], options["encoding"], training, tuning
                )
                once = bool(way.get("once", True))
                transfer.fine_tune(parent, [lesson], options["data"], tuning, NoCheckpoints(), once=once)
            seconds[name].append(time.process_time() - started)
    base = np.median(seconds["from scratch"])
    for name, spent in seconds.items():
        print(f"  {name}: {np.median(spent):.2f} processor seconds, {np.median(spent) / base:.2f} of scratch")


def report(case: str, lines: pd.DataFrame, metrics: list[str]) -> None:
    """Print mean and standard deviation over seeds, and how far fine-tuning is ahead, seed by seed."""
    print(f"\n{case}: mean ± standard deviation over {lines['seed'].nunique()} seeds")
    for size, of_size in lines.groupby("size", sort=False):
        for metric in metrics:
            table = of_size.pivot(index="seed", columns="model", values=metric).astype(float)
            shown = ", ".join(f"{name} {table[name].mean():.4g} ± {table[name].std():.2g}" for name in table)
            print(f"  {size}: {metric}: {shown}")
            for name in ("parent", "scratch"):
                if name in table:
                    ahead = table["fine_tuned"] - table[name]
                    half = 1.96 * ahead.std() / np.sqrt(len(ahead))
                    won = (ahead < 0).sum() if metric.endswith("error") else (ahead > 0).sum()
                    print(f"    fine-tuned - {name}: {ahead.mean():+.4g} ± {half:.2g} (95 %), better in {won}")
        if "seconds" in of_size:
            spent = of_size.groupby("model")["seconds"].mean()
            print(f"    processor seconds a model: {', '.join(f'{k} {v:.2f}' for k, v in spent.items() if v)}")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
