"""The title of a figure with its notes, as a reader sees it."""

import re

from plotly.graph_objects import Figure


def title_of(figure: Figure) -> str:
    """Join the lines of a title, without tags."""
    return re.sub(r"<[^>]*>", "", figure.layout.title.text.replace("<br>", " "))
