"""The comparison of several models on the same rows."""

from typing import Any

import pandas as pd
from plotly.graph_objects import Figure, Scatter
from plotly.subplots import make_subplots

from torchlane.figures.style import COLOURS, finish, source_of

NAMES = {"parent": "parent as it is", "scratch": "from scratch", "fine_tuned": "fine-tuned"}
FORGOTTEN = "on the parent's own rows"


def plot_comparison(comparison_scores: pd.DataFrame, metrics: dict[str, Any]) -> Figure:
    """Draw each metric of each model, with a point per repeat and a bar at the mean; the title shows forgetting.

    `comparison_scores` has `repeat`, `model` and a column per metric; `metrics` is the content of
    `fine_tuned_metrics.json`.
    """
    drawn = [str(name) for name in comparison_scores.columns.drop(["repeat", "model"])]
    figure = make_subplots(rows=1, cols=max(1, len(drawn)), subplot_titles=drawn)
    for column, metric in enumerate(drawn, start=1):
        for (name, label), colour in zip(NAMES.items(), COLOURS.values(), strict=False):
            values = comparison_scores.loc[comparison_scores["model"] == name, metric].dropna()
            if values.empty:
                continue
            points = {"x": [label] * len(values), "y": values, "mode": "markers", "opacity": 0.5}
            figure.add_trace(Scatter(**points, marker={"color": colour}, showlegend=False), row=1, col=column)
            bar = {"symbol": "line-ew-open", "size": 40, "line": {"width": 3}, "color": colour}
            mean = Scatter(x=[label], y=[values.mean()], mode="markers", marker=bar, showlegend=False)
            figure.add_trace(mean, row=1, col=column)
    names = list(NAMES.values())  # a model without a score keeps its place
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=names, range=[-0.5, len(names) - 0.5])
    repeats = metrics["comparison"]["repeats"]
    title = f"Held-out new rows, {repeats} split{'s' if repeats > 1 else ''}{_forgotten(metrics)}"
    return finish(figure, title, source_of(metrics))


def _forgotten(metrics: dict[str, Any]) -> str:
    primary, forgetting = metrics["comparison"]["primary_metric"], metrics["forgetting"]
    scores = [forgetting.get(name, {}).get(primary) for name in ("parent", "fine_tuned")]
    if None in scores:
        return ""
    return f"; {primary} {FORGOTTEN}: {scores[0]:.3f}, then {scores[1]:.3f}"
