"""How long it takes to measure what drives a model: permutation importances, partial dependence, the data summary.

    python benchmarks/importances.py [--features 100] [--rows 10000] [--members 16] [--repeats 5] [--tasks regression …]

The models are untrained, of the default widths, since weights do not matter for the time. Beside the importances stands
what the same permutations take if each whole row passes through the networks.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.explaining.data_summary import summarise_data
from torchlane.core.explaining.importances import bounded_effort, permutation_importances
from torchlane.core.explaining.judged_rows import judged_rows
from torchlane.core.explaining.partial_dependence import partial_dependence
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks import build_network
from torchlane.core.options import DataOptions, EncodingOptions, ModelOptions, SplitOptions, TrainingOptions
from torchlane.core.rows.splits import split_rows

TASKS = ("regression", "binary", "multiclass")


def main() -> None:
    """Print wall and processor seconds for each task."""
    parser = argparse.ArgumentParser()
    for name, default in {"features": 100, "rows": 10_000, "members": 16, "repeats": 5, "threads": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"{arguments}; {torch.get_num_threads()} threads")
    for task in arguments.tasks:
        measure(task, arguments)


def measure(task: str, arguments: argparse.Namespace) -> None:
    """Print wall and processor seconds for one task."""
    rows = make_rows(task, arguments.rows, arguments.features)
    model = make_model(task, rows, arguments.members)
    splits = pd.DataFrame({"row": rows["row"], "part": "test"})
    judged = judged_rows("test", model, build_tensors(rows, model.encoder), rows, splits)
    names = list(model.data.feature_columns)
    effort = bounded_effort(len(judged), arguments.repeats, len(names), model)
    judged = judged.some(effort.rows, 0)
    print(f"{task}: {effort}")
    timed("  importances", lambda: permutation_importances(model, judged, effort.repeats, names[: effort.features]))
    passed = timed("  one pass of whole rows", lambda: model.outputs(judged.features))
    print(f"  so whole rows would take {passed * effort.repeats * effort.features:.1f} s")
    timed("  partial dependence", lambda: partial_dependence(model, judged.some(1000, 0), rows, names[:6]))
    split = SplitOptions()
    parted, none = split_rows(rows, model.data, split, quiet=True), rows.iloc[:0].assign(rule="", column="")
    timed("  data summary", lambda: summarise_data(rows, none, parted, model.data, split))


def timed(what: str, work: Callable[[], object]) -> float:
    """Print how long some work takes, and give the wall seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{what}: {wall:.2f} s, {processor:.2f} s of processors", flush=True)
    return wall


def make_rows(task: str, n_rows: int, n_features: int) -> pd.DataFrame:
    """Draw checked rows of which a fifth of the features are categories of eight levels."""
    random = np.random.default_rng(0)
    columns = {}
    for number in range(n_features):
        is_category = number % 5 == 4
        columns[f"x{number}"] = random.choice(list("abcdefgh"), n_rows) if is_category else random.normal(size=n_rows)
    target = columns["x0"] + random.normal(size=n_rows)
    labels = np.digitize(target, [0.0] if task == "binary" else [-1.0, 0.0, 1.0]).astype(str)
    rows = pd.DataFrame({**columns, "y": target if task == "regression" else labels})
    rows.insert(0, "row", np.arange(1, n_rows + 1))
    rows.attrs["source"] = "drawn rows"
    return rows


def make_model(task: str, rows: pd.DataFrame, n_members: int) -> TrainedModel:
    """Build networks of the default widths for rows."""
    names = rows.columns.drop(["row", "y"])
    kinds = {name: {"kind": "number" if rows[name].dtype.kind == "f" else "category"} for name in names}
    data = DataOptions.model_validate({"task": task, "target": "y", "columns": kinds})
    encoder = fit_encoder(rows, data, EncodingOptions())
    torch.manual_seed(0)
    states = [build_network(ModelOptions(), encoder).state_dict() for _ in range(n_members)]
    weights = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    return TrainedModel(weights, encoder, data, ModelOptions(), TrainingOptions(), {"source": "drawn rows"})


if __name__ == "__main__":
    main()
