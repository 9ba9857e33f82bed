import pytest

from torchlane.core.tasks.tasks import TASKS


@pytest.mark.parametrize("task", TASKS)
def test_trials_are_compared_by_a_score_which_is_better_the_higher_it_is(task):
    assert TASKS[task].primary_metric.endswith("_score")
