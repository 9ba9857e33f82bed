"""How far stated uncertainty can be trusted: coverage of intervals, and probabilities against what happened."""

import numpy as np
import pandas as pd
from plotly.graph_objects import Bar, Figure, Scatter

from torchlane.core.judging.shares import Reliability, bins_of, share_interval
from torchlane.figures.style import COLOURS, axis_title, escaped, finish, panels, words
from torchlane.figures.told import NO_ROWS, known_labels, probabilities, texts

OF_VALUES, OF_LABELS = "Coverage of the intervals", "Reliability of the probabilities"
ROWS_A_BIN = 15  # fewer tell nothing of a share
NO_INTERVALS = "The predictions have no intervals, because the use case has no valid part to make them from."


def plot_coverage(
    test_predictions: pd.DataFrame, coverage: float | None, source: str, target: str, unit: str | None = None
) -> Figure:
    """Draw the share of truths within their intervals by size of the prediction, beside the share asked for.

    `test_predictions` has `truth`, `prediction`, `low` and `high`; without intervals, `coverage` is None. The rows are
    in ten bins or fewer, of about equally many. Bars are 95 % intervals of the share (Wilson), which tell how much of
    a distance is chance.
    """
    if test_predictions.empty or coverage is None or not {"low", "high"} <= {*test_predictions}:
        return words(NO_ROWS if test_predictions.empty else NO_INTERVALS, OF_VALUES, source)
    values = test_predictions[["truth", "prediction", "low", "high"]].astype(np.float64)
    covered = values["truth"].between(values["low"], values["high"]).to_numpy()
    predicted = values["prediction"].to_numpy()
    place, ends = bins_of(predicted, int(np.clip(len(values) // ROWS_A_BIN, 1, 10)))
    rows, hits, sums = (np.bincount(place, each) for each in (np.ones(len(place)), covered, predicted))
    shown = np.column_stack([rows, hits, *(list(map("{:,.4g}".format, each)) for each in (ends[:-1], ends[1:]))])
    figure = Figure(
        _points(
            sums / rows, hits, rows, customdata=shown, mode="markers",
            hovertemplate="%{customdata[1]} of %{customdata[0]} rows covered: %{y:.1%}<br>"
            "predictions %{customdata[2]} to %{customdata[3]}<extra></extra>",
        )
    )  # fmt: skip
    dots = {"color": COLOURS["guide"], "dash": "dot"}
    line = [predicted.min(), predicted.max()]
    asked = Scatter(x=line, y=[coverage] * 2, mode="lines", line=dots, name=f"asked: {coverage:.0%}", hoverinfo="skip")
    figure.add_trace(asked)
    figure.update_xaxes(title_text=f"predicted {axis_title(target, unit)}", zeroline=False)
    figure.update_yaxes(title_text="share of truths within", range=[0, 1.02], tickformat=".0%")
    note = f"{covered.mean():.1%} of {len(values):,} test rows are covered, {coverage:.0%} asked"
    return finish(figure.update_layout(height=440), OF_VALUES, source, note)


def plot_probabilities(test_predictions: pd.DataFrame, positive: str | None, source: str) -> Figure:
    """Draw the share of rows for which what was stated is so, against the probability stated, and the counts below.

    With two classes, the probability is that of the label `positive`; with more, that of the predicted label. The bins
    are tenths of it. The note has the expected calibration error.
    """
    if test_predictions.empty:
        return words(NO_ROWS, OF_LABELS, source)
    truths, chances, labels = (
        texts(test_predictions, "truth"),
        probabilities(test_predictions),
        known_labels(test_predictions),
    )
    if positive is not None:
        stated, happened, name = chances[:, labels.index(positive)], truths == positive, escaped(positive)
    else:
        name, stated = "the predicted label", chances.max(1)
        happened = truths == np.array(labels, dtype=object)[chances.argmax(1)]
    found = Reliability.of(np.clip(stated, 0, 1), happened)
    filled = found.rows > 0
    shown = np.column_stack([found.rows, found.hits])[filled]
    figure = panels(["Share of rows where it is so", "Test rows"])
    dots = {"color": COLOURS["guide"], "dash": "dot"}
    exact = Scatter(x=[0, 1], y=[0, 1], mode="lines", line=dots, name="as stated", hoverinfo="skip")
    figure.add_trace(exact, row=1, col=1)
    points = _points(
        found.stated[filled], found.hits[filled], found.rows[filled], customdata=shown, mode="lines+markers",
        hovertemplate="stated %{x:.1%}, seen %{y:.1%}<br>%{customdata[1]} of %{customdata[0]} rows<extra></extra>",
    )  # fmt: skip
    figure.add_trace(points, row=1, col=1)
    width = 1 / len(found.rows)
    bars = Bar(
        x=(np.arange(len(found.rows)) + 0.5) * width, y=found.rows, width=width, marker_color=COLOURS["test"],
        showlegend=False, hovertemplate="%{y} rows<extra></extra>",
    )  # fmt: skip
    figure.add_trace(bars, row=2, col=1)
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", zeroline=False)
    figure.update_xaxes(title_text=f"probability of {name}", row=2)
    figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%", row=1)
    note = f"expected calibration error {found.error:.3f}; bars are 95 % intervals"
    return finish(figure, OF_LABELS, source, note)


def _points(x: np.ndarray, hits: np.ndarray, rows: np.ndarray, **settings: object) -> Scatter:
    """Draw shares with their intervals."""
    low, high = share_interval(hits, rows)
    share = hits / rows
    bars = {"type": "data", "symmetric": False, "array": high - share, "arrayminus": share - low, "thickness": 1.5}
    return Scatter(x=x, y=share, error_y=bars, marker={"color": COLOURS["test"], "size": 8}, name="seen", **settings)
