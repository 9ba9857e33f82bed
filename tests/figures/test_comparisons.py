import pandas as pd

from tests.figures.titles import title_of
from torchlane.figures.comparisons import plot_comparison
from torchlane.figures.style import is_words

METRICS = {
    "comparison": {"repeats": 2, "primary_metric": "r2_score"},
    "forgetting": {"parent": {"r2_score": 0.75}, "fine_tuned": {"r2_score": 0.5}},
    "data": "x",
}


def scores(**values: list[float]) -> pd.DataFrame:
    lines = [{"repeat": repeat, "model": name, "r2_score": value, "loss": None}
             for name, of_model in values.items() for repeat, value in enumerate(of_model)]  # fmt: skip
    return pd.DataFrame(lines)


def test_model_without_a_score_keeps_its_place():
    figure = plot_comparison(scores(scratch=[0.5, 0.7], fine_tuned=[0.6, 0.8]), METRICS)
    assert list(figure.layout.xaxis.ticktext) == ["parent as it is", "from scratch", "fine-tuned"]
    assert list(figure.layout.xaxis.range) == [-0.5, 2.5]
    links, points, mean, *_ = figure.data
    assert list(links.x) == [0, 1, 2, None] * 2  # a line per repeat
    assert (list(points.x), list(points.y)) == ([1, 1], [0.5, 0.7])
    assert (list(mean.x), list(mean.y)) == ([1], [0.6])


def test_metric_without_values_has_no_panel_and_forgetting_is_a_note():
    figure = plot_comparison(scores(parent=[0.5], scratch=[0.5], fine_tuned=[0.6]), METRICS)
    assert [title.text for title in figure.layout.annotations] == ["r2_score"]
    assert "0.750 before, 0.500 after" in title_of(figure)
    assert is_words(plot_comparison(scores(parent=[float("nan")]), METRICS))
