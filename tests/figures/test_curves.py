import pandas as pd
import pytest

from tests.figures.titles import title_of
from torchlane.figures.curves import KEPT, plot_history
from torchlane.figures.style import COLOURS

MISSING = [float("nan")] * 3


def history(**changes: list[float]) -> pd.DataFrame:
    curves = {f"{part}_{curve}": [0.5, 0.25, 0.3] for part in ("train", "valid") for curve in ("loss", "r2_score")}
    spreads = {f"{name}_spread": [0.0, 0.0, 0.0] for name in curves}
    counts = {"members": [3, 3, 1], "members_kept": [0, 2, 1]}
    return pd.DataFrame({"epoch": [1, 2, 3], **curves, **spreads, **counts, **changes})


def named(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def test_each_part_is_once_in_the_legend_and_has_one_colour_in_both_panels():
    figure = plot_history(history(), "bundled sample")
    for part in ("train", "valid"):
        lines = named(figure, part)
        assert [line.showlegend for line in lines] == [True, False]
        assert {line.line.color for line in lines} == {COLOURS[part]}
        assert {line.yaxis for line in lines} == {"y", "y2"}
    assert [title.text for title in figure.layout.annotations] == ["loss", "r2_score"]
    assert "bundled sample" in title_of(figure)


def test_spread_over_members_is_a_faint_band():
    low, high, line = plot_history(history(train_loss_spread=[0.1, 0.2, 0.0]), "x").data[:3]
    assert list(low.y) == pytest.approx([0.4, 0.05, 0.3])
    assert list(high.y) == pytest.approx([0.6, 0.45, 0.3])
    assert high.fillcolor == "rgba(0, 114, 178, 0.25)"
    assert line.name == "train"


def test_kept_epochs_are_marked_on_valid_and_training_members_are_told():
    figure = plot_history(history(valid_loss=[0.9, 0.8, 0.7]), "x")
    loss, score = named(figure, KEPT)
    assert (list(loss.x), list(loss.y), list(score.y)) == ([2, 3], [0.8, 0.7], [0.25, 0.3])
    assert "epoch 2 are kept by 2 members" in loss.text[0]
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes] == [(2, 3)] * 2
    assert "1 of 3 members train" in named(figure, "valid")[0].customdata[2]
    assert "epochs 2 to 3 are kept" in title_of(figure)


def test_without_valid_the_last_epoch_is_marked_on_train_alone():
    kept = {"valid_loss": MISSING, "valid_r2_score": MISSING, "members": [1, 1, 1], "members_kept": [0, 0, 1]}
    figure = plot_history(history(**kept), "x")
    assert {trace.name for trace in figure.data} == {"train", KEPT}
    assert list(named(figure, KEPT)[0].y) == [0.3]
    assert [shape.type for shape in figure.layout.shapes] == ["line"] * 2


def test_history_of_an_older_version_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="no column 'members_kept'.*run the stage train"):
        plot_history(history().drop(columns=["members", "members_kept"]), "x")
