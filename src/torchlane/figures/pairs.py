"""The strongest numeric features against each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Scatter
from plotly.subplots import make_subplots

from torchlane.core.rows.levels import natural_order
from torchlane.figures.style import COLOURS, SEQUENCE, axis_title, colour_of, escaped, finish, shortened, words
from torchlane.figures.told import evenly

TITLE = "Pairs of the strongest features"
MOST_FEATURES, MOST_ROWS, MOST_LABELS = 4, 500, len(SEQUENCE)
FEW = 10  # distinct numbers, whose points are set a little apart
NONE = "There are no two features that are numbers, so no pair can be drawn."


def plot_pairs(
    clean_rows: pd.DataFrame, features: Sequence[tuple[str, str | None]], target: str, source: str
) -> Figure:
    """Draw each pair of the first four of `features`, a point per row in the colour of its target.

    `clean_rows` has the columns `row`, of the features, which are numbers, and of the target, numbers or labels.
    `features` are names and units, the strongest first. At most 500 rows are drawn, at even distances. Of more than
    six labels, those with fewer rows are grey. Points of a feature with ten numbers or fewer would hide each other, so
    they stand a little apart; the hover has the numbers.
    """
    shown = [(name, unit) for name, unit in features if clean_rows[name].notna().any()][:MOST_FEATURES]
    if len(shown) < 2:
        return words(NONE, TITLE, source)
    rows, size = evenly(clean_rows, MOST_ROWS), len(shown) - 1
    figure = make_subplots(
        rows=size,
        cols=size,
        shared_xaxes="columns",
        shared_yaxes="rows",
        horizontal_spacing=0.03,
        vertical_spacing=0.03,
    )
    apart = {name: _apart(rows[name], seed) for seed, (name, _) in enumerate(shown)}
    numbers = rows[target].dtype.kind in "iuf"
    groups = [_by_value(rows, target, size)] if numbers else _by_label(rows, target)
    for down in range(size):
        for across in range(down + 1):
            (x, x_unit), (y, y_unit) = shown[across], shown[down + 1]
            where = {"row": down + 1, "col": across + 1}
            for group, look in groups:
                trace = Scatter(
                    x=apart[x][group], y=apart[y][group], mode="markers", customdata=_told(rows[group], x, y, target),
                    hovertemplate=f"row %{{customdata[0]}}<br>{escaped(x)} %{{customdata[1]}}<br>{escaped(y)} "
                    f"%{{customdata[2]}}<br>{escaped(target)} %{{customdata[3]}}<extra></extra>",
                    **{**look, "showlegend": look["showlegend"] and down == across == 0},
                )  # fmt: skip
                figure.add_trace(trace, **where)
            if down == size - 1:
                figure.update_xaxes(title_text=axis_title(x, x_unit), **where)
            if across == 0:
                figure.update_yaxes(title_text=axis_title(y, y_unit), **where)
        for across in range(down + 1, size):
            figure.update_xaxes(visible=False, row=down + 1, col=across + 1)
            figure.update_yaxes(visible=False, row=down + 1, col=across + 1)
    small = {"zeroline": False, "nticks": 4, "title_font_size": 11}
    figure.update_xaxes(small).update_yaxes(small)
    drawn = f"{len(rows):,} of " if len(rows) < len(clean_rows) else ""
    note = f"{drawn}{len(clean_rows):,} rows; colour: {shortened(target, 40)}"
    return finish(figure.update_layout(height=320 + 150 * size), TITLE, source, note)


def _by_value(rows: pd.DataFrame, target: str, size: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Colour by number, between the quantiles of 2 and 98 %; the bar of colours stands in the empty corner."""
    values = rows[target].to_numpy(np.float64)
    low, high = np.nanquantile(values, [0.02, 0.98])
    bar: dict[str, Any] = {"thickness": 10, "outlinewidth": 0, "nticks": 3}
    if size > 1:
        bar |= {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "top", "len": 0.45}
    marker = {
        "color": values, "cmin": low, "cmax": high, "colorscale": "Viridis", "size": 4, "colorbar": bar,
        "showscale": True,
    }  # fmt: skip
    return np.ones(len(rows), dtype=bool), {"marker": marker, "showlegend": False}


def _by_label(rows: pd.DataFrame, target: str) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Colour by label; the rarer ones behind the others."""
    told = rows[target].map(str).to_numpy(object)
    common = pd.Series(told).value_counts().index[:MOST_LABELS]
    groups = []
    if not {*told} <= {*common}:
        look = {"marker": {"color": COLOURS["guide"], "size": 4}, "name": "other labels", "showlegend": True}
        groups.append((~np.isin(told, list(common)), {**look, "legendgroup": "others"}))
    for place, label in enumerate(natural_order(common)):
        look = {"marker": {"color": colour_of(place), "size": 4, "opacity": 0.85}, "name": shortened(label)}
        groups.append((told == label, {**look, "legendgroup": f"label {place}", "showlegend": True}))
    return groups


def _apart(values: pd.Series, seed: int) -> np.ndarray:
    """Move the points of few distinct numbers aside by at most a quarter of the smallest gap, float64 (n_rows,)."""
    numbers = values.to_numpy(np.float64)
    distinct = np.unique(numbers[np.isfinite(numbers)])
    if not 1 < len(distinct) <= FEW:
        return numbers
    return numbers + np.diff(distinct).min() * np.random.default_rng(seed).uniform(-0.25, 0.25, len(numbers))


def _told(rows: pd.DataFrame, *columns: str) -> list[list[str]]:
    """Write the number of each row and its values."""
    written = [
        rows[name].map("{:.6g}".format) if rows[name].dtype.kind in "iuf" else rows[name].map(escaped)
        for name in columns
    ]
    return [list(each) for each in zip(rows["row"].map(str), *written, strict=True)]
