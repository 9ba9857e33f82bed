"""Truth against prediction."""

import pandas as pd
from plotly.graph_objects import Figure, Heatmap, Scatter

from torchlane.figures.style import COLOURS, finish

MOST_POINTS = 5_000  # the number that a browser draws without delay


def plot_predictions(test_predictions: pd.DataFrame, source: str) -> Figure:
    """Draw predictions on test: a point per row for numbers, a confusion matrix for labels.

    `test_predictions` has `row`, `truth` and `prediction`, and for labels their probabilities. Of many rows,
    an evenly spaced selection is drawn.
    """
    if any(str(name).startswith("probability_") for name in test_predictions):
        return _plot_labels(test_predictions, source)
    return _plot_values(test_predictions, source)


def _plot_values(test_predictions: pd.DataFrame, source: str) -> Figure:
    drawn = test_predictions.iloc[:: max(1, len(test_predictions) // MOST_POINTS)]
    ends = [drawn[["truth", "prediction"]].min().min(), drawn[["truth", "prediction"]].max().max()]
    figure = Figure(
        [
            Scatter(x=ends, y=ends, mode="lines", line={"color": COLOURS["guide"], "dash": "dot"}, name="exact"),
            Scatter(
                x=drawn["truth"],
                y=drawn["prediction"],
                mode="markers",
                marker={"color": COLOURS["test"], "opacity": 0.6},
                text=[f"row {row}" for row in drawn["row"]],
                name="test",
            ),
        ]
    )
    figure.update_xaxes(title_text="truth")
    figure.update_yaxes(title_text="prediction")
    return finish(figure, f"Truth and prediction, {len(drawn)} of {len(test_predictions)} test rows", source)


def _plot_labels(test_predictions: pd.DataFrame, source: str) -> Figure:
    counts = pd.crosstab(test_predictions["truth"], test_predictions["prediction"])
    figure = Figure(
        Heatmap(
            x=[str(label) for label in counts.columns],
            y=[str(label) for label in counts.index],
            z=counts.to_numpy(),
            texttemplate="%{z}",
            colorscale="Blues",
            showscale=False,
        )
    )
    figure.update_xaxes(title_text="prediction", type="category")
    figure.update_yaxes(title_text="truth", type="category", autorange="reversed")
    return finish(figure, f"Truth and prediction, {len(test_predictions)} test rows", source)
