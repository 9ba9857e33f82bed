"""How many threads a training gains from, on an idle machine and beside one busy process.

    uv run python benchmarks/threads.py [--rounds 5] [--only NAME;NAME]

Trains networks of several widths on one thread and on two, and says what two threads cost in times of one. Each
figure is the median over the rounds of a ratio of two processes that ran one after the other. The process that is
busy only counts; it is started here and ended here. Features are random numbers: the time does not depend on
their values. `speed.py` measures whole trainings.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

# members, features, hidden widths, rows of a batch, batches of an epoch, epochs
WIDTHS = {
    "1 x 32-16, 32 rows": (1, 32, (16,), 32, 100, 3),
    "1 x 120-128-128, 64 rows": (1, 120, (128, 128), 64, 100, 4),
    "16 x 40-64-64, 64 rows": (16, 40, (64, 64), 64, 30, 4),
    "1 x 784-100, 100 rows": (1, 784, (100,), 100, 100, 4),
    "4 x 120-128-128, 64 rows": (4, 120, (128, 128), 64, 40, 4),
    "1 x 120-128-128, 256 rows": (1, 120, (128, 128), 256, 60, 4),
    "16 x 120-128-128, 64 rows": (16, 120, (128, 128), 64, 15, 4),
    "1 x 784-512-512, 100 rows": (1, 784, (512, 512), 100, 20, 4),
    "16 x 378-128-128, 64 rows": (16, 378, (128, 128), 64, 10, 4),
    "16 x 378-128-128, 256 rows": (16, 378, (128, 128), 256, 6, 4),
    "1 x 784-1024-1024, 256 rows": (1, 784, (1024, 1024), 256, 6, 4),
}
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"  # ends with its parent, however that ends


def main() -> None:
    """Print a table of ratios, or as the process of a round the seconds by case and threads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = [name for name in WIDTHS if name in arguments.only.split(";")] or list(WIDTHS)
    if arguments.train:
        print(json.dumps([[train(name, threads) for threads in (1, 2)] for name in names]))
    else:
        compare_widths(names, arguments.rounds)


def compare_widths(names: list[str], rounds: int) -> None:
    """Print what two threads take, in times of one thread on the idle machine."""
    print("| training | multiply-adds of a step | one thread, busy | two, idle | two, busy |\n" + "| --- " * 5 + "|")
    seen = []
    for _ in range(rounds):
        idle = seconds_of(names)
        with busy_process():
            seen.append(list(zip(idle, seconds_of(names), strict=True)))
    for name, rounds_of in zip(names, zip(*seen, strict=True), strict=True):
        ratios = [(busy[0] / idle[0], idle[1] / idle[0], busy[1] / idle[0]) for idle, busy in rounds_of]
        medians = " | ".join(f"{statistics.median(each):.2f}" for each in zip(*ratios, strict=True))
        print(f"| {name} | {multiply_adds(name):,} | {medians} |")


def seconds_of(names: list[str]) -> list[list[float]]:
    """Train in a process of its own, whose environment sets no number of threads: seconds by case and threads."""
    command = [sys.executable, __file__, "--train", f"--only={';'.join(names)}"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MKL_NUM", "OMP_NUM"))}
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=plain).stdout)


@contextmanager
def busy_process() -> Iterator[None]:
    """Keep one processor busy meanwhile."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def train(name: str, threads: int) -> float:
    """Train a case by the product and give the seconds of its steps and looks; one epoch more warms up."""
    import torchlane  # noqa: F401, I001 (first, as in a user's process: it sets what OpenMP reads as torch is loaded)
    import torch
    from torch import nn
    from torch.utils.data import TensorDataset
    from torchlane.core.encoding.target import TargetEncoder
    from torchlane.core.machine.checkpoints import NoCheckpoints
    from torchlane.core.options import FittedTraining
    from torchlane.core.tasks.objectives import Objective
    from torchlane.core.training.fit import fit
    from torchlane.core.training.members import make_members

    members, n_features, widths, batch_size, n_batches, epochs = WIDTHS[name]
    training = FittedTraining(
        members=members, batch_size=batch_size, epochs=epochs + 1, patience_epochs=None, threads=threads, device="cpu"
    )

    def build() -> nn.Module:
        layers = [(nn.Linear(*pair), nn.ReLU()) for pair in pairwise((n_features, *widths))]
        return nn.Sequential(*(each for pair in layers for each in pair), nn.Linear(widths[-1], 1))

    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(n_batches * batch_size, n_features, generator=generator)
    data = TensorDataset(rows, rows.mean(1, keepdim=True))
    target = TargetEncoder(name="y", task="regression")
    objective = Objective.of(target, training.loss)
    together = make_members(build, data, TensorDataset(*data[:64]), objective, training, torch.device("cpu"))
    outcomes = fit(together, NoCheckpoints(), quiet=True)
    lines = [each["history"] for each in outcomes]
    return sum(line["seconds"] for history in lines for line in history if line["epoch"] > 1)


def multiply_adds(name: str) -> int:
    """Count the multiply-adds of the forward pass of a step."""
    members, n_features, widths, batch_size, *_ = WIDTHS[name]
    return members * batch_size * sum(first * second for first, second in pairwise((n_features, *widths, 1)))


if __name__ == "__main__":
    main()
