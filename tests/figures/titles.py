"""The title of a figure with its notes, as a reader sees it."""

import re
from typing import Any

from plotly.graph_objects import Figure


def title_of(figure: Figure | dict[str, Any]) -> str:
    """Join the lines of the title of a figure or of its JSON, without tags."""
    text = figure["layout"]["title"]["text"]
    return re.sub(r"<[^>]*>", "", text.replace("<br>", " ")).replace("\N{NO-BREAK SPACE}", " ")
