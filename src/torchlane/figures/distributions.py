"""How target and features are distributed in each part."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from plotly.graph_objects import Bar, Figure, Scatter

from torchlane.figures.style import COLOURS, escaped, finish, label_axis, panels, words

TITLE = "Distributions by part"
MOST_PANELS = 12
LONGEST, NARROW = 10, 40  # letters of a label, and of all labels in a line on a narrow screen
SMALL = 10  # size of the letters of labels that are turned
PARTS = ("train", "valid", "test")


def plot_distributions(data_summary: Mapping[str, Any], target: str, strongest: Sequence[str], source: str) -> Figure:
    """Draw the share of rows in each bin of a number and of each level, for every part: the target, then the features.

    `data_summary` is the content of `data_summary.json`. At most 12 panels are drawn, of the features in the order
    of `strongest` and then in that of the table.
    """
    known = data_summary.get("distributions") or {}
    order = dict.fromkeys([target, *strongest, *known])
    columns = [name for name in order if name in known][:MOST_PANELS]
    if not columns:
        return words("There is no column of numbers or levels whose distribution can be drawn.", TITLE, source)
    rooms = [_room_below(known[name]) for name in columns]
    figure = panels(columns, height=130, below=rooms)
    for row, name in enumerate(columns, start=1):
        is_level, unit = _is_level(known[name]), known[name].get("unit")
        traces = _levels(known[name]) if is_level else _numbers(known[name])
        for trace in traces:
            figure.add_trace(trace.update(showlegend=row == 1), row=row, col=1)
        if is_level:
            turned = {"tickangle": 90, "tickfont_size": SMALL} if _is_turned(known[name]) else {"tickangle": 0}
            figure.update_xaxes(**label_axis(_labels(known[name]), LONGEST), **turned, row=row)  # or Plotly omits some
        elif known[name].get("kind") == "date":
            figure.update_xaxes(type="date", row=row)
        figure.update_xaxes(title_text=escaped(unit) if unit else None, zeroline=False, row=row)
        figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=4, row=row)
    left_out = len([name for name in order if name in known]) - len(columns)
    note = "share of the rows of each part" + (f"; {left_out} weaker columns are left out" if left_out else "")
    return finish(figure.update_layout(barmode="group", bargap=0.2), TITLE, source, note)


def _room_below(known: Mapping[str, Any]) -> int:
    """Give the pixels that the labels of an axis take: they turn if many or long ones stand beside each other."""
    if not _is_level(known):
        return 56 if known.get("unit") else 34
    return 24 + 7 * max(_letters(known)) if _is_turned(known) else 34


def _is_turned(known: Mapping[str, Any]) -> bool:
    letters = _letters(known)
    return sum(letters) + 2 * len(letters) > NARROW


def _letters(known: Mapping[str, Any]) -> list[int]:
    return [min(len(label), LONGEST) for label in _labels(known)]


def _is_level(known: Mapping[str, Any]) -> bool:
    """Whether values are drawn as levels, as a number is that is the same in all rows."""
    return "levels" in known or known["edges"][0] == known["edges"][-1]


def _labels(known: Mapping[str, Any]) -> list[str]:
    """Name the levels, and the rest together if there are further ones."""
    levels = [str(level) for level in known.get("levels", known.get("edges", [])[:1])]
    return [*levels, f"{known['others']:,} others"] if known.get("others") else levels


def _levels(known: Mapping[str, Any]) -> list[Bar]:
    labels = [escaped(label) for label in _labels(known)]
    return [
        Bar(
            x=list(range(len(shares))),
            y=shares,
            customdata=labels,
            hovertemplate=f"%{{customdata}}<br>%{{y:.1%}} of {part}<extra></extra>",
            marker_color=COLOURS[part],
            name=part,
            legendgroup=part,
        )
        for part, shares in _parts(known).items()
    ]


def _numbers(known: Mapping[str, Any]) -> list[Scatter]:
    """Draw the shares as steps over the bins, so that parts can be seen through each other."""
    edges, traces = known["edges"], []
    for part, shares in _parts(known).items():
        told = [f"{_edge(low)} to {_edge(high)}" for low, high in pairwise(edges)]
        trace = Scatter(
            x=edges,
            y=[*shares, shares[-1]],
            mode="lines",
            line={"color": COLOURS[part], "shape": "hv"},
            customdata=[*told, told[-1]],
            hovertemplate=f"%{{customdata}}<br>%{{y:.1%}} of {part}<extra></extra>",
            name=part,
            legendgroup=part,
        )
        traces.append(trace)
    return traces


def _edge(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, (int, float)) else str(value)


def _parts(known: Mapping[str, Any]) -> dict[str, Sequence[float]]:
    """Give the shares of each part that has rows."""
    parts = known["parts"]
    return {part: parts[part] for part in PARTS if part in parts and np.nansum(np.array(parts[part], float)) > 0}
