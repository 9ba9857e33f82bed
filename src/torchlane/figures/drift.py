"""The drift of scored files from the rows of train."""

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePath
from typing import Any

from plotly.graph_objects import Figure, Heatmap, Scatter

from torchlane.figures.style import SEQUENCE, escaped, finish, label_axis, panels, shortened, words

MOST_COLUMNS = 29  # those that drift most; with the predictions, each line has its label
MOST_NAMED = 8  # files named on the axis, which a narrow screen holds
MOST_MARKED = 60  # files with points and gaps between
LONGEST = 18  # letters of the name of a file
CELLS = ((0.0, "rgba(213,94,0,0.05)"), (1.0, "rgba(213,94,0,1)"))  # vermilion, which is strongest at the limit
CELL = 22  # pixels


def plot_drift(drift: dict[str, Any]) -> Figure:
    """Draw the stability index by file, oldest first: the largest of a column and that of the predictions; then cells.

    `drift` is the content of `drift.json`. The average index under chance is subtracted. Cells show the index of the
    predictions and of the columns that drift most; the darkest colour starts at the limit.
    """
    files, limit = drift["files"], drift["limits"]["max_psi"]
    title = "Drift of the files scored"
    if not files:
        return words("No file was scored yet.", title)
    names = list(dict.fromkeys(name for file in files for name in file["columns"]))
    columns = {name: [_excess(file["columns"].get(name)) for file in files] for name in names}
    predictions = [_excess(file.get("prediction")) for file in files]
    strongest = sorted(names, key=lambda name: -_largest(columns[name]))[:MOST_COLUMNS]
    figure = panels(["stability index beyond chance", "by column"], height=(200, CELL * (len(strongest) + 1)))
    _add_lines(figure, files, columns, predictions, limit)
    cells = [("predictions", predictions), *((str(name), columns[name]) for name in strongest)]
    _add_cells(figure, files, cells, limit)
    figure.update_xaxes(_file_axis([file["file"] for file in files]))
    figure.update_xaxes(showticklabels=False, row=1, col=1)
    most = f"; the {len(strongest)} of {len(names)} columns that drift most" if len(strongest) < len(names) else ""
    latest = f"the latest {len(files)} files, oldest first," if len(files) > 1 else "one file"
    finish(figure, title, "", f"{latest} against the rows of train{most}")
    return figure.update_layout(title={"xref": "container", "pad_l": 16})  # long names leave a panel little room


def _add_lines(
    figure: Figure,
    files: Sequence[dict[str, Any]],
    columns: dict[str, list[float | None]],
    predictions: list[float | None],
    limit: float,
) -> None:
    """Add the largest index of a column in each file, that of the predictions, and the limit."""
    places = list(range(len(files)))
    worst = [max(columns, key=lambda name: columns[name][place] or 0.0, default="") for place in places]
    largest = [columns[name][place] if name else None for place, name in zip(places, worst, strict=True)]
    named = [f"{escaped(file['file'])}<br>scored {file['ended']}" for file in files]
    told = [f"{file}<br>{escaped(name)}" for file, name in zip(named, worst, strict=True)]
    own = [f"{file}<br>predictions" for file in named]
    drawn = (("largest of a column", largest, told, SEQUENCE[0]), ("predictions", predictions, own, SEQUENCE[2]))
    for name, values, text, colour in drawn:
        line = Scatter(
            x=places,
            y=values,
            name=name,
            mode="lines+markers" if len(files) <= MOST_MARKED else "lines",
            line_color=colour,
            text=text,
            hovertemplate="%{text}: %{y:.3f}<extra></extra>",
        )
        figure.add_trace(line, row=1, col=1)
    ends = [-0.5, len(files) - 0.5]
    dots = {"color": SEQUENCE[3], "dash": "dot", "width": 1.5}
    mark = Scatter(x=ends, y=[limit, limit], mode="lines", name=f"limit {limit:g}", line=dots, hoverinfo="skip")
    figure.add_trace(mark, row=1, col=1)
    figure.update_yaxes(rangemode="tozero", row=1, col=1)


def _add_cells(
    figure: Figure, files: Sequence[dict[str, Any]], cells: Sequence[tuple[str, list[float | None]]], limit: float
) -> None:
    """Add a cell for each column in each file."""
    heat = Heatmap(
        x=list(range(len(files))),
        y=list(range(len(cells))),
        z=[values for _, values in cells],
        zmin=0,
        zmax=limit,
        colorscale=CELLS,
        showscale=False,
        customdata=[[f"{escaped(file['file'])}<br>{escaped(name)}" for file in files] for name, _ in cells],
        hovertemplate="%{customdata}: %{z:.3f}<extra></extra>",
        xgap=1 if len(files) <= MOST_MARKED else 0,
        ygap=1,
    )
    figure.add_trace(heat, row=2, col=1)
    figure.update_yaxes(label_axis([name for name, _ in cells], LONGEST, downwards=True), row=2, col=1)


def _file_axis(names: Sequence[str]) -> dict[str, Any]:
    """Return the settings of an axis of files, of which a few are named, without the end that all names share."""
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*(name[::-1] for name in names), strict=False))
    end = "".join(letters[0] for letters in alike)[::-1] if len(names) > 1 else PurePath(names[0]).suffix
    shared = re.search(r"[\W_].*", end)
    short = [name.removesuffix(shared[0]) if shared else name for name in names]
    named = range(0, len(names), -(-len(names) // MOST_NAMED))
    axis = label_axis(short, LONGEST)
    return {**axis, "tickvals": list(named), "ticktext": [shortened(short[place], LONGEST) for place in named]}


def _largest(values: Sequence[float | None]) -> float:
    return max(value or 0.0 for value in values)


def _excess(measured: dict[str, float] | None) -> float | None:
    return None if measured is None else round(max(0.0, measured["psi"] - measured["chance"]), 4)
