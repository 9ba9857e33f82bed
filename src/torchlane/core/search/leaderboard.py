"""The leaderboard: the trials, best first, and how far each is ahead of the options given."""

from typing import Any

import pandas as pd

from torchlane.core.search.records import record_of
from torchlane.core.search.space import Space, write_value
from torchlane.core.search.trials import Trials
from torchlane.core.search.verdict import Verdict

COLUMNS = ("trial", "state", "value", "ahead", "margin", "chosen", "epochs", "seconds", "error")
AS_GIVEN = "as given"  # shown for an option that has no value of its own


def make_leaderboard(trials: Trials, space: Space, metric: str, verdict: Verdict) -> pd.DataFrame:
    """List the trials, best first: what they tried and what they reached.

    `value` is named after the metric; each searched option has a column with text. A trial that was trained to the end
    has how far it is ahead of the options given, and the margin within which that may be chance. The line of the trial
    that was taken says why.
    """
    lines = []
    for trial in trials.ranked():
        tried = trials.values(trial)
        values = {name: show_value(tried.get(name, AS_GIVEN)) for name in sorted(space)}
        line = {"trial": trial.number, "state": trial.state.name.lower(), **record_of(trial)}
        if lead := verdict.leads.get(trial.number):
            line |= {"ahead": lead.ahead, "margin": lead.margin}
        taken = verdict.trial is not None and trial.number == verdict.trial.number
        line["chosen"] = verdict.said if taken else ""
        lines.append({name: line.get(name) for name in COLUMNS} | values)
    return pd.DataFrame(lines).rename(columns={"value": f"valid_{metric}"})


def empty_leaderboard() -> pd.DataFrame:
    """Return a leaderboard without lines, for a run that searched nothing."""
    return pd.DataFrame(columns=list(COLUMNS))


def show_value(value: Any) -> Any:
    """Write a value for people, with six significant digits."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else value if isinstance(value, (int, str)) else write_value(value)
