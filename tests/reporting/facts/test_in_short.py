import pytest

from tests.reporting.made import of_labels, of_numbers
from torchlane.reporting.facts.gather import gather_facts

RULE = {"title": "Too few rows", "remedy": "give more", "column": None, "numbers": {}}


def answers(artifacts):
    return {each["anchor"]: each["answer"] for each in gather_facts(artifacts)["in_short"]}


def test_five_questions_of_a_stranger_are_answered_with_numbers_of_the_run():
    found = answers(of_numbers())
    assert list(found) == ["scores", "certainty", "failures", "drivers", "provenance"]
    assert found["scores"].startswith(
        "Its mean absolute error on test is 30,157 USD; that of always guessing is 52,000 USD"
    )
    assert "148,568 USD wide" in found["certainty"]
    assert "Model file" in found["provenance"]


def test_rows_that_cannot_be_judged_are_named_among_those_not_to_trust():
    few = {**RULE, "code": "few-rows", "warning": "test has fewer than 10 rows of level=EX (3)"}
    warnings = {"warnings": [few], "checked": ["few-rows"], "not_checked": {}}
    assert "Test has fewer than 10 rows of level=EX (3)." in answers(of_numbers(warnings=warnings))["failures"]


@pytest.mark.parametrize("classes", [("no", "yes"), ("a", "b", "c")])
def test_labels_are_compared_by_their_accuracy_as_a_share(classes):
    found = answers(of_labels(classes))
    assert found["scores"].startswith("Its accuracy on test is 67 %")
    assert found["certainty"].endswith("the lower it is, the less you should rely on it.")


def test_metrics_in_warnings_are_said_in_words_but_columns_of_such_a_name_stay():
    text = "r2_score of 'r2_score' falls"
    warnings = {"warnings": [{**RULE, "code": "x", "warning": text}], "checked": [], "not_checked": {}}
    assert gather_facts(of_numbers(warnings=warnings))["warnings"]["warnings"][0]["text"] == "R² of 'r2_score' falls."
