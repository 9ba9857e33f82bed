import numpy as np
import pandas as pd
import pytest

from tests.figures.classes import drawn, predicted
from tests.figures.titles import title_of
from torchlane.core.options import DataOptions
from torchlane.figures.features import group_by_strongest, strongest_numbers
from torchlane.figures.groups import Groups
from torchlane.figures.residuals import plot_mistakes_by_group, plot_residuals
from torchlane.figures.style import is_words

ROWS = pd.Series([4, 6, 8, 9])
VALUES = pd.DataFrame({"row": ROWS, "truth": ["1.0", "2", "3", "4"], "prediction": ["1.5", "1", "1", "8"]})


def grouped(*levels: str | None) -> Groups:
    return Groups.of_levels(pd.Series(levels, dtype="str"), "place")


def test_residuals_are_truth_minus_prediction_by_row_and_their_mean_by_level():
    figure = plot_residuals(VALUES, grouped("x", "x", "y", None), "x", "price", "€")
    points, means = figure.data
    assert (list(points.x), list(points.y), list(points.customdata)) == (
        [1.5, 1, 1, 8],
        [-0.5, 1, 2, -4],
        ["4", "6", "8", "9"],
    )
    assert (list(means.x), list(figure.layout.yaxis2.ticktext)) == ([0.25, 2, -4], ["x", "y", "missing"])
    half = 1.959964 * np.std([-0.5, 1], ddof=1) / 2**0.5
    assert list(means.error_x.array) == pytest.approx([half, 0, 0])
    assert figure.layout.yaxis.title.text == "truth - prediction (€)"
    assert [line[1] for line in means.customdata] == ["2", "1", "1"]


def test_mistakes_are_told_by_label_and_by_level():
    table = predicted(["a", "a", "b", "b"], {"a": [0.9, 0.8, 0.7, 0.1], "b": [0.1, 0.2, 0.3, 0.9], "c": [0, 0, 0, 0]})
    figure = plot_mistakes_by_group(table, grouped("x", "y", "y", "y"), "x", "kind")
    recall, wrong = figure.data
    assert (list(recall.x), list(recall.y)) == ([1, 0.5], [0, 1])
    assert list(figure.layout.yaxis.ticktext) == ["a", "b", "c"]  # of c there is no row
    assert list(wrong.x) == pytest.approx([0, 1 / 3])
    assert [title.text for title in figure.layout.annotations] == ["Recall by kind", "Share of mistakes by place"]


def test_of_hundred_labels_the_twenty_with_the_lowest_recall_are_drawn():
    table = drawn(100, 3_000)
    recall = (table["truth"] == table["prediction"]).groupby(table["truth"]).mean().sort_values()
    figure = plot_mistakes_by_group(table, None, "x", "kind")
    assert sorted(figure.data[0].x) == pytest.approx(recall[:20].tolist())
    assert "20 of 100 labels" in title_of(figure)


def test_levels_stand_in_their_declared_order_and_rare_ones_are_left_out():
    levels = pd.Series([f"l{place}" for place in range(30)] * 2 + ["high", "low"] * 5)
    groups = Groups.of_levels(levels, "x", ("low", "medium", "high"))
    assert (len(groups.names), groups.names[:2]) == (20, ["low", "high"])
    assert groups.rows[:2].tolist() == [5, 5]
    assert groups.sums(np.ones(len(levels)))[:2].tolist() == [5, 5]


def test_numbers_and_dates_are_grouped_by_fifths():
    numbers = Groups.of_ranges(pd.Series([*range(10), None]), "size")
    assert (numbers.rows.tolist(), numbers.names[-1]) == ([2, 2, 2, 2, 2, 1], "missing")
    days = pd.Series(pd.to_datetime([f"2024-01-{day:02}" for day in range(1, 11)])).dt.tz_localize("UTC")
    dates = Groups.of_ranges(days, "day")
    assert (dates.rows.tolist(), dates.names[0]) == ([2] * 5, "2024-01-01 to 2024-01-03")
    assert Groups.of_ranges(pd.Series([], dtype=float), "size").names == []


COLUMNS = {
    "size": {"kind": "number", "unit": "m²"},
    "far": {"kind": "number"},
    "place": {"kind": "category"},
    "near": {"kind": "category"},
}


def options(**columns: dict) -> DataOptions:
    return DataOptions.model_validate({"task": "regression", "target": "price", "columns": columns})


def test_strongest_feature_of_the_preferred_kind_makes_the_groups():
    rows = pd.DataFrame({"row": [9, 4], "size": [1.0, 2.0], "far": [1.0, 2.0], "place": ["a", "b"], "near": ["c", "d"]})
    ranked = pd.DataFrame({"feature": ["far", "near", "size", "gone"], "importance": [3, 2, 1, 0]})
    groups = group_by_strongest(pd.Series([4, 9]), rows, ranked, options(**COLUMNS))
    assert (groups.column, [groups.names[place] for place in groups.places]) == ("near", ["d", "c"])
    assert group_by_strongest(pd.Series([4]), rows, ranked[:0], options(**COLUMNS)).column == "place"
    numbers = {name: column for name, column in COLUMNS.items() if column["kind"] == "number"}
    assert group_by_strongest(pd.Series([4]), rows, ranked, options(**numbers)).column == "far"
    assert strongest_numbers(ranked, options(**COLUMNS)) == [("far", None), ("size", "m²")]


def test_images_have_no_groups_and_no_rows_are_said():
    data = DataOptions.model_validate(
        {"task": "multiclass", "target": "label", "columns": {"image": {"kind": "image", "size": [1, 8, 8]}}}
    )
    assert group_by_strongest(ROWS, pd.DataFrame({"row": ROWS}), pd.DataFrame({"feature": []}), data) is None
    assert len(plot_mistakes_by_group(drawn(3, 9), None, "x", "label").data) == 1
    assert is_words(plot_mistakes_by_group(drawn(3, 9)[:0], None, "x", "label"))
    assert is_words(plot_residuals(VALUES[:0], None, "x", "price"))


def test_markup_in_levels_is_shown():
    figure = plot_residuals(VALUES, grouped("<b>x</b>", "<b>x</b>", "y", "y"), "x", "<i>t</i>")
    assert figure.layout.yaxis2.ticktext[0] == figure.data[1].customdata[0][0] == "&lt;b&gt;x&lt;/b&gt;"
    assert not any(mark in figure.to_json() for mark in ("<b>", "<i>"))
