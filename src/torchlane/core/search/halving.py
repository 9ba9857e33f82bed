"""Successive halving: after a few epochs, and each time the epochs have doubled, give up the worse half."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torchlane.core.options import TuningOptions
from torchlane.core.search.ground import Ground
from torchlane.core.training.members import Line

KEPT_SHARE = 0.5  # of the trials that are compared
FEWEST_COMPARED = 4


class Halving:
    """Gives up the worse half of the trials that are compared.

    A trial is compared with the trials of its own stack that are still training, and with the values that trials
    of other stacks had reached after the same number of epochs (Jamieson and Talwalkar 2016, arXiv 1502.07943).
    The trial `kept` takes part in the comparison but is never given up.

    `owners` are the trial numbers of the members of a stack, `others` the records of finished trials.
    """

    def __init__(
        self, ground: Ground, owners: Sequence[int], others: Sequence[Mapping[str, Any]], kept: int | None = None
    ):
        self._metric = f"valid_{ground.metric}"
        self._owners = owners
        self._others = others
        self._kept = kept
        self._rungs = set(rungs_of(ground.options))

    def __call__(self, epoch: int, kept: dict[int, Line]) -> set[int]:
        """Return the positions of the members to stop; `kept` holds the line that each would keep now."""
        if epoch not in self._rungs:
            return set()
        of_trial: dict[int, list[float]] = {}
        for member, line in kept.items():
            of_trial.setdefault(self._owners[member], []).append(line[self._metric])
        own = {trial: _or_worst(mean(values)) for trial, values in of_trial.items()}
        others = [record["rungs"][str(epoch)] for record in self._others if str(epoch) in record.get("rungs", {})]
        compared = sorted([*own.values(), *map(_or_worst, others)], reverse=True)
        if len(compared) < FEWEST_COMPARED:
            return set()
        worst_kept = compared[math.ceil(KEPT_SHARE * len(compared)) - 1]
        given_up = {trial for trial, value in own.items() if value < worst_kept and trial != self._kept}
        return {member for member in kept if self._owners[member] in given_up}


def rungs_of(options: TuningOptions) -> list[int]:
    """List the epochs after which trials are compared."""
    if options.prune_epochs is None:
        return []
    return [options.prune_epochs * 2**number for number in range(16)]


def mean(values: Sequence[float]) -> float:
    """Return the mean of the members of a trial."""
    return sum(values) / len(values)


def _or_worst(value: float) -> float:
    return -math.inf if math.isnan(value) else value
