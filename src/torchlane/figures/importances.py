"""What drives the predictions: how much each feature matters."""

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from torchlane.figures.bars import HEIGHT, add_bars
from torchlane.figures.style import SEQUENCE, ZERO, escaped, finish, panels, words

MOST = 20  # features
SPREADS = {"over_members": (-0.09, SEQUENCE[1]), "over_repeats": (0.09, SEQUENCE[4])}  # place beside the middle


def plot_feature_importances(feature_importances: pd.DataFrame, source: str) -> Figure:
    """Draw by how much the score drops without each feature, for the 20 strongest, with spreads as lines on the bars.

    `feature_importances` has a line per feature, the most important one first: `feature`, `importance`, its standard
    deviations `over_repeats` and `over_members`, and the `part`, `metric` and `score` of the whole model.
    """
    title = "What drives the predictions"
    if feature_importances.empty:
        return words("No importance was measured; explanation.json says why.", title, source)
    drawn = feature_importances.head(MOST)
    part, metric, score = drawn[["part", "metric", "score"]].iloc[0]
    figure = panels([f"drop of {metric} if the column is shuffled"], height=HEIGHT * len(drawn) + 20)
    shown = [
        f"{line.importance:.4g}, ± {line.over_members:.2g} over members, ± {line.over_repeats:.2g} over repeats"
        for line in drawn.itertuples()
    ]
    add_bars(figure, 1, [str(name) for name in drawn["feature"]], drawn["importance"].tolist(), shown)
    for spread, (beside, colour) in SPREADS.items():
        if (drawn[spread] > 0).any():
            figure.add_trace(_spread(drawn, spread, beside, colour))
    figure.update_xaxes(zerolinecolor=ZERO, zerolinewidth=2)
    others = f"; {len(drawn)} of {len(feature_importances)} columns" if len(drawn) < len(feature_importances) else ""
    return finish(figure, title, source, f"on {part}, where {escaped(metric)} is {score:.3f}{others}")


def _spread(drawn: pd.DataFrame, spread: str, beside: float, colour: str) -> Scatter:
    """Make a line for each feature, from one standard deviation below its importance to one above."""
    places: list[float | None] = []
    ends: list[float | None] = []
    for place, (importance, deviation) in enumerate(zip(drawn["importance"], drawn[spread], strict=True)):
        ends += [importance - deviation, importance + deviation, None]
        places += [place + beside, place + beside, None]
    return Scatter(
        x=ends,
        y=places,
        mode="lines",
        line={"color": colour, "width": 4},
        name=f"spread {spread.replace('_', ' ')}",
        hoverinfo="skip",
    )
