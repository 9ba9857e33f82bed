"""The common style of all figures.

The colours are those of Okabe and Ito ("Color Universal Design", 2008), which colour-blind readers can tell apart. A
figure has no background and no colour of text of its own, so the page that shows it gives both, light or dark.
A figure reads well from 390 pixels of width on: several panels stand in rows (`panels`), titles are short.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from plotly.graph_objects import Figure
from plotly.subplots import make_subplots

COLOURS = {"train": "#0072B2", "valid": "#E69F00", "test": "#009E73", "guide": "#8C8C8C"}
SEQUENCE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9")  # black and yellow vanish on some pages
GRID = "rgba(128,128,128,0.25)"
ZERO = "rgba(128,128,128,0.5)"
SHARES = ((0.0, "#E3EEF6"), (0.5, "#56A0D3"), (1.0, "#00456C"))  # a scale of cells; white or black text reads on it
CLEAR = "rgba(0,0,0,0)"
SMALL = "font-size:12px"
TITLE_WIDTH, NOTE_WIDTH = 42, 54  # letters in a line, of which 390 pixels hold so many
LONGEST = 24  # letters of a label on an axis
MOST_TICKS = 30  # labels on an axis
AXIS = re.compile(r"[xy]axis\d*$")
LINE = 21  # pixels of a line of a title, the first of which Plotly puts in the middle of the margin
TITLE_HEIGHT, BELOW_PANEL = 26, 64  # pixels of a panel's title, and of the labels and the title of its x axis


def colour_of(place: int) -> str:
    """Give the colour of the member, level or line at a place; after six, the colours begin again.

    >>> colour_of(0) == colour_of(6)
    True
    """
    return SEQUENCE[place % len(SEQUENCE)]


def faint(colour: str, share: float = 0.25) -> str:
    """Make a colour translucent, for an area behind a line; `share` is how much of it is left.

    >>> faint("#0072B2")
    'rgba(0, 114, 178, 0.25)'
    """
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return f"rgba({red}, {green}, {blue}, {share:g})"


def escaped(text: object) -> str:
    """Write a name or a level so that Plotly shows it as it was typed, in labels, titles, legends and hover.

    Plotly reads some tags of HTML, entities, `%{...}` and, beside MathJax, formulas between dollars.

    >>> escaped("<b>R&D</b>")
    '&lt;b&gt;R&amp;D&lt;/b&gt;'
    """
    shown = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return shown.replace("%{", "%&#123;").replace("$", "&#36;")


def shortened(text: object, longest: int = LONGEST) -> str:
    """Cut a long label, and escape it; the full text belongs into the hover.

    >>> shortened("Principal Data Architect <EU>", 12)
    'Principal D…'
    """
    told = str(text)
    return escaped(told if len(told) <= longest else f"{told[: longest - 1]}…")


def axis_title(column: object, unit: str | None = None) -> str:
    """Name a column on an axis, with its unit.

    >>> axis_title("salary_in_usd", "USD")
    'salary_in_usd (USD)'
    """
    return shortened(column, 40) + (f" ({escaped(unit)})" if unit else "")


def label_axis(labels: Sequence[object], longest: int = LONGEST, downwards: bool = False) -> dict[str, Any]:
    """Return the settings of an axis whose whole numbers from 0 on stand for `labels`, in this order.

    Labels of any text keep places of their own, also where they begin with the same letters. Of more than 30, an
    evenly spaced selection is named. `downwards` puts the first label of a vertical axis on top.
    """
    ends = [-0.5, len(labels) - 0.5]
    step = -(-len(labels) // MOST_TICKS) or 1
    named = range(0, len(labels), step)
    return {
        "type": "linear",
        "tickmode": "array",
        "tickvals": list(named),
        "ticktext": [shortened(labels[place], longest) for place in named],
        "range": ends[::-1] if downwards else ends,
        "zeroline": False,
    }


def source_of(metrics: Mapping[str, Any]) -> str:
    """Name the source of the rows, and the column that says how much each of them counts, if there is one.

    >>> source_of({"data": "houses.csv", "weight": "sales"})
    "houses.csv, rows weighted by 'sales'"
    """
    weight = metrics.get("weight")
    return str(metrics["data"]) if weight is None else f"{metrics['data']}, rows weighted by '{weight}'"


def panels(
    titles: Sequence[str], height: int | Sequence[int] = 240, below: int | Sequence[int] = BELOW_PANEL
) -> Figure:
    """Make a figure with a panel for each of `titles` (plain text, shown as it is), one below the other.

    `height` is that of the panels in pixels, or of each of them, without the title above and the labels below, for
    which `below` leaves room. Traces go to `row` from 1 on and `col` 1, as in `make_subplots`.
    """
    count = len(titles)
    heights, rooms = ([each] * count if isinstance(each, int) else each for each in (height, below))
    tops = [TITLE_HEIGHT * (row + 1) + sum(heights[:row]) + sum(rooms[:row]) for row in range(count)]
    inner = tops[-1] + heights[-1]
    figure = make_subplots(rows=count, cols=1)
    layout: dict[str, Any] = {"height": inner + 160, "annotations": []}
    for row, (title, top, pixels) in enumerate(zip(titles, tops, heights, strict=True), start=1):
        ends = [max(0.0, 1 - (top + pixels) / inner), 1 - top / inner]
        layout[f"yaxis{row if row > 1 else ''}"] = {"domain": ends}
        place = {"x": 0, "xref": "paper", "xanchor": "left", "y": ends[1], "yref": "paper", "yanchor": "bottom"}
        layout["annotations"].append({"text": shortened(title, 48), "showarrow": False, "font": {"size": 14}, **place})
    return figure.update_layout(layout)


def source_unweighted(metrics: Mapping[str, Any]) -> str:
    """Name the source of the rows where each of them counts once, and say so if metrics weigh them.

    >>> source_unweighted({"data": "houses.csv", "weight": "sales"})
    'houses.csv, each row counted once'
    """
    return f"{metrics['data']}, each row counted once" if "weight" in metrics else str(metrics["data"])


def finish(figure: Figure, title: str, source: str, note: str = "") -> Figure:
    """Give a figure its title, a note and the source of the rows under it, and the common look.

    `title` and `note` are ready for Plotly: names in them are escaped. `source` is plain text. Lines are broken where
    a narrow screen ends. The legend stands below everything, and margins grow with what stands in them.
    """
    lines = textwrap.wrap(title, TITLE_WIDTH, break_long_words=False)
    told = "; ".join([note] * bool(note) + [f"data:\N{NO-BREAK SPACE}{escaped(source)}"] * bool(source))
    notes = textwrap.wrap(told, NOTE_WIDTH, break_long_words=False)
    small = [f'<span style="{SMALL}">{line}</span>' for line in notes]
    look = {"gridcolor": GRID, "zerolinecolor": ZERO, "automargin": True, "title": {"standoff": 12}}
    layout = figure.layout.to_plotly_json()  # Plotly takes ten times as long to change its own objects one by one
    for axis in ("xaxis", "yaxis", *filter(AXIS.match, list(layout))):
        _put(layout.setdefault(axis, {}), look)
    _put(
        layout,
        {
            "paper_bgcolor": CLEAR,
            "plot_bgcolor": CLEAR,
            "title": {"text": "<br>".join([*lines, *small]), "x": 0, "pad": {"l": 16}, "font": {"size": 16}},
            "legend": {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "bgcolor": CLEAR},
            "margin": {"t": max(16, 2 * LINE * (len(lines) + len(small)) - 10), "r": 16, "l": 16, "b": 24},
            "hovermode": "closest",
        },
    )
    automargin = {"automargin": True}
    layout["template"] = {
        "layout": {"colorway": SEQUENCE, "xaxis": automargin, "yaxis": automargin}
    }  # not Plotly's own
    figure.layout = layout
    return figure


def _put(settings: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Change some of nested settings, and leave the others."""
    for name, value in changes.items():
        if isinstance(value, Mapping):
            _put(settings.setdefault(name, {}), value)
        else:
            settings[name] = value


def words(text: str, title: str = "", source: str = "") -> Figure:
    """Make a figure that says in a sentence, which is plain text, why there is nothing to draw; it has no axes."""
    lines = [escaped(line) for line in textwrap.wrap(text, TITLE_WIDTH)]
    figure = finish(Figure(), title, source).update_layout(height=200, meta={"words": text})
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False, "font": {"size": 14}}
    return figure.add_annotation(text="<br>".join(lines), **place)


def is_words(figure: Figure | Mapping[str, Any]) -> bool:
    """Tell whether a figure, or its JSON, holds a sentence instead of a drawing; `layout.meta.words` is the sentence.

    >>> is_words(words("Nothing was searched."))
    True
    """
    content = figure.to_plotly_json() if isinstance(figure, Figure) else figure
    meta = content.get("layout", {}).get("meta")
    return isinstance(meta, Mapping) and "words" in meta
