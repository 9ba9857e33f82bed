"""How predictions change with one feature."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import pandas as pd
from plotly.graph_objects import Figure, Scatter

from torchlane.figures.style import axis_title, colour_of, escaped, faint, finish, label_axis, panels, words

LONGEST = 9  # letters of a level on the axis
SMALL, MANY = 10, 8  # size of the letters if there are more levels
FEW = 8  # values that are marked
APART, SHARE = 0.12, 0.03  # between the points of two labels at one level, at most, and as a share of the axis
ROOM = 0.06  # of the range, above and below


def plot_partial_dependence(
    partial_dependence: pd.DataFrame,
    source: str,
    target: str,
    units: Mapping[str, str | None],
    levels: Mapping[str, Sequence[object]] = MappingProxyType({}),
    reason: str | None = None,
) -> Figure:
    """Draw the mean prediction if all rows had a value of a feature; a panel per feature, all on one scale.

    `partial_dependence` has lines with `feature`, `kind`, `label` (empty for a target of numbers), `value`,
    `prediction` and the ends `low` and `high` over members. Numbers are lines with a band; levels are points. `units`
    are those of columns, and `levels` the orders of levels that the user gave; others stand in the order of the table.
    The table is empty for a `reason`, a clause that the figure then says.
    """
    asked = axis_title(target, units.get(target))
    title = f"How {asked} changes with each column"
    if partial_dependence.empty:
        return words(f"No dependence was measured{f', since {reason}' if reason else ''}.", title, source)
    lines = partial_dependence.assign(label=partial_dependence["label"].fillna("").map(str))
    labels = list(dict.fromkeys(lines["label"]))
    features = list(dict.fromkeys(lines["feature"]))
    figure = panels([f"{name} ({units[name]})" if units.get(name) else str(name) for name in features], height=170)
    for row, feature in enumerate(features, start=1):
        of_feature = _in_order(lines[lines["feature"] == feature], levels.get(feature, ()))
        numbers = of_feature["kind"].iloc[0] in ("number", "date")
        for place, label in enumerate(labels):
            of_label = of_feature[of_feature["label"] == label]
            add = _add_line if numbers else _add_points
            add(figure, row, of_label, label, place, len(labels))
    low, high = lines["low"].min(), lines["high"].max()
    room = ROOM * (high - low) or 1.0
    shares = labels != [""]
    figure.update_yaxes(range=[low - room, high + room], tickformat=".0%" if shares else "~s")
    of_labels = f"the {len(labels)} commonest labels" if len(labels) > 1 else escaped(labels[0])
    told = f"mean probability of {of_labels}" if shares else "mean prediction"
    return finish(figure, title, source, f"{told} if every row had this value; bands and bars reach over the members")


def _in_order(lines: pd.DataFrame, levels: Sequence[object]) -> pd.DataFrame:
    """Sort the lines of a feature by the given order of its levels; others stay behind them, in their order."""
    places = {str(level): place for place, level in enumerate(levels)}
    return lines.iloc[lines["value"].map(lambda value: places.get(str(value), len(places))).argsort(kind="stable")]


def _add_line(figure: Figure, row: int, lines: pd.DataFrame, label: str, place: int, n_labels: int) -> None:
    """Add a line of a label over a feature of numbers or dates, and the band over members."""
    numbers = lines["kind"].iloc[0] == "number"
    values = pd.to_numeric(lines["value"]) if numbers else pd.to_datetime(lines["value"])
    band = {"x": values, "mode": "lines", "line_width": 0, "hoverinfo": "skip", "showlegend": False}
    if (lines["high"] > lines["low"]).any():
        figure.add_trace(Scatter(y=lines["low"], **band, legendgroup=label), row=row, col=1)
        high = Scatter(y=lines["high"], fill="tonexty", fillcolor=faint(colour_of(place)), **band, legendgroup=label)
        figure.add_trace(high, row=row, col=1)
    few = len(values) <= FEW
    line = _trace(values, lines, label, place, n_labels, row).update(mode="lines+markers" if few else "lines")
    figure.add_trace(line, row=row, col=1)
    if numbers and (pd.to_numeric(lines["value"]) % 1 == 0).all():
        wholes = pd.to_numeric(lines["value"])
        few_wholes = {"dtick": 1} if wholes.max() - wholes.min() <= FEW else {}
        figure.update_xaxes(tickformat="d", **few_wholes, row=row, col=1)


def _add_points(figure: Figure, row: int, lines: pd.DataFrame, label: str, place: int, n_labels: int) -> None:
    """Add a point of a label at each level of a feature, with the range over members."""
    levels = lines["value"].map(str).tolist()
    beside = min(APART, SHARE * len(levels)) * (place - (n_labels - 1) / 2)
    points = _trace([number + beside for number in range(len(levels))], lines, label, place, n_labels, row)
    above, below = lines["high"] - lines["prediction"], lines["prediction"] - lines["low"]
    errors = {"type": "data", "array": above, "arrayminus": below, "thickness": 1.5, "width": 3}
    points.update(mode="markers", marker_size=8, error_y=errors if (above + below > 0).any() else None)
    figure.add_trace(points, row=row, col=1)
    font = {"tickfont_size": SMALL, "tickangle": 90} if len(levels) > MANY else {}  # all labels, as Plotly omits some
    figure.update_xaxes(**label_axis(levels, LONGEST), **font, row=row, col=1)


def _trace(values: "pd.Series | list[float]", lines: pd.DataFrame, label: str, place: int, n: int, row: int) -> Scatter:
    shown = "%{y:.1%}" if label else "%{y:,.4~g}"
    return Scatter(
        x=values,
        y=lines["prediction"],
        name=escaped(label),
        legendgroup=label,
        showlegend=n > 1 and row == 1,
        line_color=colour_of(place),
        marker_color=colour_of(place),
        hovertext=[f"{escaped(value)}{f', {escaped(label)}' if label else ''}" for value in lines["value"]],
        hovertemplate=f"%{{hovertext}}: {shown}<extra></extra>",
    )
