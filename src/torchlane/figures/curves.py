"""Curves over epochs."""

import pandas as pd
from plotly.graph_objects import Figure, Scatter
from plotly.subplots import make_subplots

from torchlane.figures.style import COLOURS, faint, finish


def plot_history(history: pd.DataFrame, source: str) -> Figure:
    """Draw loss and primary metric of train and valid, with the spread over members as a band.

    `history` has a row per epoch, as `history.csv`.
    """
    metric = next(
        name for name in map(str, history) if name.startswith("train_") and name != "train_loss"
    ).removeprefix("train_")
    figure = make_subplots(rows=1, cols=2, subplot_titles=["loss", metric])
    for column, curve in enumerate(("loss", metric), start=1):
        for part in ("train", "valid"):
            values = history[f"{part}_{curve}"]
            if values.notna().any():
                spread = history[f"{part}_{curve}_spread"]
                if (spread > 0).any():
                    _add_band(figure, column, part, history["epoch"], values - spread, values + spread)
                line = Scatter(
                    x=history["epoch"],
                    y=values,
                    name=part,
                    line_color=COLOURS[part],
                    legendgroup=part,
                    showlegend=column == 1,
                )
                figure.add_trace(line, row=1, col=column)
    figure.update_xaxes(title_text="epoch")
    return finish(figure, "Training", source)


def _add_band(figure: Figure, column: int, part: str, epochs: pd.Series, low: pd.Series, high: pd.Series) -> None:
    shared = {
        "x": epochs,
        "line_width": 0,
        "mode": "lines",
        "legendgroup": part,
        "showlegend": False,
        "hoverinfo": "skip",
    }
    figure.add_trace(Scatter(y=low, **shared), row=1, col=column)
    figure.add_trace(Scatter(y=high, fill="tonexty", fillcolor=faint(COLOURS[part]), **shared), row=1, col=column)
