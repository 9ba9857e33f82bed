"""The trials of a search."""

from collections.abc import Sequence

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from torchlane.core.search.option_importances import REASON, OptionImportances
from torchlane.figures.bars import add_bars
from torchlane.figures.style import COLOURS, SEQUENCE, escaped, finish, panels, words

STATES = {"complete": ("trained to the end", "circle"), "pruned": ("given up", "x-thin-open")}
NO_SEARCH = "Nothing was searched: tuning.trials is 0."


def plot_search(leaderboard: pd.DataFrame, importances: OptionImportances, source: str) -> Figure:
    """Draw the value of each trial and the best so far; below, the importance of each option if it is known.

    `leaderboard` has a line per trial, as `torchlane.core.search.leaderboard` makes it; it is empty without a search.
    """
    title = "Search for better options"
    if leaderboard.empty:
        return words(NO_SEARCH, title, source)
    metric = next(str(name) for name in leaderboard if str(name).startswith("valid_"))
    n_failed = int((leaderboard["state"] == "fail").sum())
    failed = f", {n_failed} failed" if n_failed else ""
    title = f"Search: {len(leaderboard)} trials{failed}"
    if not leaderboard[metric].notna().any():
        return words("No trial reached a score.", title, source)
    known = REASON not in importances
    figure = panels([f"{metric.removeprefix('valid_')} on valid", *(["importance of the options"] * known)])
    _add_trials(figure, leaderboard, metric)
    if known:
        _add_importances(figure, {name: float(share) for name, share in importances.items()})
    unknown = "" if known else f"importance of the options: {importances[REASON]}"
    note = "; ".join(escaped(each) for each in (_decided(leaderboard), unknown) if each)
    return finish(figure, title, source, note)


def _decided(leaderboard: pd.DataFrame) -> str:
    """Give what the search chose, and why; an earlier version did not say so, nor does a search that chose nothing."""
    if "chosen" not in leaderboard:
        return ""
    said = [str(each) for each in leaderboard["chosen"].dropna() if each]
    return f"the search {said[0]}" if said else ""


def _add_trials(figure: Figure, leaderboard: pd.DataFrame, metric: str) -> None:
    """Add a point per trial and the line of the best so far, over the trials' numbers."""
    names = [str(name) for name in leaderboard]
    tried = names[names.index("error") + 1 :]
    for (state, (name, symbol)), colour in zip(STATES.items(), (SEQUENCE[0], COLOURS["guide"]), strict=True):
        of_state = leaderboard[leaderboard["state"] == state]
        if of_state.empty:
            continue
        points = Scatter(
            x=of_state["trial"],
            y=of_state[metric],
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": 8, "line": {"width": 2, "color": colour}},
            text=[_options(line, tried) for _, line in of_state.iterrows()],
            hovertemplate="trial %{x}: %{y:.4~g}<br>%{text}<extra></extra>",
        )
        figure.add_trace(points, row=1, col=1)
    complete = leaderboard[leaderboard["state"] == "complete"].sort_values("trial")
    best = Scatter(
        x=complete["trial"],
        y=complete[metric].cummax(),
        mode="lines",
        line={"shape": "hv", "color": SEQUENCE[3]},
        name="best so far",
        hovertemplate="best after trial %{x}: %{y:.4~g}<extra></extra>",
    )
    figure.add_trace(best, row=1, col=1)
    figure.update_xaxes(title_text="trial", tickformat="d", zeroline=False, row=1, col=1)


def _options(line: pd.Series, tried: Sequence[str]) -> str:
    return "<br>".join(f"{escaped(name)}: {escaped(line[name])}" for name in tried)


def _add_importances(figure: Figure, importances: dict[str, float]) -> None:
    """Add a bar per option, the most important one on top."""
    shares = list(importances.values())
    add_bars(figure, 2, list(importances), shares, [f"{share:.1%}" for share in shares])
    figure.update_xaxes(tickformat=".0%", rangemode="tozero", row=2, col=1)
