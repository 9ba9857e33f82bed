"""What a search decides: the trial that it takes, and why."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torchlane.core.options import TuningOptions, shown_number
from torchlane.core.search.paired import Lead, lead_of
from torchlane.core.search.records import record_of
from torchlane.core.search.trials import Trials

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Verdict:
    """The trial that a search takes, None if the options stay as given and none of them was tried to the end.

    `values` are the options that it changes, `said` is the reason in a sentence. `leads` say how far each trial that
    was trained to the end is ahead of the options given, by its number.
    """

    trial: "FrozenTrial | None"
    values: dict[str, Any]
    said: str
    leads: dict[int, Lead]


def decide(trials: Trials, options: TuningOptions) -> Verdict:
    """Take the best trial; or keep the options given, unless the best is ahead of them by more than chance explains.

    Raises:
        ValueError: no trial was trained to the end.
    """
    best, *others = trials.ranked()
    n_trials = 1 + len(others)
    if best.state.name != "COMPLETE":
        raise ValueError(f"all {n_trials} trials of the search failed: {trials.failures()}")
    given, leads = trials.as_given(), _leads(trials)
    best_of = f"the best of {n_trials} trials"
    if given is not None and given.number == best.number:
        return Verdict(best, {}, f"kept the options given: {_none_is_better(trials, given)}", leads)
    lead = leads.get(best.number)
    how_far = f"ahead of the options given by {lead}" if lead else _why_not_compared(given)
    if not options.keep_given:
        return Verdict(best, trials.values(best), f"chose trial {best.number}, {best_of}; {how_far}", leads)
    if lead and lead.is_clear:
        return Verdict(best, trials.values(best), f"chose trial {best.number}: {best_of}, {how_far}", leads)
    if lead:
        said = f"kept the options given: {best_of} is ahead by {lead}, which may be chance"
        return Verdict(given, {}, said, leads)
    if given is not None and given.state.name == "FAIL":
        return Verdict(best, trials.values(best), f"chose trial {best.number}, {best_of}, since {how_far}", leads)
    return Verdict(None, {}, f"kept the options given, since {how_far}", leads)


def _leads(trials: Trials) -> dict[int, Lead]:
    given = trials.as_given()
    if given is None or given.state.name != "COMPLETE":
        return {}
    others = [trial for trial in trials.all() if trial.number != given.number]
    n_compared = sum(record_of(trial).get("value") is not None for trial in others)
    return {
        trial.number: lead_of(record_of(trial), record_of(given), n_compared)
        for trial in others
        if trial.state.name == "COMPLETE"
    }


def _none_is_better(trials: Trials, given: "FrozenTrial") -> str:
    value = record_of(given)["value"]
    others = [each for each in trials.ranked() if each.state.name == "COMPLETE" and each.number != given.number]
    behind = [shown_number(value - record_of(each)["value"], 2) for each in others[:1]]
    nearest = f"the next is {behind[0]} behind" if behind else "no other was trained to the end"
    n_trials = len(trials.all())
    return f"no other of {n_trials} trials is better ({nearest})" if n_trials > 1 else "they alone were tried"


def _why_not_compared(given: "FrozenTrial | None") -> str:
    if given is None:
        return "the options given are not in the grid"
    error = record_of(given).get("error")
    return f"the options given failed: {error}" if error else "the options given are still being tried"
