"""Truth against prediction."""

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Heatmap, Scatter

from torchlane.core.rows.levels import natural_order
from torchlane.figures.style import (
    COLOURS,
    SHARES,
    axis_title,
    escaped,
    faint,
    finish,
    label_axis,
    words,
)
from torchlane.figures.told import NO_ROWS, evenly, known_labels, texts

TITLE = "Truth and prediction"
MOST_POINTS = 5_000  # the number that a browser draws without delay
MOST_INTERVALS = 300  # more would hide the points
SHARES_UP_TO, COUNTS_UP_TO = 10, 20  # labels whose cells have room for text


def plot_predictions(
    test_predictions: pd.DataFrame, source: str, target: str = "truth", unit: str | None = None
) -> Figure:
    """Draw predictions on test: a point per row for numbers, a confusion matrix for labels.

    `test_predictions` has `row`, `truth` and `prediction`, all of which may be text; for numbers the ends `low` and
    `high` of an interval, if there is one; and for labels their probabilities. Of many rows, an evenly spaced selection
    is drawn. The matrix has every label that the model knows on both axes, in its order, and then those that only the
    truth has. `target` is the name of the column, in its `unit`.
    """
    if test_predictions.empty:
        return words(NO_ROWS, TITLE, source)
    if known_labels(test_predictions):
        return _plot_labels(test_predictions, source, target)
    return _plot_values(test_predictions, source, axis_title(target, unit))


def _plot_values(test_predictions: pd.DataFrame, source: str, name: str) -> Figure:
    """Draw a point per row, and its interval if few are drawn."""
    drawn = evenly(test_predictions, MOST_POINTS)
    ends = ["low", "high"] if {"low", "high"} <= {*drawn} else []
    values = drawn[["truth", "prediction", *ends]].astype(np.float64)
    line = [values[["truth", "prediction"]].min().min(), values[["truth", "prediction"]].max().max()]
    with_bars = bool(ends) and len(drawn) <= MOST_INTERVALS
    shown = "{:,.4g}".format
    figure = Figure(
        [
            Scatter(
                x=line, y=line, mode="lines", line={"color": COLOURS["guide"], "dash": "dot"}, name="exact",
                hoverinfo="skip",
            ),
            Scatter(
                x=values["truth"],
                y=values["prediction"],
                error_y=_bars(values) if with_bars else None,
                mode="markers",
                marker={"color": COLOURS["test"], "opacity": 0.7},
                customdata=np.column_stack([drawn["row"].map(str), *(values[end].map(shown) for end in ends)]),
                hovertemplate="row %{customdata[0]}<br>true %{x:,.4~g}<br>predicted %{y:,.4~g}"
                + ("<br>interval %{customdata[1]} to %{customdata[2]}" if ends else "")
                + "<extra></extra>",
                name="prediction with its interval" if with_bars else "prediction",
            ),
        ]
    )  # fmt: skip
    figure.update_xaxes(title_text=f"true {name}").update_yaxes(title_text=f"predicted {name}")
    some = f"{len(drawn):,} of " if len(drawn) < len(test_predictions) else ""
    return finish(figure.update_layout(height=520), TITLE, source, f"{some}{len(test_predictions):,} test rows")


def _bars(values: pd.DataFrame) -> dict[str, object]:
    """Give the settings of the bars from the low to the high end of each interval."""
    up, down = values["high"] - values["prediction"], values["prediction"] - values["low"]
    look = {"color": faint(COLOURS["test"], 0.45), "thickness": 1.5, "width": 0}
    return {"type": "data", "symmetric": False, "array": up, "arrayminus": down, **look}


def _plot_labels(test_predictions: pd.DataFrame, source: str, target: str) -> Figure:
    """Draw how many rows of each label are predicted to have which, with the share of the row."""
    truths, predicted = texts(test_predictions, "truth"), texts(test_predictions, "prediction")
    known = known_labels(test_predictions)
    labels = [*known, *natural_order({*truths, *predicted} - {*known})]
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    places = [pd.Index(labels).get_indexer(pd.Index(each)) for each in (truths, predicted)]
    np.add.at(counts, tuple(places), 1)
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(1, keepdims=True)
    named = np.array([escaped(label) for label in labels], dtype=object)
    pairs = np.broadcast_arrays(named[:, None], named[None], counts.astype(object))
    figure = Figure(
        Heatmap(
            x=list(range(len(labels))),
            y=list(range(len(labels))),
            z=np.where(counts > 0, shares, np.nan),  # an empty cell has no colour
            zmin=0,
            zmax=1,
            text=_texts_of_cells(counts, shares),
            texttemplate="%{text}" if len(labels) <= COUNTS_UP_TO else None,
            customdata=np.stack(pairs, axis=-1),
            hovertemplate="true %{customdata[0]}<br>predicted %{customdata[1]}<br>%{customdata[2]} rows, %{z:.1%} of "
            "the true<extra></extra>",
            colorscale=SHARES,
            showscale=False,
            hoverongaps=False,
            **{"xgap": 1, "ygap": 1} if len(labels) <= COUNTS_UP_TO else {},
        )
    )
    name = axis_title(target)
    figure.update_xaxes(title_text=f"predicted {name}", **label_axis(labels))
    figure.update_yaxes(title_text=f"true {name}", **label_axis(labels, downwards=True))
    figure.update_xaxes(showgrid=False).update_yaxes(showgrid=False)
    figure.update_layout(height=int(np.clip(220 + 40 * len(labels), 380, 760)))
    right = counts.trace() / counts.sum()
    note = f"{len(test_predictions):,} test rows, {right:.1%} right; colour and % are the share of the true label"
    return finish(figure, TITLE, source, note)


def _texts_of_cells(counts: np.ndarray, shares: np.ndarray) -> list[list[str]]:
    """Write the count of each cell, and its share where there is room; nothing in empty cells."""
    template = "{}<br>{:.0%}" if len(counts) <= SHARES_UP_TO else "{}"
    return [
        [template.format(count, share) if count else "" for count, share in zip(*row, strict=True)]
        for row in zip(counts.tolist(), shares.tolist(), strict=True)
    ]
