"""Where the mistakes are: by size of the prediction, by label, and by level or range of a feature."""

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Scatter

from torchlane.core.judging.shares import Z_95, share_interval
from torchlane.core.rows.levels import natural_order
from torchlane.figures.groups import Groups
from torchlane.figures.style import COLOURS, axis_title, escaped, finish, panels, words
from torchlane.figures.told import NO_ROWS, evenly, known_labels, texts

OF_VALUES, OF_LABELS = "Residuals", "Mistakes by group"
MOST_POINTS = 5_000


def plot_residuals(
    test_predictions: pd.DataFrame, groups: Groups | None, source: str, target: str, unit: str | None = None
) -> Figure:
    """Draw truth minus prediction against the prediction, and below its mean in each group with a 95 % interval.

    `test_predictions` has `row`, `truth` and `prediction`, which are numbers. A group of one row has no interval.
    """
    if test_predictions.empty:
        return words(NO_ROWS, OF_VALUES, source)
    values = test_predictions[["truth", "prediction"]].astype(np.float64)
    residuals = (values["truth"] - values["prediction"]).to_numpy()
    titles = ["Each test row", *([f"Mean by {groups.column}"] if groups else [])]
    figure = panels(titles, height=[300, *([groups.height] if groups else [])])
    table = pd.DataFrame({"x": values["prediction"], "y": residuals, "row": test_predictions["row"]})
    drawn = evenly(table, MOST_POINTS)
    points = Scatter(
        x=drawn["x"],
        y=drawn["y"],
        mode="markers",
        marker={"color": COLOURS["test"], "opacity": 0.7},
        showlegend=False,
        customdata=drawn["row"].map(str),
        hovertemplate="row %{customdata}<br>predicted %{x:,.4~g}<br>off by %{y:,.4~g}<extra></extra>",
    )
    figure.add_trace(points, row=1, col=1)
    of_unit = f" ({escaped(unit)})" if unit else ""
    figure.update_xaxes(title_text=f"predicted {axis_title(target, unit)}", zeroline=False, row=1)
    figure.update_yaxes(title_text=f"truth - prediction{of_unit}", row=1)
    if groups:
        _add_means(figure, groups, residuals, f"mean of truth - prediction{of_unit}")
    shown = f"{len(drawn):,} of " if len(drawn) < len(table) else ""
    note = f"{shown}{len(table):,} test rows; above 0 the prediction is too low"
    return finish(figure, OF_VALUES, source, note)


def plot_mistakes_by_group(test_predictions: pd.DataFrame, groups: Groups | None, source: str, target: str) -> Figure:
    """Draw the share of each label's rows that are predicted so, and below the share of mistakes in each group.

    `test_predictions` has `truth` and `prediction`, which are labels, and probabilities. Bars are 95 % intervals
    (Wilson). Of more than 20 labels, the 20 with the lowest recall are drawn.
    """
    if test_predictions.empty:
        return words(NO_ROWS, OF_LABELS, source)
    truths = texts(test_predictions, "truth")
    wrong = truths != texts(test_predictions, "prediction")
    known = known_labels(test_predictions)
    every = Groups.of_labels(truths, [*known, *natural_order({*truths} - {*known})], target)
    with np.errstate(invalid="ignore"):
        lowest = every.lowest(every.sums(~wrong) / every.rows)
    titles = [f"Recall by {target}", *([f"Share of mistakes by {groups.column}"] if groups else [])]
    figure = panels(titles, height=[lowest.height, *([groups.height] if groups else [])])
    _add_shares(figure, 1, lowest, ~wrong, "recall")
    if groups:
        _add_shares(figure, 2, groups, wrong, "share of mistakes")
    note = f"{len(wrong):,} test rows, {wrong.mean():.1%} mistakes; bars are 95 % intervals"
    if len(lowest.names) < len(every.names):
        note += f"; the {len(lowest.names)} of {len(every.names)} labels with the lowest recall"
    return finish(figure, OF_LABELS, source, note)


def _add_means(figure: Figure, groups: Groups, residuals: np.ndarray, name: str) -> None:
    """Draw the mean of each group; the interval is the normal one, of the standard error."""
    rows = groups.rows
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = groups.sums(residuals) / rows
        aside = groups.sums((residuals - np.where(groups.places >= 0, mean[groups.places], 0)) ** 2)
        half = np.where(rows > 1, Z_95 * np.sqrt(aside / (rows - 1) / rows), 0)
    groups.add_to(figure, 2, mean, mean - half, mean + half, name, "mean %{x:,.4~g}")


def _add_shares(figure: Figure, row: int, groups: Groups, hits: np.ndarray, name: str) -> None:
    with np.errstate(invalid="ignore"):
        share = groups.sums(hits) / groups.rows
    low, high = share_interval(groups.sums(hits), groups.rows)
    groups.add_to(figure, row, share, low, high, name, f"{name} %{{x:.1%}}")
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", row=row)
