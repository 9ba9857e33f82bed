"""Bars under their names, which leaves the whole width of a narrow screen to the bars."""

from collections.abc import Sequence

from plotly.graph_objects import Bar, Figure, Scatter

from torchlane.figures.style import SEQUENCE, escaped, shortened

LONGEST = 40  # letters of a name
WIDTH, ABOVE = 0.42, 0.42  # of a bar, and from its middle to its name; bars are 1 apart
HEIGHT = 40  # pixels of a bar and its name


def add_bars(figure: Figure, row: int, names: Sequence[str], values: Sequence[float], shown: Sequence[str]) -> None:
    """Add a horizontal bar per name, the first on top; `shown` is the text on hovering a bar, after its name."""
    places = list(range(len(names)))
    hover = [f"{escaped(name)}: {text}" for name, text in zip(names, shown, strict=True)]
    bars = Bar(
        x=list(values),
        y=places,
        orientation="h",
        width=WIDTH,
        marker_color=SEQUENCE[0],
        showlegend=False,
        hovertext=hover,
        hovertemplate="%{hovertext}<extra></extra>",
    )
    labels = Scatter(
        x=[0] * len(names),
        y=[place - ABOVE for place in places],
        mode="text",
        text=[shortened(name, LONGEST) for name in names],
        textposition="middle right",
        cliponaxis=False,
        showlegend=False,
        hoverinfo="skip",
    )
    figure.add_trace(bars, row=row, col=1)
    figure.add_trace(labels, row=row, col=1)
    settings = {"range": [len(names) - 0.5, -0.95], "showticklabels": False, "showgrid": False, "zeroline": False}
    figure.update_yaxes(settings, row=row, col=1)
    figure.update_xaxes(zeroline=True, row=row, col=1)
