"""Finished runs of a use case beside each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from plotly.graph_objects import Figure, Scatter

from torchlane.figures.style import COLOURS, escaped, finish, panels, shortened, words

SYMBOLS = {"valid": "circle-open", "test": "circle"}


def plot_runs(runs: Sequence[Mapping[str, Any]], differing: Sequence[Mapping[str, str]], use_case: str) -> Figure:
    """Draw the primary metric of each run on valid and test, and the seconds that it took, in the order of time.

    `runs` are lines of `runs.jsonl`; `differing` says of each, for the hover, what is not the same in all of them.
    """
    if not runs:
        return words(f"No run of {use_case} has finished yet.", "Runs")
    metric = str(runs[-1]["primary_metric"])
    alike = [number for number, run in enumerate(runs) if run.get("primary_metric") == metric]
    figure = panels([metric, "seconds"])
    hover = [_hover(runs[number], differing[number]) for number in alike]
    numbers = [number + 1 for number in alike]
    for part, symbol in SYMBOLS.items():
        scores = [runs[number].get("metrics", {}).get(part, {}).get(metric) for number in alike]
        if any(score is not None for score in scores):
            _add(figure, 1, numbers, scores, hover, name=part, colour=COLOURS[part], symbol=symbol)
    seconds = [runs[number].get("seconds") for number in alike]
    _add(figure, 2, numbers, seconds, hover, name="", colour=COLOURS["guide"], symbol="circle")
    figure.update_xaxes(title_text="run", rangemode="normal")
    last = max(numbers)
    figure.update_xaxes(range=[0.5, last + 0.5], dtick=max(1, last // 10))
    return finish(figure, f"Runs of {escaped(use_case)}", "")


def _add(
    figure: Figure, row: int, numbers: Sequence[int], values: Sequence[Any], hover: Sequence[str],
    *, name: str, colour: str, symbol: str,
) -> None:  # fmt: skip
    points = Scatter(
        x=list(numbers),
        y=list(values),
        name=name,
        mode="lines+markers",
        line={"color": colour, "width": 1},
        marker={"symbol": symbol, "size": 9},
        text=list(hover),
        hovertemplate="%{y:,.4~g}<br>%{text}<extra></extra>",
        showlegend=bool(name),
    )
    figure.add_trace(points, row=row, col=1)


def _hover(run: Mapping[str, Any], differing: Mapping[str, str]) -> str:
    said = [f"{escaped(name)}: {shortened(value, 40)}" for name, value in differing.items()]
    return "<br>".join([escaped(str(run["when"])[:16].replace("T", " ")), *said])
