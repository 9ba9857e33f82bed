"""Figures as Kedro-Viz can show them: it sets margins and a height of its own, whatever a figure asks for."""

import math
from collections.abc import Mapping
from typing import Any

MOST_IN_A_COLUMN = 3  # panels that can be read below each other in its window
BESIDE, BELOW, ABOVE = 0.05, 0.16, 0.06  # gaps of the paper: between columns, between rows, and under the title


def fit_into_viz(figure: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON of a figure with a title of two lines, and with panels side by side if there are many.

    Kedro-Viz leaves 64 pixels for a title and about 480 for the panels, so that longer titles would stand on the
    drawing, and more panels on each other.
    """
    layout = dict(figure.get("layout", {}))
    if isinstance(layout.get("title"), Mapping):
        layout["title"] = {**layout["title"], "text": _in_two_lines(str(layout["title"].get("text") or ""))}
    for name in [each for each in layout if each.startswith(("xaxis", "yaxis"))]:
        if layout[name].get("showticklabels") is False:  # which Kedro-Viz turns on again
            layout[name] = {**layout[name], "tickmode": "array", "tickvals": [], "ticktext": []}
    return {**figure, "layout": _arranged(layout)}


def _in_two_lines(title: str) -> str:
    """Join the lines of the title, and those of the notes under it, which stand in tags of their own."""
    lines = title.split("<br>")
    notes = [line for line in lines if line.startswith("<span")]
    heading = " ".join(line for line in lines if line not in notes)
    if not notes:
        return heading
    opening = notes[0][: notes[0].index(">") + 1]
    told = " ".join(note.partition(">")[2].removesuffix("</span>") for note in notes)
    return f"{heading}<br>{opening}{told}</span>"


def _arranged(layout: dict[str, Any]) -> dict[str, Any]:
    """Put panels that stand below each other into columns, and leave room under the title for theirs."""
    names = sorted((name for name in layout if name.startswith("yaxis")), key=lambda name: int(name[5:] or 1))
    tops = {name: layout[name].get("domain", (0, 1))[1] for name in names}
    titles = {note.get("y"): note for note in layout.get("annotations", []) if _is_panel_title(note)}
    if not names or any(top not in titles for top in tops.values()):
        return layout
    n_rows = min(len(names), MOST_IN_A_COLUMN)
    n_columns = math.ceil(len(names) / n_rows)
    width = (1 - BESIDE * (n_columns - 1)) / n_columns
    height = (1 - ABOVE - BELOW * (n_rows - 1)) / n_rows
    moved = {}
    for place, name in enumerate(names):
        row, column = divmod(place, n_columns)
        left, top = column * (width + BESIDE), 1 - ABOVE - row * (height + BELOW)
        across = name.replace("y", "x", 1)
        layout[name] = {**layout[name], "domain": [max(0.0, top - height), top]}
        layout[across] = {**layout.get(across, {}), "domain": [left, min(1.0, left + width)]}
        moved[id(titles[tops[name]])] = {"x": left, "y": top}
    layout["annotations"] = [{**note, **moved.get(id(note), {})} for note in layout["annotations"]]
    return layout


def _is_panel_title(note: Mapping[str, Any]) -> bool:
    return (note.get("xref"), note.get("yref"), note.get("yanchor"), note.get("x")) == ("paper", "paper", "bottom", 0)
