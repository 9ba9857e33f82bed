"""How much K networks cost when they are trained as one tensor program.

    python benchmarks/stacks.py [--env public] [--epochs 15] [--use-cases salaries zoo]

An epoch of K = 4, 16 and 64 stacked members, at widths 64, 128 and 256 (two hidden layers; all other
options are the use case's own), beside an epoch of the plain PyTorch loop with a `DataLoader` that
trains one such network and looks at valid after it. All of them take turns in one process; the
figures are medians over epochs, and their ratio to the plain loop.
"""

import argparse
import statistics
import time
from collections.abc import Iterator

import torch
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from torch.utils.data import DataLoader

from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.devices import choose_device
from torchlane.core.networks import build_network
from torchlane.core.options import SECTIONS, FittedTraining, ModelOptions, fitting
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import rows_of, split_rows
from torchlane.core.stacks.choice import make_program
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.members import make_members
from torchlane.core.training.optimizers import make_optimizer
from torchlane.core.training.stacked.run import StackedRun

MEMBERS = (4, 16, 64)
WIDTHS = (64, 128, 256)


class Case:
    """A use case's encoded rows, and its options with other widths."""

    def __init__(self, use_case: str, env: str):
        metadata = bootstrap_project(".")
        with KedroSession.create(metadata.project_path, env=env) as session:
            context = session.load_context()
            sections = context.config_loader["parameters"][use_case]
            options = {name: model.model_validate(sections[name]) for name, model in SECTIONS.items()}
            clean, _ = check_rows(context.catalog.load(f"{use_case}.raw_rows"), options["data"])
        splits = split_rows(clean, options["data"], options["split"])
        parts = {part: rows_of(part, clean, splits) for part in ("train", "valid")}
        self.encoder: Encoder = fit_encoder(parts["train"], options["data"], options["encoding"])
        self.train, self.valid = (build_tensors(rows, self.encoder) for rows in parts.values())
        self._model, self._training = options["model"], options["training"]

    def model(self, width: int) -> ModelOptions:
        return self._model.model_copy(update={"widths": (width, width)})

    def training(self, members: int) -> FittedTraining:
        training = fitting(self._training, self._model, len(self.train), is_table=self.encoder.image is None)
        return training.model_copy(update={"members": members, "epochs": 100_000, "patience_epochs": None})


def plain_loop(case: Case, width: int) -> Iterator[None]:
    """An epoch of one network, as a tutorial writes it."""
    options = case.training(1)
    torch.manual_seed(0)
    network = build_network(case.model(width), case.encoder)
    criterion = Objective.of(case.encoder.target, options.loss).criterion
    optimizer = make_optimizer(network.parameters(), options.optimizer, options.learning_rate)
    loader = DataLoader(case.train, options.batch_size, shuffle=True)
    valid_features, valid_targets = case.valid.tensors
    while True:
        network.train()
        for features, targets in loader:
            optimizer.zero_grad()
            criterion(network(features), targets).backward()
            optimizer.step()
        network.eval()
        with torch.no_grad():
            criterion(network(valid_features), valid_targets).item()
        yield


def stacked(case: Case, width: int, n_members: int) -> Iterator[object]:
    """An epoch of `n_members` networks, as `fit` makes them."""
    options, objective = case.training(n_members), Objective.of(case.encoder.target, None)
    members = make_members(
        lambda: build_network(case.model(width), case.encoder),
        case.train,
        case.valid,
        objective,
        options,
        choose_device("cpu"),
    )
    program = make_program([member.model for member in members], case.train.tensors[0][:2])
    return StackedRun(members, program, stop=None, keep_going=False).epochs()


def seconds_of_epochs(runs: dict[str, Iterator[object]], epochs: int) -> dict[str, float]:
    """Let all runs take turns, epoch by epoch: the median seconds of each, the first two left out."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(epochs + 2):
        for name, run in runs.items():
            started = time.perf_counter()
            next(run)
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(each[2:]) for name, each in seconds.items()}


def main() -> None:
    """Print a line for each use case and width."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--env", default="public")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--use-cases", nargs="+", default=["salaries", "zoo"])
    arguments = parser.parse_args()
    print(f"{torch.get_num_threads()} threads; milliseconds of an epoch, and how many times the plain loop's")
    for use_case in arguments.use_cases:
        case = Case(use_case, arguments.env)
        print(f"{use_case}: {len(case.train)} rows, {len(case.encoder.feature_names)} features")
        for width in WIDTHS:
            runs: dict[str, Iterator[object]] = {"plain loop": plain_loop(case, width)}
            runs |= {f"K = {each}": stacked(case, width, each) for each in MEMBERS}
            found = seconds_of_epochs(runs, arguments.epochs)
            ratios = [f"{name} {1000 * each:.1f} ({each / found['plain loop']:.2f})" for name, each in found.items()]
            print(f"  width {width}: {', '.join(ratios)}", flush=True)


if __name__ == "__main__":
    main()
