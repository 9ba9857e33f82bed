import numpy as np
import pandas as pd
import pytest

from tests.figures.classes import drawn, predicted
from tests.figures.titles import title_of
from torchlane.figures.reliability import plot_coverage, plot_probabilities
from torchlane.figures.style import is_words


def values(n_rows: int) -> pd.DataFrame:
    """Make predictions that rise, of which every fourth interval misses the truth."""
    prediction = np.arange(float(n_rows))
    table = pd.DataFrame({"row": range(n_rows), "truth": prediction, "prediction": prediction})
    return table.assign(low=prediction - 1, high=prediction + 1).assign(truth=prediction + 9 * (table["row"] % 4 == 0))


def test_coverage_is_that_of_each_bin_beside_the_line_of_what_was_asked():
    points, asked = plot_coverage(values(400), 0.9, "x", "price", "€").data
    assert list(points.y) == [0.75] * 10
    assert list(points.x) == pytest.approx(np.arange(400.0).reshape(10, 40).mean(1))
    assert [float(line[0]) for line in points.customdata] == [40] * 10
    assert (list(asked.x), list(asked.y)) == ([0, 399], [0.9, 0.9])


def test_few_rows_and_equal_predictions_have_fewer_bins():
    assert len(plot_coverage(values(40), 0.9, "x", "t").data[0].y) == 2
    equal = values(40).assign(prediction=0.0, low=-1.0, high=1.0, truth=0.0)
    assert list(plot_coverage(equal, 0.9, "x", "t").data[0].y) == [1.0]


def test_probabilities_of_the_positive_label_are_compared_with_its_share():
    table = predicted(["a", "b", "b", "b"], {"a": [0.95, 0.95, 0.35, 0.15], "b": [0.05, 0.05, 0.65, 0.85]})
    figure = plot_probabilities(table, "b", "x")
    _, points, bars = figure.data
    assert (list(points.x), list(points.y)) == (pytest.approx([0.05, 0.65, 0.85]), [0.5, 1, 1])
    assert list(bars.y) == [2, 0, 0, 0, 0, 0, 1, 0, 1, 0]
    assert "expected calibration error 0.350" in title_of(figure)  # (2 * .45 + .35 + .15) / 4
    assert figure.layout.xaxis2.title.text == "probability of b"


def test_of_more_classes_the_predicted_label_counts():
    table = predicted(["a", "b", "c"], {"a": [0.85, 0.1, 0.85], "b": [0.1, 0.7, 0.1], "c": [0.05, 0.2, 0.05]})
    _, points, _ = plot_probabilities(table, None, "x").data
    assert (list(points.x), list(points.y)) == (pytest.approx([0.7, 0.85]), [1, 0.5])


def test_without_rows_or_intervals_a_sentence_stands_there():
    assert is_words(plot_probabilities(drawn(3, 2)[:0], None, "x"))
    assert is_words(plot_coverage(values(4)[:0], 0.9, "x", "t"))
    assert is_words(plot_coverage(values(4).drop(columns=["low", "high"]), None, "x", "t"))
