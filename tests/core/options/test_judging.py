import pytest
from pydantic import ValidationError

from torchlane.core.options import EvaluationOptions


def test_mistakes_cost_the_same_unless_told_otherwise():
    costs = EvaluationOptions.model_validate({"costs": {"false_negative": 10}}).costs
    assert (costs.false_positive, costs.false_negative) == (1, 10)


@pytest.mark.parametrize(
    ("costs", "rule"),
    [
        ({"false_positive": -1}, "greater than or equal to 0"),
        ({"false_positive": 0, "false_negative": 0}, "no mistake costs anything; give"),
        ({"false_positives": 1}, "not permitted"),
    ],
)
def test_costs_that_mean_nothing_are_refused(costs, rule):
    with pytest.raises(ValidationError, match=rule):
        EvaluationOptions.model_validate({"costs": costs})
