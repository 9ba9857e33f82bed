"""The common style of all figures."""

from collections.abc import Mapping
from typing import Any

from plotly.graph_objects import Figure

COLOURS = {"train": "#4c78a8", "valid": "#f58518", "test": "#54a24b", "guide": "#9d9da1"}


def faint(colour: str) -> str:
    """Make a colour translucent, for an area behind a line.

    >>> faint("#4c78a8")
    'rgba(76, 120, 168, 0.25)'
    """
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return f"rgba({red}, {green}, {blue}, 0.25)"


def source_of(metrics: Mapping[str, Any]) -> str:
    """Name the source of the rows, and the column that says how much each of them counts, if there is one.

    >>> source_of({"data": "houses.csv", "weight": "sales"})
    "houses.csv, rows weighted by 'sales'"
    """
    weight = metrics.get("weight")
    return str(metrics["data"]) if weight is None else f"{metrics['data']}, rows weighted by '{weight}'"


def finish(figure: Figure, title: str, source: str) -> Figure:
    """Give a figure its title, with the source of the rows under it."""
    return figure.update_layout(
        template="plotly_white",
        title={"text": f"{title}<br><sub>data: {source}</sub>"},
        legend={"orientation": "h", "y": -0.2},
        margin={"t": 80, "r": 30},
    )
