"""Rows per second of training: the plain loop, ours, the floor, and other frameworks.

    uv run --group benchmarks python benchmarks/training.py [--rounds 5] [--only mnist,table,cnn] [--threads 1]

One process, the contestants in turn, round after round, on equally many threads; the median seconds of an epoch
count. The floor runs the same steps on one fixed batch, so it fetches no data and computes no metric. Ours does
all that `kedro run` does in an epoch: shuffled batches, running loss, primary metric.
Features are random numbers: the time does not depend on their values.
"""

import argparse
import logging
import statistics
import time
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.options import FittedTraining
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.members import make_members
from torchlane.core.training.plain_run import PlainRun

CPU = torch.device("cpu")


class Case:
    """A network, its data and its optimizer."""

    def __init__(
        self, build: Callable[[], nn.Module], shape: tuple[int, ...], labels: int, batch_size: int, optimizer: str
    ):
        generator = torch.Generator().manual_seed(0)
        self.build = build
        features = torch.rand(shape, generator=generator)
        if labels:
            targets = torch.randint(labels, shape[:1], generator=generator)
            self.target = TargetEncoder(name="y", task="multiclass", labels=tuple(map(str, range(labels))))
        else:
            targets = torch.rand(shape[0], 1, generator=generator)
            self.target = TargetEncoder(name="y", task="regression")
        self.data = TensorDataset(features, targets)
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.loss = nn.CrossEntropyLoss if labels else nn.MSELoss


def digits_net() -> nn.Module:
    """The notebook's network for MNIST."""
    return nn.Sequential(nn.Linear(784, 100), nn.BatchNorm1d(100), nn.ReLU(), nn.Linear(100, 10))


def table_net() -> nn.Module:
    """A perceptron for a table."""
    return nn.Sequential(nn.Linear(120, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))


def convolutional_net() -> nn.Module:
    """A small network for images."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
    )  # fmt: skip


CASES: dict[str, Callable[[], Case]] = {
    "mnist": lambda: Case(digits_net, (60_000, 784), 10, 100, "Adam"),
    "table": lambda: Case(table_net, (35_000, 120), 0, 256, "AdamW"),
    "cnn": lambda: Case(convolutional_net, (6_000, 1, 28, 28), 10, 100, "Adam"),
}


def plain_loop(case: Case) -> Iterator[None]:
    """(a) What a notebook does."""
    model, criterion, optimizer = start(case)
    loader = DataLoader(case.data, batch_size=case.batch_size, shuffle=True)
    while True:
        total = 0.0
        for features, targets in loader:
            optimizer.zero_grad()
            loss = criterion(model(features), targets)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(features)
        yield


def floor(case: Case) -> Iterator[None]:
    """(d) The same steps on one fixed batch."""
    model, criterion, optimizer = start(case)
    features, targets = (tensor[: case.batch_size].clone() for tensor in case.data.tensors)
    steps = -(-len(case.data) // case.batch_size)
    while True:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(features), targets).backward()
            optimizer.step()
        yield


def ours(case: Case, exact: bool) -> Iterator[None]:
    """(b), (c) An epoch of `fit`, as a member's run makes them."""
    options = FittedTraining.model_validate(
        {
            "members": 1,
            "patience_epochs": None,
            "epochs": 10_000,
            "batch_size": case.batch_size,
            "optimizer": {"name": case.optimizer},
            "exact": exact,
            "threads": torch.get_num_threads(),
        }
    )
    no_rows = TensorDataset(*(tensor[:0] for tensor in case.data.tensors))
    (member,) = make_members(case.build, case.data, no_rows, Objective.of(case.target, None), options, CPU)
    for _ in PlainRun([member], stop=None, keep_going=False).epochs():
        yield


def start(case: Case) -> tuple[nn.Module, nn.Module, torch.optim.Optimizer]:
    """Build what a plain loop needs."""
    torch.manual_seed(0)
    model = case.build()
    return model, case.loss(), getattr(torch.optim, case.optimizer)(model.parameters())


def skorch_net(case: Case) -> Iterator[None]:
    """(e) skorch at its defaults, without validation and printing."""
    from skorch import NeuralNet

    net = NeuralNet(
        case.build(), case.loss, optimizer=getattr(torch.optim, case.optimizer), lr=1e-3, batch_size=case.batch_size,
        iterator_train__shuffle=True, train_split=None, verbose=0,
    ).initialize()  # fmt: skip
    features, targets = case.data.tensors
    while True:
        net.fit_loop(features, targets, epochs=1)
        yield


def lightning_trainer(case: Case) -> Iterator[None]:
    """(f) Lightning without logger, bar and checkpoints; its epochs are timed from within."""
    import lightning

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    ticks: list[float] = []

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.criterion = case.build(), case.loss()

        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            return self.criterion(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return getattr(torch.optim, case.optimizer)(self.parameters())

        def on_train_epoch_end(self) -> None:
            ticks.append(time.perf_counter())

    loader = DataLoader(case.data, batch_size=case.batch_size, shuffle=True)
    while True:
        trainer = lightning.Trainer(
            max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_checkpointing=False,
            enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(Module(), loader)
        yield ticks[-1] - ticks[-2]  # the second epoch, so that starting up is not counted


CONTESTANTS: dict[str, Callable[[Case], Iterator[float | None]]] = {
    "plain loop": plain_loop,
    "exact": lambda case: ours(case, exact=True),
    "free": lambda case: ours(case, exact=False),
    "floor": floor,
    "skorch": skorch_net,
    "lightning": lightning_trainer,
}


def main() -> None:
    """Print median seconds, rows per second and the ratio to the floor for each case and contestant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--contestants", default=",".join(CONTESTANTS))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    for name in arguments.only.split(","):
        case = CASES[name]()
        running = {each: CONTESTANTS[each](case) for each in arguments.contestants.split(",")}
        seconds: dict[str, list[float]] = {each: [] for each in running}
        for number in range(arguments.rounds + 1):
            for each, epochs in running.items():
                started = time.perf_counter()
                own_time = next(epochs)
                elapsed = time.perf_counter() - started if own_time is None else own_time
                if number:  # the first round warms up
                    seconds[each].append(elapsed)
        report(name, case, seconds)


def report(name: str, case: Case, seconds: dict[str, list[float]]) -> None:
    """Print a line for each contestant."""
    threads = torch.get_num_threads()
    print(f"\n{name}: {len(case.data)} rows, batches of {case.batch_size}, {case.optimizer}, {threads} threads")
    medians = {each: statistics.median(values) for each, values in seconds.items()}
    for each, median in medians.items():
        spread = f"{min(seconds[each]):.3f} to {max(seconds[each]):.3f}"
        ratio = f"{median / medians['floor']:.2f} x floor" if "floor" in medians else ""
        print(
            f"  {each:10} {median:.3f} s an epoch ({spread}), {len(case.data) / median:>9,.0f} rows/s  {ratio}",
            flush=True,
        )


if __name__ == "__main__":
    main()
