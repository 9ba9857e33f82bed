"""What a trial reached, in the form that its study keeps."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torchlane.core.options import FittedTraining
from torchlane.core.search.ground import Ground
from torchlane.core.search.halving import mean, rungs_of
from torchlane.core.training.members import Line, Outcome

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

RECORD = "record"  # the user attribute of an Optuna trial that holds its record

WAY_OUT = "set another split.seed or split.valid_fraction, or tuning.trials to 0"

Record = dict[str, Any]


def record_of(trial: "FrozenTrial") -> Record:
    """Read the record of a trial; it is empty until the trial has ended."""
    record: Record = trial.user_attrs.get(RECORD, {})
    return record


def failed(error: str) -> Record:
    """Make the record of a trial that could not be built."""
    return {"value": None, "epochs": 0, "error": error}


def make_record(ground: Ground, outcomes: Sequence[Outcome], training: FittedTraining) -> Record:
    """Sum up the members of a trial.

    `value` is the mean of the metric on valid, None if a member failed or the metric is not defined. `rungs` are
    the means after the epochs at which `Halving` compares trials.
    """
    name = f"valid_{ground.metric}"
    error = next((outcome["error"] for outcome in outcomes if outcome["error"]), "")
    value = math.nan if error else mean([outcome["kept"][name] for outcome in outcomes])
    if not error and not math.isfinite(value):
        error = f"{ground.metric} is not defined on valid, as where its rows have one target; {WAY_OUT}"
    rungs = {}
    for epoch in rungs_of(ground.options):
        reached = [outcome for outcome in outcomes if len(outcome["history"]) >= epoch]
        if len(reached) == len(outcomes) and not error:
            rungs[str(epoch)] = mean([_kept_until(outcome["history"], epoch)[name] for outcome in outcomes])
    return {
        "value": None if error else value,
        "epochs": max(len(outcome["history"]) for outcome in outcomes),
        "pruned": any(_was_given_up(outcome, training) for outcome in outcomes),
        "rungs": rungs,
        "error": error,
        "seconds": round(sum(line["seconds"] for outcome in outcomes for line in outcome["history"]), 3),
    }


def _kept_until(history: Sequence[Line], epoch: int) -> Line:
    """Return the line that a member would have kept if it had ended after this epoch."""
    return min(history[:epoch], key=lambda line: line["valid_loss"])


def _was_given_up(outcome: Outcome, training: FittedTraining) -> bool:
    """Whether a member was stopped before its epochs or its patience ran out."""
    last = len(outcome["history"])
    patience = training.patience_epochs
    waited = last - int(outcome["kept"]["epoch"])
    return not outcome["error"] and last < training.epochs and (patience is None or waited < patience)
