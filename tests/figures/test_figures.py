import pandas as pd
import pytest

from torchlane.figures import trials
from torchlane.figures.comparisons import plot_comparison
from torchlane.figures.curves import plot_history


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


def test_model_without_a_score_keeps_its_place_in_a_comparison():
    lines = [{"repeat": 0, "model": name, "r2_score": value} for name, value in (("scratch", 0.5), ("fine_tuned", 0.6))]
    metrics = {"comparison": {"repeats": 1, "primary_metric": "r2_score"}, "forgetting": {}, "data": "x"}
    axis = plot_comparison(pd.DataFrame(lines), metrics).layout.xaxis
    assert list(axis.categoryarray) == ["parent as it is", "from scratch", "fine-tuned"]
    assert list(axis.range) == [-0.5, 2.5]
