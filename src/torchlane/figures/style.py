"""How all figures look."""

from plotly.graph_objects import Figure

COLOURS = {"train": "#4c78a8", "valid": "#f58518", "test": "#54a24b", "guide": "#9d9da1"}


def finish(figure: Figure, title: str, source: str) -> Figure:
    """Give a figure its title, with the source of the rows under it."""
    return figure.update_layout(
        template="plotly_white",
        title={"text": f"{title}<br><sub>data: {source}</sub>"},
        legend={"orientation": "h", "y": -0.2},
        margin={"t": 80, "r": 30},
    )
