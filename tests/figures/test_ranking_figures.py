import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn

from tests.figures.classes import drawn, predicted
from tests.figures.titles import title_of
from torchlane.figures.ranking import plot_precision_recall, plot_roc
from torchlane.figures.style import is_words
from torchlane.figures.thresholds import plot_thresholds

BINARY = predicted(["yes", "no", "yes", "no"], {"no": [0.2, 0.4, 0.7, 0.9], "yes": [0.8, 0.6, 0.3, 0.1]})
NUMBERS = pd.DataFrame({"row": [1], "truth": [1.0], "prediction": [2.0]})


def test_two_classes_have_one_curve_of_the_positive_label_with_its_area():
    curve, chance = plot_roc(BINARY, "yes", "x").data
    assert (list(curve.x), list(curve.y)) == ([0, 0, 0.5, 0.5, 1], [0, 0.5, 0.5, 1, 1])
    assert (curve.name, list(chance.y)) == ("yes (0.750)", [0, 1])
    curve, all_called = plot_precision_recall(BINARY, "yes", "x").data
    assert (list(curve.x), list(curve.y)) == ([0.5, 0.5, 1, 1], pytest.approx([1, 1 / 2, 2 / 3, 1 / 2]))
    assert (curve.name, list(all_called.y)) == ("yes (0.833)", [0.5, 0.5])


@pytest.mark.parametrize(
    ("plot", "area"), [(plot_roc, sklearn.roc_auc_score), (plot_precision_recall, sklearn.average_precision_score)]
)
def test_each_of_more_classes_has_its_curve_and_the_mean_area_is_told(plot, area):
    table = drawn(5, 300)
    figure = plot(table, None, "x")
    areas = {label: area(table["truth"] == label, table[f"probability_{label}"]) for label in ("l1", "l2", "l3", "l4")}
    names = [trace.name for trace in figure.data if not trace.name.startswith("by chance")]
    assert names == [f"{label} ({value:.3f})" for label, value in areas.items()]  # l0, which no row has, has no curve
    note = title_of(figure)
    assert f"{np.mean(list(areas.values())):.3f} of 4 classes" in note
    assert "1 without curve" in note


def test_of_hundred_classes_the_ten_with_most_rows_are_named_and_the_rest_grey():
    table = drawn(100, 3_000)
    figure = plot_roc(table, None, "x")
    named = [trace for trace in figure.data if trace.showlegend]
    commonest = table["truth"].value_counts()
    assert len(named) == 10
    assert min(commonest[trace.name.split()[0]] for trace in named) >= commonest.iloc[9]
    assert {trace.line.color for trace in figure.data if trace.showlegend is False} == {"rgba(140, 140, 140, 0.25)"}
    assert len(figure.data) == 99 + 1
    assert len(figure.to_json()) < 1_000_000


def test_thresholds_mark_a_half_and_the_cheapest_one_of_the_costs():
    figure = plot_thresholds(BINARY, "yes", (1, 1), "x")
    precision, recall, f1, cost, marks = figure.data
    at = {threshold: place for place, threshold in enumerate(precision.x)}
    assert [each.y[at[0.5]] for each in (precision, recall, f1, cost)] == [0.5, 0.5, 0.5, 0.5]
    assert [each.y[at[0.25]] for each in (precision, recall, f1, cost)] == pytest.approx([2 / 3, 1, 0.8, 0.25])
    assert list(marks.y) == [0.5, 0.25]
    assert 0.1 < marks.x[1] <= 0.3 or 0.6 < marks.x[1] <= 0.8
    dear = plot_thresholds(BINARY, "yes", (1, 10), "x").data[-1]
    assert (0.1 < dear.x[1] <= 0.3, dear.y[1]) == (True, 0.25)  # no positive row may be missed
    assert len(figure.layout.shapes) == 4  # both thresholds in both panels


def test_what_cannot_be_ranked_is_said_in_words():
    for plot in (plot_roc, plot_precision_recall):
        assert is_words(plot(NUMBERS, None, "x"))
        assert is_words(plot(BINARY[:0], "yes", "x"))
    assert is_words(plot_roc(BINARY[BINARY["truth"] == "yes"], "yes", "x"))
    for table, positive in ((NUMBERS, None), (drawn(3, 5), None), (BINARY[:0], "yes")):
        assert is_words(plot_thresholds(table, positive, (1, 1), "x"))


def test_thresholds_of_rows_of_one_label_are_drawn():
    figure = plot_thresholds(BINARY[BINARY["truth"] == "no"], "yes", (1, 1), "x")
    assert np.isnan(figure.data[1].y).all()  # there is nothing to recall
    assert figure.data[-1].y[1] == 0
