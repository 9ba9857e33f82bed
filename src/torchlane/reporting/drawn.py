"""Figures as a page holds them: plain JSON of few digits and points, with what each shows in words."""

import base64
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from torchlane.reporting.facts.wording import in_words

DIGITS = 8  # of a number in a figure; a screen shows four, also of numbers that differ in the last ones only
MOST_BYTES = 60_000  # of a figure's JSON; larger ones show fewer of their points
MOST_BYTES_TOGETHER = 1_200_000  # of all figures; the library that draws them takes 0.7 million of a page
TOO_LARGE = "This figure is too large for a page. kedro viz run shows it."
FEWEST_POINTS = 200  # that are not thinned further
PANEL_PIXELS = 260  # a panel that stands beside others is no narrower
SECTIONS: dict[str, tuple[str, str, str]] = {  # of figures by name: section, heading if it has no title, how to read it
    "distributions": ("rows", "What the values are", "The parts should look alike: train is learned, test is judged."),
    "pairs": ("rows", "Features in pairs", "The strongest features against each other, coloured by the target."),
    "augmentation": ("rows", "Images as the network sees them", "Images are distorted at random in every epoch."),
    "predictions": ("scores", "Truth and prediction", "The nearer to the diagonal, the better."),
    "roc": ("scores", "ROC curve", "The further above the diagonal, the better the classes are ranked."),
    "precision_recall": (
        "scores",
        "Precision and recall",
        "How many rows of a class are found, and how many of those called so are right.",
    ),
    "thresholds": (
        "scores",
        "Where to draw the line",
        "What changes if fewer or more rows are called positive: the probability from which a row is.",
    ),
    "reliability": ("certainty", "Can it be relied on?", "On the dotted line, what was promised is what happened."),
    "feature_importances": (
        "drivers",
        "Importance",
        "How much the score drops when the values of a feature are shuffled.",
    ),
    "partial_dependence": ("drivers", "Dependence", "How the prediction changes when only this feature changes."),
    "filters": ("drivers", "First-layer filters", "What the first layer looks for in an image."),
    "residuals": (
        "failures",
        "Errors",
        "The model should do about equally well everywhere: on every size, label and group.",
    ),
    "mistakes": ("failures", "The largest mistakes", "The rows that were predicted worst."),
    "history": (
        "training",
        "Curves of the training",
        "Where train goes on improving and valid does not, rows are learned by heart.",
    ),
    "layers": (
        "training",
        "Inside the network",
        "Gradients should neither vanish nor explode, and few units should be dead.",
    ),
    "search": ("search", "Trials", "What the search tried, and which options mattered."),
}
OF_METRICS = {"history", "search", "feature_importances"}  # figures whose words name metrics, and no column
_NOTE = re.compile(r"\s*<(?:span|sub)\b")
_SOURCE = re.compile(r"(?:^|[;,]\s)data:\s.*$", re.DOTALL)
_TAGS = re.compile(r"</?(?:span|sub|sup|b|i|em|br)\b[^>]*>")


@dataclass(frozen=True)
class Drawn:
    """A figure of the page: where it stands, its words, its JSON, its height and least width in pixels.

    `json` is empty for a figure that has nothing to show; `notes` then say why.
    """

    name: str
    section: str
    heading: str
    caption: str
    notes: tuple[str, ...]
    json: str
    height: int
    width: int


def draw(name: str, figure: Any) -> Drawn:
    """Prepare a Plotly figure for the page.

    Its title becomes text of the page, and names in it stay as they were typed. Points beyond what a page can hold
    are thinned evenly.
    """
    from torchlane.figures.style import is_words

    section, heading, caption = SECTIONS.get(name, ("more", name.replace("_", " ").capitalize(), ""))
    plain = _plain(figure.to_plotly_json())
    layout = plain["layout"]
    title, notes = _read_title(layout.pop("title", None))
    heading = title or heading
    if name in OF_METRICS:
        heading, notes = in_words(heading), tuple(map(in_words, notes))
        for each in layout.get("annotations", ()):
            each["text"] = in_words(each["text"])
    if is_words(plain):
        return Drawn(name, section, heading, "", (str(layout["meta"]["words"]),), "", 0, 0)
    layout["margin"] = {**layout.get("margin", {}), "t": 36}
    text = _written(_thinned(plain))
    return Drawn(name, section, heading, caption, notes, text, int(layout.get("height") or 420), _width(layout))


