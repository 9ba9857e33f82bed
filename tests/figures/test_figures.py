import pandas as pd
import pytest
import yaml

from tests.commands import PROJECT
from torchlane.datasets.stock import CSVDataset
from torchlane.figures.predictions import plot_predictions


def test_values_are_points_beside_the_line_of_exact_ones():
    table = pd.DataFrame({"row": [4, 9], "truth": [1.0, 3.0], "prediction": [2.0, 5.0]})
    exact, points = plot_predictions(table, "x").data
    assert list(exact.x) == list(exact.y) == [1, 5]
    assert list(points.text) == ["row 4", "row 9"]


@pytest.mark.parametrize("labels", [["a", "b"], [1, 2], [False, True]])
def test_labels_of_any_kind_are_a_confusion_matrix(labels):
    one, other = labels
    table = pd.DataFrame({"row": [1, 2, 3], "truth": [one, one, other], "prediction": [one, other, other]})
    table = table.assign(**{f"probability_{label}": 0.5 for label in labels})
    (matrix,) = plot_predictions(table, "x").data
    assert matrix.z.tolist() == [[1, 1], [0, 1]]


def test_of_very_many_rows_an_even_selection_is_drawn():
    n_rows = 20_000
    table = pd.DataFrame({"row": range(n_rows), "truth": [1.0] * n_rows, "prediction": [1.0] * n_rows})
    figure = plot_predictions(table, "x")
    assert len(figure.data[1].x) == 5_000
    assert "5000 of 20000 test rows" in figure.layout.title.text.replace("<br>", " ")


def test_confusion_matrix_has_every_label_on_both_axes_in_its_order():
    table = pd.DataFrame({"row": [1, 2, 3], "truth": ["007", "new", "b"], "prediction": ["b", "b", "b"]})
    table = table.assign(**{f"probability_{label}": 0.2 for label in ("c", "b", "007", "NA")})
    figure = plot_predictions(table, "x", "kind")
    (matrix,) = figure.data
    labels = ("c", "b", "007", "NA", "new")  # one was never predicted nor true, and one only the truth has
    assert matrix.x == matrix.y == labels
    counts = pd.DataFrame(matrix.z, index=labels, columns=labels)
    assert counts.loc["007", "b"] == counts.loc["new", "b"] == counts.loc["b", "b"] == 1
    assert counts.to_numpy().sum() == 3
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("prediction of kind", "truth of kind")


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
