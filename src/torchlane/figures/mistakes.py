"""The rows of test that a model predicts worst."""

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Scatter

from torchlane.figures.bars import add_bars
from torchlane.figures.pictures import seen, sheet
from torchlane.figures.style import COLOURS, SEQUENCE, axis_title, escaped, finish, label_axis, panels, words

COLUMNS = 5  # pictures in a row
ROW_HEIGHT = 24  # pixels


def plot_mistakes(
    mistakes: pd.DataFrame, images: np.ndarray | None, labels: bool, source: str, target: str, unit: str | None
) -> Figure:
    """Draw the largest mistakes: images with truth and prediction; else truth and prediction of numbers, side by side.

    `mistakes` has `row`, `truth`, `prediction` and `error`, the largest first. `images` is uint8 (n_rows, channels,
    height, width), or None for a table. For `labels`, an error is 1 - probability of the truth.
    """
    title = "The largest mistakes on test"
    if mistakes.empty:
        return words("Test has no rows, so no mistake is known.", title, source)
    if images is not None:
        note = _wrong(mistakes) if labels else "truth, and what the model said"
        return finish(_pictures(mistakes, images), title, source, note)
    if labels:
        return finish(_probabilities(mistakes), title, source, _wrong(mistakes))
    figure = _distances(mistakes)
    figure.update_xaxes(title_text=axis_title(target, unit))
    return finish(figure, title, source, "a line leads from the truth to the prediction")


def _wrong(mistakes: pd.DataFrame) -> str:
    """Count the wrong labels, since the largest errors of a good model are right labels without certainty."""
    wrong = int((mistakes["truth"].map(str) != mistakes["prediction"].map(str)).sum())
    if wrong == len(mistakes):
        return f"all {wrong} have a wrong label"
    return f"{wrong or 'none'} of these {len(mistakes)} have a wrong label; the others are the least sure right ones"


def _pictures(mistakes: pd.DataFrame, images: np.ndarray) -> Figure:
    captions = [[f"is {line.truth}", f"said {line.prediction}"] for line in mistakes.itertuples()]
    hover = [
        f"row {line.row}: truth {line.truth}, prediction {line.prediction}, error {line.error:.3g}"
        for line in mistakes.itertuples()
    ]
    return sheet(seen(images), COLUMNS, captions, hover)


def _probabilities(mistakes: pd.DataFrame) -> Figure:
    names = [f"row {line.row}: is {line.truth}, said {line.prediction}" for line in mistakes.itertuples()]
    figure = panels(["probability given to other labels"], height=2 * ROW_HEIGHT * len(mistakes))
    add_bars(figure, 1, names, mistakes["error"].tolist(), [f"{error:.1%}" for error in mistakes["error"]])
    return figure.update_xaxes(range=[0, 1], tickformat=".0%")


def _distances(mistakes: pd.DataFrame) -> Figure:
    """Draw a line per row from its truth to its prediction, the largest mistake on top."""
    figure = panels(["truth and prediction by row"], height=ROW_HEIGHT * len(mistakes) + 30)
    places = list(range(len(mistakes)))
    numbers = mistakes.astype({"truth": "float64", "prediction": "float64"})
    ends: list[float | None] = []
    for truth, prediction in zip(numbers["truth"], numbers["prediction"], strict=True):
        ends += [truth, prediction, None]
    steps = [place for each in places for place in (each, each, None)]
    link = {"mode": "lines", "line": {"color": COLOURS["guide"], "width": 2}, "hoverinfo": "skip", "showlegend": False}
    figure.add_trace(Scatter(x=ends, y=steps, **link))
    styles = {"truth": (SEQUENCE[0], "circle-open"), "prediction": (SEQUENCE[3], "circle")}
    for name, (colour, symbol) in styles.items():
        points = Scatter(
            x=numbers[name],
            y=places,
            mode="markers",
            name=name,
            marker={"color": colour, "symbol": symbol, "size": 10, "line": {"width": 2}},
            text=[escaped(row) for row in mistakes["row"]],
            hovertemplate=f"row %{{text}}: {name} %{{x:,.5~g}}<extra></extra>",
        )
        figure.add_trace(points)
    figure.update_yaxes(label_axis([f"row {row}" for row in mistakes["row"]], downwards=True))
    return figure.update_xaxes(tickformat="~s")
