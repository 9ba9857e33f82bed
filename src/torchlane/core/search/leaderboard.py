"""The leaderboard: the trials, best first, and how the best compares with the options as given."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from torchlane.core.options import shown_number
from torchlane.core.search.records import record_of
from torchlane.core.search.space import Space, write_value
from torchlane.core.search.trials import Trials

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

COLUMNS = ("trial", "state", "value", "epochs", "seconds", "error")
AS_GIVEN = "as given"  # shown for an option that has no value of its own


def make_leaderboard(trials: Trials, space: Space, metric: str) -> pd.DataFrame:
    """List the trials, best first: what they tried and what they reached.

    `value` is named after the metric; each searched option has a column with text.
    """
    lines = []
    for trial in trials.ranked():
        tried = trials.values(trial)
        values = {name: show_value(tried.get(name, AS_GIVEN)) for name in sorted(space)}
        line = {"trial": trial.number, "state": trial.state.name.lower(), **record_of(trial)}
        lines.append({name: line.get(name) for name in COLUMNS} | values)
    return pd.DataFrame(lines).rename(columns={"value": f"valid_{metric}"})


def empty_leaderboard() -> pd.DataFrame:
    """Return a leaderboard without lines, for a run that searched nothing."""
    return pd.DataFrame(columns=list(COLUMNS))


def compare_with_given(trials: Trials, best: "FrozenTrial") -> str:
    """Say by how much the best trial beats the options as given, or that the search did not help."""
    given = trials.as_given()
    if given is None:
        return "the options as given are not in the grid"
    record = record_of(given)
    if given.state.name != "COMPLETE":
        fate = f"failed: {record['error']}" if record.get("error") else "are still being tried on another machine"
        return f"the options as given (trial {given.number}) {fate}"
    if given.number != best.number:
        ahead = record_of(best)["value"] - record["value"]
        before = shown_number(record["value"])
        return f"{shown_number(ahead, 2)} better than the options as given (trial {given.number}: {before})"
    others = [each for each in trials.ranked() if each.state.name == "COMPLETE" and each is not given]
    behind = [record["value"] - record_of(each)["value"] for each in others[:1]]
    nearest = (
        ", ".join(f"the next is {shown_number(each, 2)} behind" for each in behind) or "no other was trained to the end"
    )
    return f"with the options as given: no other is better ({nearest})"


def show_value(value: Any) -> Any:
    """Write a value for people, with six significant digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else value if isinstance(value, (int, str)) else write_value(value)
