import math

import pytest

from tests.reporting.made import NUMBERS, of_labels, of_numbers
from torchlane.core.options import SplitOptions
from torchlane.reporting.facts.answer import find_answer
from torchlane.reporting.facts.asked import find_split


def test_answer_of_numbers_compares_the_mean_error_with_that_of_the_median():
    answer = find_answer(of_numbers())
    assert answer["sentence"] == (
        "Predicts price to within 30,157 USD on average; always guessing the median of train, 101,000 USD, "
        "is off by 52,000 USD."
    )
    assert answer["more"] == [
        "Each prediction comes with an interval that should contain the truth for 90 % of new rows. On test it does "
        "for 92 %; it is 148,568 USD wide on average."
    ]


def test_answer_of_two_labels_says_how_many_rows_are_right_and_which_share_is_found():
    answer = find_answer(of_labels())
    assert answer["sentence"] == (
        "Tells answer yes from no: right for 67 of 100 rows; always guessing the commonest class is right for 62 of 100."
    )
    assert (
        answer["more"][0]
        == "Of the rows that are yes, it finds 30 of 100. When it says yes, it is right in 65 % of cases."
    )
    assert answer["more"][1] == "The rows are a bundled sample drawn by a generator, not real observations."


@pytest.mark.parametrize("error", [52_000.0, 60_000.0])
def test_model_that_is_no_better_than_guessing_is_called_so(error):
    metrics = {"test": {**NUMBERS, "mean_absolute_error": error}}
    assert "which is no better than always guessing the median" in find_answer(of_numbers(metrics))["sentence"]


def test_classifier_that_is_no_better_than_guessing_is_called_so():
    metrics = {"test": {"accuracy_score": 0.62}, "baseline": {"accuracy_score": 0.62}}
    assert "no better than always guessing the commonest class" in find_answer(of_labels(metrics=metrics))["sentence"]


def test_few_rows_are_counted():
    metrics = {"rows": {"train": 86, "valid": 0, "test": 15}, "test": {"accuracy_score": 1.0}}
    answer = find_answer(of_labels(("a", "b", "c"), {**metrics, "baseline": {"accuracy_score": 0.4}}))
    assert answer["sentence"] == (
        "Tells the 3 classes of answer apart: right for all 15 rows; always guessing the commonest class is right "
        "for 6 of 15."
    )


def test_class_that_is_never_predicted_is_named():
    classes = {
        "no": {"precision": 0.6, "recall": 1.0, "f1": 0.7, "rows": 300},
        "yes": {"precision": None, "recall": 0.0, "f1": 0.0, "rows": 186},
    }
    assert find_answer(of_labels(metrics={"classes": classes}))["more"][0] == (
        "Of the rows that are yes, it finds 0 of 100: it never says yes."
    )


@pytest.mark.parametrize(
    ("rows", "part", "said"),
    [
        ({"train": 9, "valid": 5, "test": 0}, "valid", "measured on valid, which also chose when to stop"),
        ({"train": 9, "valid": 0, "test": 0}, "train", "says nothing about new rows"),
    ],
)
def test_without_rows_of_test_the_answer_says_what_it_was_measured_on(rows, part, said):
    metrics = {"rows": rows, "test": {}, "baseline": {}, "calibration": {}}
    artifacts = of_numbers(metrics)
    del artifacts.metrics["median"]
    answer = find_answer(artifacts)
    assert answer["sentence"] == "Predicts price to within 30,157 USD on average."
    assert any(said in sentence for sentence in answer["more"])
    assert answer["cards"][-1]["note"].endswith(f"of {part}")


def test_rows_that_are_in_every_part_say_nothing_about_new_ones():
    answer = find_answer(of_numbers(split=SplitOptions(all_rows_in=("train", "test"))))
    assert "Every row is in train and in test, so this says nothing about new rows." in answer["more"]


def test_rows_that_are_in_every_part_are_counted_once():
    metrics = {"rows": {"train": 300, "valid": 300, "test": 300}}
    artifacts = of_numbers(metrics, split=SplitOptions(all_rows_in=("train", "valid", "test")))
    assert find_answer(artifacts)["cards"][-1]["value"] == "300"
    assert [row[2] for row in find_split(artifacts)["parts"]["rows"]] == [1.0, 1.0, 1.0]


def test_share_of_the_weight_of_few_rows_is_no_number_of_rows():
    classes = {
        "no": {"precision": 0.9844, "recall": 1.0, "f1": 0.99, "rows": 23},
        "yes": {"precision": 1.0, "recall": 0.993, "f1": 0.99, "rows": 22},  # 2 of the 22, of little weight, are missed
    }
    artifacts = of_labels(metrics={"classes": classes, "weight": "w"})
    assert find_answer(artifacts)["more"][0].startswith("Of the rows that are yes, it finds 99.3 of 100.")


def test_undefined_scores_and_endless_intervals_are_said_in_words():
    metrics = {
        "test": {**NUMBERS, "r2_score": None},
        "calibration": {"coverage_asked": 0.9, "coverage": 1.0, "interval_width": None},
    }
    answer = find_answer(of_numbers(metrics))
    assert {"label": "explained", "value": "undefined", "note": "R² has no value"} in answer["cards"]
    assert answer["more"][0].endswith("On test it does for 100 %.")
    assert not any(
        isinstance(value, float) and math.isnan(value) for card in answer["cards"] for value in card.values()
    )


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"order_by": "sold"}, ["This was measured on later rows than those of train, in the order of sold."]),
        ({"group_by": ["owner"]}, ["This was measured on groups of owner that train does not have."]),
        (None, []),
    ],
)
def test_answer_says_how_test_is_unlike_train(split, said):
    metrics = {} if split is None else {"split": split}
    assert find_answer(of_numbers(metrics))["caution"] == said
    no_test = {"rows": {"train": 80, "valid": 20}, "test": {}, "baseline": {}, "calibration": {}}
    assert "in the order of" not in str(find_answer(of_numbers({**metrics, **no_test}))["caution"])
