import pandas as pd

from tests.figures.titles import title_of
from torchlane.figures.dependence import plot_partial_dependence
from torchlane.figures.style import is_words

COLUMNS = ["feature", "kind", "label", "value", "prediction", "low", "high"]


def table(*lines) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=COLUMNS)


def test_numbers_are_lines_with_a_band_and_levels_are_points_on_one_scale():
    lines = table(
        ("year", "number", None, "2020", 100.0, 90.0, 120.0),
        ("year", "number", None, "2021.5", 200.0, 150.0, 210.0),
        ("town", "category", None, "a<b", 140.0, 130.0, 150.0),
    )
    figure = plot_partial_dependence(lines, "x", "price", {"price": "USD", "year": None})
    low, high, line, points = figure.data
    assert (list(line.x), list(line.y)) == ([2020.0, 2021.5], [100, 200])
    assert (list(low.y), list(high.y)) == ([90, 150], [120, 210])
    assert (list(points.y), list(points.error_y.array), list(points.error_y.arrayminus)) == ([140], [10], [10])
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range
    assert list(figure.layout.xaxis2.ticktext) == ["a&lt;b"]
    assert [title.text for title in figure.layout.annotations] == ["year", "town"]
    assert "price (USD)" in title_of(figure)


def test_labels_have_one_colour_each_and_are_once_in_the_legend():
    lines = [(feature, "number", label, str(value), 0.5, 0.4, 0.6)
             for feature in ("a", "b") for label in ("cat", "dog") for value in (1, 2)]  # fmt: skip
    figure = plot_partial_dependence(table(*lines), "x", "kind", {})
    drawn = [trace for trace in figure.data if trace.name]
    assert [(trace.name, trace.showlegend) for trace in drawn] == [
        ("cat", True), ("dog", True), ("cat", False), ("dog", False),
    ]  # fmt: skip
    assert drawn[0].line.color == drawn[2].line.color != drawn[1].line.color
    assert figure.layout.yaxis.tickformat == ".0%"


def test_without_dependence_the_reason_stands_there():
    figure = plot_partial_dependence(table(), "x", "price", {}, reason="evaluation.importance_repeats is 0")
    assert is_words(figure)
    assert figure.layout.meta["words"] == "No dependence was measured, since evaluation.importance_repeats is 0."


def test_levels_stand_in_the_order_that_the_user_gave():
    lines = [("size", "category", None, level, value, value, value) for level, value in (("L", 3), ("S", 1), ("x", 0))]
    figure = plot_partial_dependence(table(*lines), "x", "price", {}, {"size": ["S", "M", "L"]})
    assert list(figure.layout.xaxis.ticktext) == ["S", "L", "x"]
    assert list(figure.data[0].y) == [1, 3, 0]
