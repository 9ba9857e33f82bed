import pandas as pd
import pytest
import yaml

from tests.commands import PROJECT
from torchlane.datasets.stock import CSVDataset
from torchlane.figures import trials
from torchlane.figures.comparisons import plot_comparison
from torchlane.figures.curves import plot_history
from torchlane.figures.predictions import plot_predictions


def history(**changes: list[float]) -> pd.DataFrame:
    curves = {f"{part}_{curve}": [0.5, 0.25] for part in ("train", "valid") for curve in ("loss", "r2_score")}
    spreads = {f"{name}_spread": [0.0, 0.0] for name in curves}
    return pd.DataFrame({"epoch": [1, 2], **curves, **spreads, **changes})


def test_curves_of_train_and_valid_stand_side_by_side_with_their_source():
    figure = plot_history(history(), "bundled sample")
    assert [trace.name for trace in figure.data] == ["train", "valid", "train", "valid"]
    assert [title.text for title in figure.layout.annotations] == ["loss", "r2_score"]
    assert "bundled sample" in figure.layout.title.text


def test_spread_over_members_is_a_faint_band():
    figure = plot_history(history(train_loss_spread=[0.1, 0.2]), "x")
    low, high, line = figure.data[:3]
    assert list(low.y) == pytest.approx([0.4, 0.05])
    assert list(high.y) == pytest.approx([0.6, 0.45])
    assert high.fillcolor == "rgba(0, 114, 178, 0.25)"
    assert line.name == "train"


def test_curves_without_a_valid_part_show_train_alone():
    missing = [float("nan")] * 2
    figure = plot_history(history(valid_loss=missing, valid_r2_score=missing), "x")
    assert {trace.name for trace in figure.data} == {"train"}


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


def test_search_figure_shows_every_trial_and_importance():
    leaderboard = pd.DataFrame(
        {
            "trial": [1, 0, 2],
            "state": ["complete", "pruned", "fail"],
            "valid_r2_score": [0.5, 0.4, None],
            "epochs": [9, 4, 1],
            "seconds": 1.0,
            "error": ["", "", "the loss is nan"],
            "model.dropout": [0.1, 0.2, 0.3],
        }
    )
    figure = trials.plot_search(leaderboard, {"model.dropout": 1.0}, "the table")
    complete, pruned, importance = figure.data
    assert (list(complete.x), list(complete.y), complete.text[0]) == ([1], [0.5], "model.dropout: 0.1")
    assert (list(pruned.x), pruned.name) == ([0], "given up")
    assert (list(importance.x), list(importance.y)) == ([1.0], ["model.dropout"])
    assert "3 trials, 1 failed" in figure.layout.title.text
    silent = trials.plot_search(leaderboard, {"reason": "nothing can be told: 3 trials"}, "the table")
    assert [each.name for each in silent.data] == ["trained to the end", "given up"]
    assert "nothing can be told:<br>3 trials" in [each.text for each in silent.layout.annotations]
    assert "the table" in figure.layout.title.text


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


def test_model_without_a_score_keeps_its_place_in_a_comparison():
    lines = [{"repeat": 0, "model": name, "r2_score": value} for name, value in (("scratch", 0.5), ("fine_tuned", 0.6))]
    metrics = {"comparison": {"repeats": 1, "primary_metric": "r2_score"}, "forgetting": {}, "data": "x"}
    axis = plot_comparison(pd.DataFrame(lines), metrics).layout.xaxis
    assert list(axis.categoryarray) == ["parent as it is", "from scratch", "fine-tuned"]
    assert list(axis.range) == [-0.5, 2.5]