def draw_all(figures: Mapping[str, Any]) -> list[Drawn]:
    """Prepare figures by name, in the order in which the page shows them."""
    order = [*SECTIONS, *sorted(set(figures) - set(SECTIONS))]
    drawn = [draw(name, figures[name]) for name in order if name in figures]
    while sum(len(each.json) for each in drawn) > MOST_BYTES_TOGETHER:
        largest = max(range(len(drawn)), key=lambda place: len(drawn[place].json))
        drawn[largest] = replace(drawn[largest], json="", caption="", notes=(TOO_LARGE,))
    return drawn


def _read_title(title: Any) -> tuple[str, tuple[str, ...]]:
    """Read the title of a figure and the notes under it, without the tags of Plotly and as they were typed.

    Lines that were broken for a narrow screen are joined. The source of the rows stands elsewhere in the page.
    """
    text = title.get("text") if isinstance(title, Mapping) else title
    lines = re.split(r"<br\s*/?>", text or "")
    small = [bool(_NOTE.match(line)) for line in lines]
    read = [html.unescape(_TAGS.sub("", line)).strip() for line in lines]
    heading, note = (
        " ".join(line for line, is_note in zip(read, small, strict=True) if is_note == of_note).strip()
        for of_note in (False, True)
    )
    note = _SOURCE.sub("", note)
    return heading, (f"{note[0].upper()}{note[1:]}.",) if note else ()


def _width(layout: Mapping[str, Any]) -> int:
    """Return the least width at which the panels that stand beside each other can be read."""
    starts = {round(each.get("domain", [0])[0], 3) for name, each in layout.items() if name.startswith("xaxis")}
    return PANEL_PIXELS * len(starts) if len(starts) > 1 else 0


def _plain(value: Any) -> Any:
    """Turn arrays, also those that Plotly writes in base64, into lists of numbers of few digits."""
    if isinstance(value, Mapping):
        if set(value) >= {"dtype", "bdata"}:
            return _plain(_array(value))
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _array(packed: Mapping[str, Any]) -> np.ndarray:
    array = np.frombuffer(base64.b64decode(packed["bdata"]), np.dtype(packed["dtype"]))
    shape = packed.get("shape")
    return array if shape is None else array.reshape([int(each) for each in str(shape).split(",")])


def _thinned(figure: dict[str, Any]) -> dict[str, Any]:
    """Take every n-th point of traces of points until the figure is small enough; lines and cells stay whole."""
    while len(_written(figure)) > MOST_BYTES:
        thinner = [_every_second(trace) for trace in figure["data"]]
        if thinner == figure["data"]:
            break
        figure = {**figure, "data": thinner}
    return figure


def _every_second(trace: dict[str, Any]) -> dict[str, Any]:
    if trace.get("type", "scatter") not in ("scatter", "scattergl") or trace.get("mode", "lines") != "markers":
        return trace
    n_points = max((len(each) for each in (trace.get("x"), trace.get("y")) if isinstance(each, list)), default=0)
    return _sliced(trace, n_points) if n_points > FEWEST_POINTS else trace


def _sliced(value: Any, length: int) -> Any:
    """Take every second value of every list of this length, so that points keep their own text and colour."""
    if isinstance(value, dict):
        return {name: _sliced(each, length) for name, each in value.items()}
    return value[::2] if isinstance(value, list) and len(value) == length else value


def _written(figure: Mapping[str, Any]) -> str:
    """Write JSON that no browser reads as markup, wherever it stands in a page."""
    from jinja2.utils import htmlsafe_json_dumps

    return htmlsafe_json_dumps(figure, json.dumps, separators=(",", ":"), sort_keys=True, allow_nan=False)
