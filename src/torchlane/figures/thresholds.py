"""The threshold of two classes: what each gives and costs."""

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Scatter

from torchlane.core.judging.ranking import Trade, trade_off
from torchlane.figures.style import COLOURS, colour_of, escaped, finish, panels, words
from torchlane.figures.told import NO_ROWS, NOT_CLASSES, known_labels, probabilities, texts

TITLE = "Thresholds"
DEFAULT = 0.5


def plot_thresholds(
    test_predictions: pd.DataFrame, positive: str | None, costs: tuple[float, float], source: str
) -> Figure:
    """Draw precision, recall and F1 over the threshold on the probability of the label `positive`, and the cost below.

    `test_predictions` has `truth` and the probabilities of both labels. `costs` are those of a false positive and of a
    false negative. The cost is the mean over the test rows. The default threshold and the cheapest one are marked; the
    cheapest was chosen on the rows that it is judged on, which the note says.
    """
    labels = known_labels(test_predictions)
    if positive is None:
        why = NOT_CLASSES if not labels else "This is drawn for two classes only; there are more."
        return words(why, TITLE, source)
    if test_predictions.empty:
        return words(NO_ROWS, TITLE, source)
    truths, scores = texts(test_predictions, "truth"), probabilities(test_predictions)[:, labels.index(positive)]
    trade = trade_off(truths == positive, scores, costs)
    best = float(trade.thresholds[trade.cheapest])
    figure = panels(["Precision, recall and F1", f"Cost: false positive {costs[0]:g}, false negative {costs[1]:g}"])
    _add_curves(figure, trade)
    costs_of_both = _add_marks(figure, trade, best)
    figure.update_xaxes(range=[0, 1], zeroline=False)
    figure.update_xaxes(title_text=f"threshold on the probability of {escaped(positive)}", row=2)
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%", row=1)
    figure.update_yaxes(title_text="mean cost of a row", rangemode="tozero", row=2)
    return finish(figure, TITLE, source, _note(best, costs_of_both))


def _add_curves(figure: Figure, trade: Trade) -> None:
    curves = {"precision": trade.precision, "recall": trade.recall, "F1": trade.f1}
    for place, (name, values) in enumerate(curves.items()):
        line = {"color": colour_of(place)}
        hover = f"threshold %{{x:.3f}}<br>{name} %{{y:.1%}}<extra></extra>"
        trace = Scatter(x=trade.thresholds, y=values, mode="lines", line=line, name=name, hovertemplate=hover)
        figure.add_trace(trace, row=1, col=1)
    hover = "threshold %{x:.3f}<br>%{y:.4~g} a row<extra></extra>"
    cost = Scatter(
        x=trade.thresholds,
        y=trade.cost,
        mode="lines",
        line={"color": colour_of(3)},
        showlegend=False,
        hovertemplate=hover,
    )
    figure.add_trace(cost, row=2, col=1)


def _add_marks(figure: Figure, trade: Trade, best: float) -> np.ndarray:
    """Mark the default threshold and the cheapest one; give the cost of both."""
    for threshold, dash in {DEFAULT: "dot", best: "dash"}.items():
        figure.add_vline(x=threshold, line={"color": COLOURS["guide"], "dash": dash, "width": 1.5})
    places = [int(np.abs(trade.thresholds - each).argmin()) for each in (DEFAULT, best)]
    of_both = trade.cost[places]
    marks = {"symbol": ["circle", "diamond"], "size": 10, "color": COLOURS["guide"]}
    shown = {
        "text": [f"{DEFAULT}", f"{best:g}"],
        "textposition": [f"top {side}" for side in (("left", "right") if best > DEFAULT else ("right", "left"))],
        "showlegend": False,
        "hoverinfo": "skip",
    }
    figure.add_trace(Scatter(x=[DEFAULT, best], y=of_both, mode="markers+text", marker=marks, **shown), row=2, col=1)
    return of_both


def _note(best: float, of_both: np.ndarray) -> str:
    """Say what the two thresholds cost, and that the cheapest was seen on the rows it is judged on."""
    cheapest = f"{of_both[1]:.3g} at {best:g} (the cheapest, seen on test itself)"
    return f"cost a row {of_both[0]:.3g} at {DEFAULT}, {cheapest}"
