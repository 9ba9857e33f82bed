import pandas as pd

from tests.figures.titles import title_of
from torchlane.figures.importances import plot_feature_importances
from torchlane.figures.style import is_words

TABLE = pd.DataFrame(
    {
        "feature": ["<b>age</b>", "town", "noise"],
        "importance": [0.3, 0.1, -0.01],
        "over_repeats": [0.01, 0.02, 0.01],
        "over_members": [0.05, 0.0, 0.02],
        "part": "test",
        "metric": "r2_score",
        "score": 0.8125,
    }
)


def test_bars_and_spreads_have_the_values_of_the_table():
    figure = plot_feature_importances(TABLE, "the table")
    bars, names, members, repeats = figure.data
    assert list(bars.x) == [0.3, 0.1, -0.01]
    assert names.text[0] == "&lt;b&gt;age&lt;/b&gt;"  # shown as it is, no bold text
    assert list(members.x[:2]) == [0.25, 0.35]
    assert list(repeats.x[3:5]) == [0.08, 0.12000000000000001]
    assert (members.name, repeats.name) == ("spread over members", "spread over repeats")
    assert "on test, where r2_score is 0.812" in title_of(figure)


def test_the_twenty_strongest_of_many_features_are_drawn():
    many = pd.concat([TABLE] * 400, ignore_index=True)
    figure = plot_feature_importances(many, "x")
    assert len(figure.data[0].x) == 20
    assert "20 of 1200 columns" in title_of(figure)


def test_without_importances_the_reason_stands_there():
    figure = plot_feature_importances(TABLE.head(0), "x", "an image has no columns to permute")
    assert is_words(figure)
    assert figure.layout.meta["words"] == "No importance was measured, since an image has no columns to permute."
