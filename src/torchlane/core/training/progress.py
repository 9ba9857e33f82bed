"""The progress of a run, on a terminal or in the log."""

import logging
import math
import time
from collections.abc import Iterator
from typing import Protocol

from torch import nn

from torchlane.core.machine.bars import Bar
from torchlane.core.machine.checkpoints import State
from torchlane.core.options import FittedTraining, shown_number
from torchlane.core.training.history import mean_metrics
from torchlane.core.training.members import Line, Outcome

logger = logging.getLogger(__name__)

LOG_LINES = 20  # at most for each run, if there is no terminal for a progress bar


class Run(Protocol):
    """Members in training; `last_state` is the state after the last complete epoch."""

    epoch: int
    last_state: State

    def epochs(self) -> Iterator[Line]:
        """Train epoch after epoch until all members have ended; yield the mean line of all members after each."""

    def first_network(self) -> nn.Module | None:
        """Give the first member as it is now, or None if it has ended."""

    def outcomes(self) -> list[Outcome]:
        """Give the outcome of each member, in order."""

    def load_state_dict(self, state: State) -> None:
        """Return to an earlier `last_state`."""


def with_progress(run: Run, name: str, options: FittedTraining, quiet: bool) -> Iterator[None]:
    """Train epoch after epoch and show the progress.

    A terminal shows a bar. Elsewhere up to about 20 epochs are logged, unless `quiet`. One line is logged at the end.
    """
    started = time.perf_counter()
    with Bar(name, options.epochs, "epoch", initial=run.epoch) as bar:
        for line in run.epochs():
            bar.numbers = _short_numbers_of(line)
            bar.update()
            if bar.disable and not quiet and line["epoch"] % max(1, options.epochs // LOG_LINES) == 0:
                logger.info("%s: epoch %d: %s", name, line["epoch"], _numbers_of(line))
            yield
    outcomes = run.outcomes()
    threads = outcomes[0]["threads"]
    kept = sorted({int(outcome["kept"]["epoch"]) for outcome in outcomes})
    logger.info(
        "%s: %d epochs in %.1f s with %s; keeps epoch%s: %s",
        name,
        run.epoch,
        time.perf_counter() - started,
        f"{threads} {'thread' if threads == 1 else 'threads'}",
        f" {kept[0]}" if len(kept) == 1 else f"s {kept[0]} to {kept[-1]}",
        _numbers_of(mean_metrics(outcomes)),
    )


def _numbers_of(line: Line) -> str:
    shown = {name: value for name, value in line.items() if name.startswith(("train_", "valid_"))}
    return ", ".join(f"{name} {shown_number(value)}" for name, value in shown.items() if not math.isnan(value))


def _short_numbers_of(line: Line) -> list[str]:
    """Write what a bar shows of an epoch, the most important first: the losses, then the primary metric."""
    shown = {
        name.replace("train_", "", 1).replace("valid_loss", "valid").replace("valid_", "valid "): value
        for name, value in line.items()
        if name == "train_loss" or (name.startswith("valid_") and not math.isnan(value))
    }
    return [f"{name} {shown_number(value, 3)}" for name, value in shown.items()]
