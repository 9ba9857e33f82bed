"""How well the classes are told apart, whatever the threshold: ROC and precision against recall."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Scatter

from torchlane.core.judging.ranking import Curve, precision_recall_curve, roc_curve
from torchlane.figures.style import COLOURS, SEQUENCE, colour_of, escaped, faint, finish, shortened, words
from torchlane.figures.told import NO_ROWS, NOT_CLASSES, known_labels, probabilities, texts

MOST_NAMED = 10  # classes in a colour of their own
RATES = {"range": [-0.02, 1.02], "tickformat": ".0%", "zeroline": False}


def plot_roc(test_predictions: pd.DataFrame, positive: str | None, source: str) -> Figure:
    """Draw the recall against the false-positive rate, with the area under each curve.

    `test_predictions` has `truth` and the probabilities of labels. With two classes there is one curve, of the label
    `positive`; otherwise each class has one against all others, and the note has the mean area. The ten
    classes with most test rows are named, and the others are grey.
    """
    figure = _plot(test_predictions, positive, source, "ROC", "area", roc_curve, "linear")
    if figure.data:
        dots = {"color": COLOURS["guide"], "dash": "dot"}
        figure.add_trace(Scatter(x=[0, 1], y=[0, 1], mode="lines", line=dots, name="by chance (0.5)", hoverinfo="skip"))
        figure.update_xaxes(title_text="false-positive rate", **RATES)
        figure.update_yaxes(title_text="recall (true-positive rate)", **RATES)
    return figure


def plot_precision_recall(test_predictions: pd.DataFrame, positive: str | None, source: str) -> Figure:
    """Draw the precision against the recall, with the average precision of each curve; otherwise as `plot_roc`.

    With two classes, the share of the positive label is drawn beside it: the precision of calling every row positive.
    """
    name = "average precision"
    figure = _plot(test_predictions, positive, source, "Precision and recall", name, precision_recall_curve, "vh")
    if figure.data:
        if positive is not None:
            share = float(np.mean(texts(test_predictions, "truth") == positive))
            dots = {"color": COLOURS["guide"], "dash": "dot"}
            label = f"all called positive ({share:.3f})"
            figure.add_trace(Scatter(x=[0, 1], y=[share, share], mode="lines", line=dots, name=label, hoverinfo="skip"))
        figure.update_xaxes(title_text="recall", **RATES)
        figure.update_yaxes(title_text="precision", **RATES)
    return figure


def _plot(
    test_predictions: pd.DataFrame,
    positive: str | None,
    source: str,
    title: str,
    area: str,
    curve: Callable[[np.ndarray, np.ndarray], Curve | None],
    shape: str,
) -> Figure:
    labels = known_labels(test_predictions)
    if not labels or test_predictions.empty:
        return words(NO_ROWS if labels else NOT_CLASSES, title, source)
    truths, chances = texts(test_predictions, "truth"), probabilities(test_predictions)
    asked = labels if positive is None else [positive]
    found = {label: curve(truths == label, chances[:, labels.index(label)]) for label in asked}
    curves = {label: each for label, each in found.items() if each is not None}
    if not curves:
        return words(f"The rows of test have one label only, '{truths[0]}', so there is no curve.", title, source)
    named = sorted(curves, key=lambda label: -int((truths == label).sum()))[:MOST_NAMED]  # of equals the first
    figure = Figure([_line(label, curves[label], area, shape) for label in curves if label not in named])
    for place, label in enumerate(each for each in curves if each in named):
        trace = _line(label, curves[label], area, shape)
        dash = "solid" if place < len(SEQUENCE) else "dash"
        trace.update(line={"color": colour_of(place), "dash": dash, "width": 2}, showlegend=True)
        figure.add_trace(trace)
    note = f"{len(test_predictions):,} test rows"
    if positive is None:
        mean = np.mean([each.area for each in curves.values()])
        left_out = len(found) - len(curves)
        note += f"; mean {area} {mean:.3f} of {len(curves)} classes, each against all others"
        note += f"; {left_out} without curve" if left_out else ""
    figure.update_layout(
        height=480 if len(curves) < 5 else 560, legend_title={"text": f"class ({area})", "side": "top"}
    )
    return finish(figure, title, source, note)


def _line(label: str, curve: Curve, area: str, shape: str) -> Scatter:
    """Draw the curve of a class in grey, without an entry in the legend."""
    return Scatter(
        x=curve.x,
        y=curve.y,
        mode="lines",
        line={"color": faint(COLOURS["guide"]), "width": 1},
        line_shape=shape,
        name=f"{shortened(label)} ({curve.area:.3f})",
        customdata=curve.thresholds,
        hovertemplate=f"{escaped(label)}, {area} {curve.area:.3f}<br>%{{x:.1%}}, %{{y:.1%}}<br>"
        "threshold %{customdata:.3f}<extra></extra>",
        showlegend=False,
    )
