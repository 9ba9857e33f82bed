"""The trials of a search."""

import pandas as pd
from plotly.graph_objects import Bar, Figure, Scatter
from plotly.subplots import make_subplots

from torchlane.core.search.option_importances import REASON, OptionImportances
from torchlane.figures.style import COLOURS, finish

STATES = {"complete": COLOURS["valid"], "pruned": COLOURS["guide"]}


def plot_search(leaderboard: pd.DataFrame, importances: OptionImportances, source: str) -> Figure:
    """Draw the value of each trial, and beside it the importance of each option or the reason why it is unknown.

    `leaderboard` has a line per trial, as `torchlane.core.search.leaderboard` makes it; it is empty without a search.
    """
    if leaderboard.empty:
        figure = Figure().add_annotation(text="no search: tuning.trials is 0", showarrow=False)
        return finish(figure, "Search", source)
    metric = next(str(name) for name in leaderboard if str(name).startswith("valid_"))
    figure = make_subplots(cols=2, column_titles=["trials", "importance"], horizontal_spacing=0.25)
    names = [str(name) for name in leaderboard]
    tried = names[names.index("error") + 1 :]
    for state, colour in STATES.items():
        of_state = leaderboard[leaderboard["state"] == state]
        figure.add_trace(
            Scatter(
                x=of_state["trial"],
                y=of_state[metric],
                mode="markers",
                marker={"color": colour},
                text=["<br>".join(f"{name}: {line[name]}" for name in tried) for _, line in of_state.iterrows()],
                name={"complete": "trained to the end", "pruned": "given up"}[state],
            ),
            row=1,
            col=1,
        )
    if REASON in importances:
        text = str(importances[REASON]).replace(": ", ":<br>").replace(", ", ",<br>")
        figure.add_annotation(text=text, xref="x2 domain", yref="y2 domain", x=0.5, y=0.5, showarrow=False)
        figure.update_xaxes(visible=False, col=2)
        figure.update_yaxes(visible=False, col=2)
    else:
        options = [*importances][::-1]
        shares = [importances[name] for name in options]
        figure.add_trace(Bar(x=shares, y=options, orientation="h", showlegend=False), row=1, col=2)
    figure.update_xaxes(title_text="trial", row=1, col=1)
    figure.update_yaxes(title_text=metric, row=1, col=1)
    n_failed = int((leaderboard["state"] == "fail").sum())
    failed = f", {n_failed} failed" if n_failed else ""
    return finish(figure, f"Search: {len(leaderboard)} trials{failed}", source)
