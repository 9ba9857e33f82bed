"""The comparison of several models on the same rows."""

from typing import Any

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from torchlane.figures.style import COLOURS, SEQUENCE, escaped, finish, label_axis, panels, source_of, words

NAMES = {"parent": "parent as it is", "scratch": "from scratch", "fine_tuned": "fine-tuned"}
THOUSAND = 1_000  # from here on an axis says 25k
FORGOTTEN = "on the parent's own rows"


def plot_comparison(comparison_scores: pd.DataFrame, metrics: dict[str, Any]) -> Figure:
    """Draw each metric of each model: a thin line per repeat, with its points, and a bar at the mean of the repeats.

    `comparison_scores` has `repeat`, `model` and a column per metric; `metrics` is the content of
    `fine_tuned_metrics.json`. The note says what fine-tuning forgot.
    """
    repeats = metrics["comparison"]["repeats"]
    title = f"Held-out new rows, {repeats} split{'s' if repeats > 1 else ''}"
    drawn = [str(name) for name in comparison_scores.columns.drop(["repeat", "model"])]
    drawn = [name for name in drawn if comparison_scores[name].notna().any()]
    if not drawn:
        return words("No model has a score on held-out new rows.", title, source_of(metrics))
    figure = panels(drawn, height=200)
    for row, metric in enumerate(drawn, start=1):
        scores = comparison_scores.pivot_table(index="repeat", columns="model", values=metric).reindex(columns=[*NAMES])
        _add_scores(figure, row, metric, scores)
        figure.update_yaxes(tickformat="~s" if scores.abs().max().max() >= THOUSAND else ".4~g", row=row, col=1)
    axis = label_axis(list(NAMES.values()))  # a model without a score keeps its place
    figure.update_xaxes(**axis)
    return finish(figure, title, source_of(metrics), _forgotten(metrics))


def _add_scores(figure: Figure, row: int, metric: str, scores: pd.DataFrame) -> None:
    """Add the scores of a metric: a line per repeat over the models, and a bar at the mean of each model."""
    guide = {"mode": "lines", "line": {"color": COLOURS["guide"], "width": 1}, "opacity": 0.5, "hoverinfo": "skip"}
    if len(scores) > 1:
        places = [place for _ in range(len(scores)) for place in (*range(len(NAMES)), None)]
        steps = [value for of_repeat in scores.to_numpy().tolist() for value in (*of_repeat, None)]
        figure.add_trace(Scatter(x=places, y=steps, **guide, showlegend=False), row=row, col=1)
    for place, (model, label) in enumerate(NAMES.items()):
        values = scores[model].dropna()
        if values.empty:
            continue
        shared = {"mode": "markers", "showlegend": False}
        points = {"color": SEQUENCE[place], "opacity": 0.6, "size": 7}
        text = f"{label}, split %{{customdata}}: %{{y:.4~g}}<extra></extra>"
        told = {"marker": points, "customdata": values.index, "hovertemplate": text}
        figure.add_trace(Scatter(x=[place] * len(values), y=values, **told, **shared), row=row, col=1)
        bar = {"symbol": "line-ew-open", "size": 40, "line": {"width": 3}, "color": SEQUENCE[place]}
        text = f"{label}, mean {escaped(metric)}: %{{y:.4~g}}<extra></extra>"
        figure.add_trace(
            Scatter(x=[place], y=[values.mean()], marker=bar, hovertemplate=text, **shared), row=row, col=1
        )


def _forgotten(metrics: dict[str, Any]) -> str:
    primary, forgetting = metrics["comparison"]["primary_metric"], metrics["forgetting"]
    scores = [forgetting.get(name, {}).get(primary) for name in ("parent", "fine_tuned")]
    if None in scores:
        return "bars: means"
    return f"bars: means; {escaped(primary)} {FORGOTTEN}: {scores[0]:.3f} before, {scores[1]:.3f} after"
