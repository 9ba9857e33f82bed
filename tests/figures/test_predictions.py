import numpy as np
import pandas as pd
import pytest
import yaml

from tests.commands import PROJECT
from tests.figures.classes import drawn, predicted
from tests.figures.titles import title_of
from torchlane.datasets.stock import CSVDataset
from torchlane.figures.predictions import plot_predictions
from torchlane.figures.style import is_words


def counts(figure) -> np.ndarray:
    """Read the counts of a matrix from what its hover shows, in the order of its axes."""
    return np.array([[int(cell[2]) for cell in row] for row in figure.data[0].customdata])


def test_values_are_points_beside_the_line_of_exact_ones_with_their_intervals():
    ends = {"low": [0.5, 4.0], "high": [4.0, 5.5]}
    table = pd.DataFrame({"row": [4, 9], "truth": [1.0, 3.0], "prediction": [2.0, 5.0], **ends})
    figure = plot_predictions(table, "x", "price", "€")
    exact, points = figure.data
    assert list(exact.x) == list(exact.y) == [1, 5]
    assert (list(points.x), list(points.y)) == ([1, 3], [2, 5])
    assert (list(points.error_y.array), list(points.error_y.arrayminus)) == ([2, 0.5], [1.5, 1])
    assert points.customdata.tolist() == [["4", "0.5", "4"], ["9", "4", "5.5"]]
    titles = (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text)
    assert titles == ("true price (€)", "predicted price (€)")


def test_without_intervals_there_are_points_alone():
    table = pd.DataFrame({"row": [4], "truth": ["1.0"], "prediction": ["2.0"], "spread": [0.1]})
    points = plot_predictions(table, "x").data[1]
    assert points.error_y.array is None
    assert "interval" not in points.hovertemplate


@pytest.mark.parametrize("labels", [["a", "b"], [1, 2], [False, True]])
def test_labels_of_any_kind_are_a_confusion_matrix(labels):
    one, other = labels
    table = pd.DataFrame({"row": [1, 2, 3], "truth": [one, one, other], "prediction": [one, other, other]})
    table = table.assign(**{f"probability_{label}": 0.5 for label in labels})
    figure = plot_predictions(table, "x")
    assert counts(figure).tolist() == [[1, 1], [0, 1]]
    assert np.array_equal(figure.data[0].z, [[0.5, 0.5], [np.nan, 1]], equal_nan=True)  # shares of the true label
    assert [list(row) for row in figure.data[0].text] == [["1<br>50%", "1<br>50%"], ["", "1<br>100%"]]
    assert list(figure.layout.xaxis.ticktext) == list(map(str, labels))


def test_confusion_matrix_has_every_label_on_both_axes_in_its_order():
    table = pd.DataFrame({"row": [1, 2, 3], "truth": ["007", "new", "b"], "prediction": ["b", "b", "b"]})
    table = table.assign(**{f"probability_{label}": 0.2 for label in ("c", "b", "007", "NA")})
    figure = plot_predictions(table, "x", "kind")
    labels = ["c", "b", "007", "NA", "new"]  # one was never predicted nor true, and one only the truth has
    assert list(figure.layout.xaxis.ticktext) == list(figure.layout.yaxis.ticktext) == labels
    found = pd.DataFrame(counts(figure), index=labels, columns=labels)
    assert found.loc["007", "b"] == found.loc["new", "b"] == found.loc["b", "b"] == 1
    assert found.to_numpy().sum() == 3
    assert figure.layout.yaxis.range == (4.5, -0.5)  # the first on top
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("predicted kind", "true kind")


def test_hundred_labels_are_told_by_colour_and_hover_with_some_named():
    table = drawn(100, 2_000)
    figure = plot_predictions(table, "x")
    assert counts(figure).sum() == 2_000
    assert counts(figure).trace() == (table["truth"] == table["prediction"]).sum()
    assert counts(figure)[0].sum() == counts(figure)[:, 0].sum() == 0
    assert figure.data[0].texttemplate is None
    assert 20 <= len(figure.layout.xaxis.ticktext) <= 30
    assert figure.layout.height <= 800


def test_markup_in_labels_and_columns_is_shown_and_not_read():
    label = "<a href='x'>%{z}</a>"
    figure = plot_predictions(predicted([label, "b"], {label: [0.9, 0.1], "b": [0.1, 0.9]}), "<i>x</i>", "<b>t</b>")
    text = figure.to_json()
    assert not any(mark in text for mark in ("<a", "<b>", "<i>", "%{z}<"))
    assert figure.layout.xaxis.ticktext[0] == "&lt;a href='x'&gt;%&#123;z}&lt;/a&gt;"


def test_of_very_many_rows_an_even_selection_is_drawn():
    table = pd.DataFrame({"row": range(9_999), "truth": np.arange(9_999.0), "prediction": 1.0})
    figure = plot_predictions(table, "x")
    places = np.array(figure.data[1].x)
    assert (len(places), places[0], places[-1]) == (5_000, 0, 9_998)
    assert {*np.diff(places)} <= {1, 2, 3}
    assert "5,000 of 9,999 test rows" in title_of(figure)


def test_one_value_in_test_and_no_rows_are_drawn_or_said():
    table = pd.DataFrame({"row": [1, 2], "truth": [3.0, 3.0], "prediction": [2.0, 4.0]})
    assert list(plot_predictions(table, "x").data[1].x) == [3, 3]
    assert is_words(plot_predictions(table[:0], "x"))
    assert is_words(plot_predictions(drawn(3, 2)[:0], "x"))


@pytest.mark.parametrize("name", ["test_predictions", "fine_tuned_predictions"])
def test_labels_of_stored_predictions_are_read_as_they_were_written(name, tmp_path):
    options = yaml.safe_load((PROJECT / "conf/base/catalog.yml").read_text())["{use_case}." + name]
    dataset = CSVDataset(filepath=str(tmp_path / "p.csv"), load_args=options["load_args"])
    labels = ["007", "NA", "1.0", "None"]
    dataset.save(pd.DataFrame({"row": [1, 2, 3, 4], "truth": labels, "prediction": labels, "probability_007": 0.25}))
    stored = dataset.load()
    assert stored["truth"].tolist() == stored["prediction"].tolist() == labels
    dataset.save(pd.DataFrame({"row": [1], "truth": [0.1 + 0.2], "prediction": [1e-300]}))
    _, points = plot_predictions(dataset.load(), "x").data
    assert (points.x[0], points.y[0]) == (0.1 + 0.2, 1e-300)
