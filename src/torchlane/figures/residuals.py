"""Where the mistakes are: by size of the prediction, by label, and by level or range of a feature."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from plotly.graph_objects import Figure, Scatter

from torchlane.core.judging.shares import Z_95, bins_of, share_interval
from torchlane.core.rows.levels import natural_order
from torchlane.figures.style import COLOURS, axis_title, escaped, finish, label_axis, panels, shortened, words
from torchlane.figures.told import NO_ROWS, evenly, known_labels, texts

OF_VALUES, OF_LABELS = "Residuals", "Mistakes by group"
MOST_POINTS = 5_000
MOST_GROUPS = 20


@dataclass(frozen=True)
class Groups:
    """The groups of test rows by a feature, of which the 20 with most rows are drawn.

    `names` (n_groups,) are plain text, and `places` (n_rows,) the group of each row, -1 for a row in none of them.
    """

    feature: str
    names: list[str]
    places: np.ndarray

    @classmethod
    def of(cls, values: pd.Series, kind: str, feature: str) -> "Groups":
        """Group by level, or numbers and dates by fifths of equally many rows; a missing value is a group too."""
        absent = values.isna().to_numpy()
        if kind == "category":
            told = values.astype(object).where(~absent, "missing").map(str)
            common = told.value_counts().index[:MOST_GROUPS]
            names = [*natural_order({*common} - {"missing"}), *({"missing"} & {*common})]
            return cls(feature, names, pd.Index(names).get_indexer(pd.Index(told)))
        numbers = values[~absent].to_numpy()
        as_numbers = numbers.astype("datetime64[s]").astype(np.int64) if kind == "date" else numbers.astype(np.float64)
        inside, ends = bins_of(as_numbers, 5)
        shown = [str(np.datetime64(int(end), "s"))[:10] if kind == "date" else f"{end:,.4g}" for end in ends]
        names = [f"{low} to {high}" for low, high in zip(shown[:-1], shown[1:], strict=True)]
        places = np.full(len(values), len(names))
        places[~absent] = inside
        return cls(feature, [*names, "missing"] if absent.any() else names, places)


def plot_residuals(
    test_predictions: pd.DataFrame, groups: Groups | None, source: str, target: str, unit: str | None = None
) -> Figure:
    """Draw truth minus prediction against the prediction, and below its mean in each group with a 95 % interval.

    `test_predictions` has `row`, `truth` and `prediction`, which are numbers.
    """
    if test_predictions.empty:
        return words(NO_ROWS, OF_VALUES, source)
    values = test_predictions[["truth", "prediction"]].astype(np.float64)
    residuals = (values["truth"] - values["prediction"]).to_numpy()
    figure = panels(["Each test row", *([f"Mean by {groups.feature}"] if groups else [])], height=300)
    drawn = evenly(
        pd.DataFrame({"x": values["prediction"], "y": residuals, "row": test_predictions["row"]}), MOST_POINTS
    )
    points = Scatter(
        x=drawn["x"], y=drawn["y"], mode="markers", marker={"color": COLOURS["test"], "opacity": 0.7}, showlegend=False,
        customdata=drawn["row"].map(str),
        hovertemplate="row %{customdata}<br>predicted %{x:,.4~g}<br>off by %{y:,.4~g}<extra></extra>",
    )  # fmt: skip
    figure.add_trace(points, row=1, col=1)
    figure.update_xaxes(title_text=f"predicted {axis_title(target, unit)}", zeroline=False, row=1)
    figure.update_yaxes(title_text=f"truth − prediction{_in(unit)}", row=1)
    if groups:
        count, total, squares = (_sums(groups, each) for each in (None, residuals, residuals**2))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / count
            half = Z_95 * np.sqrt(np.maximum(squares / count - mean**2, 0) / (count - 1))
        half = np.where(np.isfinite(half), half, 0)
        size = _sums(groups, np.abs(residuals)) / count
        hover = "mean %{x:,.4~g}, mean size %{customdata[2]}"
        trace = _by_group(groups, mean, (half, half), count, hover, [f"{each:,.4g}" for each in size])
        _add_groups(figure, 2, groups, trace, f"mean of truth − prediction{_in(unit)}")
    note = f"{len(test_predictions):,} test rows; above 0 the prediction is too low"
    return finish(figure, OF_VALUES, source, note)


def plot_mistakes_by_group(test_predictions: pd.DataFrame, groups: Groups | None, source: str, target: str) -> Figure:
    """Draw the share of each label's rows that are predicted so, and below the share of mistakes in each group.

    `test_predictions` has `truth` and `prediction`, which are labels, and probabilities. Bars are 95 % intervals
    (Wilson). Of more than 20 labels, the 20 with the lowest recall are drawn.
    """
    if test_predictions.empty:
        return words(NO_ROWS, OF_LABELS, source)
    truths, wrong = (
        texts(test_predictions, "truth"),
        texts(test_predictions, "truth") != texts(test_predictions, "prediction"),
    )
    labels = [*known_labels(test_predictions)]
    labels += [*natural_order({*truths} - {*labels})]
    of_label = Groups(target, labels, pd.Index(labels).get_indexer(pd.Index(truths)))
    lowest = _worst(of_label, ~wrong)
    titles = [f"Recall by {target}", *([f"Share of mistakes by {groups.feature}"] if groups else [])]
    figure = panels(titles, height=300)
    for row, (each, hits, name) in enumerate(
        [(lowest, ~wrong, "recall"), (groups, wrong, "share of mistakes")], start=1
    ):
        if each is None:
            continue
        count, found = _sums(each, None), _sums(each, hits)
        with np.errstate(invalid="ignore"):
            share = found / count
        low, high = share_interval(found, count)
        trace = _by_group(each, share, (share - low, high - share), count, f"{name} %{{x:.1%}}")
        _add_groups(figure, row, each, trace, name)
        figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%", row=row)
    note = f"{len(test_predictions):,} test rows, {wrong.mean():.1%} mistakes; bars are 95 % intervals"
    if len(lowest.names) < len(labels):
        note += f"; the {len(lowest.names)} of {len(labels)} labels with the lowest recall"
    return finish(figure, OF_LABELS, source, note)


def _worst(of_label: Groups, right: np.ndarray) -> Groups:
    """Keep the 20 labels with the lowest recall, in their order; those that no row has are kept if there is room."""
    if len(of_label.names) <= MOST_GROUPS:
        return of_label
    with np.errstate(invalid="ignore"):
        recall = _sums(of_label, right) / _sums(of_label, None)
    kept = np.sort(np.argsort(recall, kind="stable")[:MOST_GROUPS])  # NaN comes last
    places = pd.Index(kept).get_indexer(pd.Index(of_label.places))
    return Groups(of_label.feature, [of_label.names[each] for each in kept], places)


def _sums(groups: Groups, values: np.ndarray | None) -> np.ndarray:
    """Add up values by group, or count rows."""
    known = groups.places >= 0
    return np.bincount(groups.places[known], None if values is None else values[known], len(groups.names))


def _by_group(
    groups: Groups,
    values: np.ndarray,
    bars: tuple[np.ndarray, np.ndarray],
    count: np.ndarray,
    hover: str,
    *more: list[str],
) -> Scatter:
    """Draw a point with a bar for each group that has rows."""
    filled = np.flatnonzero(count > 0)
    shown = [
        [escaped(groups.names[place]), f"{count[place]:,.0f}", *(each[place] for each in more)] for place in filled
    ]
    return Scatter(
        x=values[filled],
        y=filled,
        mode="markers",
        marker={"color": COLOURS["test"], "size": 8},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": bars[1][filled],
            "arrayminus": bars[0][filled],
            "thickness": 1.5,
        },
        customdata=shown,
        hovertemplate=f"%{{customdata[0]}}<br>{hover}<br>%{{customdata[1]}} rows<extra></extra>",
        showlegend=False,
    )


def _add_groups(figure: Figure, row: int, groups: Groups, trace: Scatter, name: str) -> None:
    figure.add_trace(trace, row=row, col=1)
    axis = label_axis(groups.names)
    figure.update_yaxes(**{**axis, "range": axis["range"][::-1]}, row=row)
    figure.update_xaxes(title_text=name, row=row)


def _in(unit: str | None) -> str:
    return f" ({shortened(unit)})" if unit else ""
