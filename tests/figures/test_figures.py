import pandas as pd
import pytest

from torchlane.figures import trials
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
    assert high.fillcolor == "rgba(76, 120, 168, 0.25)"
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
    assert "5000 of 20000 test rows" in figure.layout.title.text


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
