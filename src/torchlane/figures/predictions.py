"""Truth against prediction."""

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Heatmap, Scatter

from torchlane.core.rows.levels import natural_order
from torchlane.figures.style import COLOURS, finish

PROBABILITY = "probability_"
MOST_POINTS = 5_000  # the number that a browser draws without delay


def plot_predictions(test_predictions: pd.DataFrame, source: str, target: str = "") -> Figure:
    """Draw predictions on test: a point per row for numbers, a confusion matrix for labels.

    `test_predictions` has `row`, `truth` and `prediction`, all of which may be text, and for labels their
    probabilities. Of many rows, an evenly spaced selection is drawn. The matrix has every label that the model knows
    on both axes, in its order, and then those that only the truth has. `target` is the name of the column.
    """
    if any(str(name).startswith(PROBABILITY) for name in test_predictions):
        figure = _plot_labels(test_predictions)
        drawn = ""
    else:
        figure, n_drawn = _plot_values(test_predictions)
        drawn = f"{n_drawn} of "
    of = f" of {target}" if target else ""
    figure.update_xaxes(title_text=f"{'truth' if drawn else 'prediction'}{of}")
    figure.update_yaxes(title_text=f"{'prediction' if drawn else 'truth'}{of}")
    return finish(figure, f"Truth and prediction, {drawn}{len(test_predictions)} test rows", source)


def _plot_values(test_predictions: pd.DataFrame) -> tuple[Figure, int]:
    """Draw a point per row, and count the points."""
    drawn = test_predictions.iloc[:: max(1, len(test_predictions) // MOST_POINTS)]
    drawn = drawn.astype({"truth": "float64", "prediction": "float64"})
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
    figure.update_xaxes(tickformat=",", hoverformat=",.4~g")
    figure.update_yaxes(tickformat=",", hoverformat=",.4~g")
    return figure, len(drawn)


def _plot_labels(test_predictions: pd.DataFrame) -> Figure:
    """Draw how many rows of each label are predicted to have which."""
    told = test_predictions[["truth", "prediction"]].map(str)
    known = [name.removeprefix(PROBABILITY) for name in map(str, test_predictions) if name.startswith(PROBABILITY)]
    labels = [*known, *natural_order({*told["truth"], *told["prediction"]} - {*known})]
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    places = [pd.Index(labels).get_indexer(pd.Index(told[name])) for name in ("truth", "prediction")]
    np.add.at(counts, tuple(places), 1)
    figure = Figure(
        Heatmap(
            x=labels,
            y=labels,
            z=counts,
            texttemplate="%{z}",
            colorscale="Blues",
            showscale=False,
        )
    )
    figure.update_xaxes(type="category")
    figure.update_yaxes(type="category", autorange="reversed")
    return figure
