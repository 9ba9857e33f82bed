import pytest
import torch

from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.options import LossOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.bounds import constant_loss, lowest_loss

LABELS = ("a", "b", "c", "d")
TARGETS = torch.tensor([0, 0, 0, 1, 1, 2])  # no row of the last label, which fine-tuning may keep
KINDS = torch.tensor([0, 0, 1, 1, 2, 2])
WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 0.0, 1.5, 1.0])


def lowest_by_search(kinds, objective, weights):
    """Find the lowest loss of one answer for each kind of row by L-BFGS."""
    answers = torch.zeros(int(kinds.max()) + 1, len(LABELS), requires_grad=True)
    optimizer = torch.optim.LBFGS([answers], max_iter=500, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = objective.batch_loss(answers[kinds], TARGETS, weights)
        value.backward()
        return value

    optimizer.step(loss)
    return float(loss().detach())


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("class_weights", [None, {"a": 0.5, "b": 3.0}])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_no_answer_has_a_lower_loss_than_the_bounds(smoothing, class_weights, weights):
    target = TargetEncoder(name="y", task="multiclass", labels=LABELS, counts=(3, 2, 1, 0))
    options = LossOptions.model_validate({"label_smoothing": smoothing, "class_weights": class_weights})
    objective = Objective.of(target, options)
    found = constant_loss(TARGETS, objective, weights), lowest_loss(KINDS[:, None].float(), TARGETS, objective, weights)
    expected = [lowest_by_search(kinds, objective, weights) for kinds in (torch.zeros_like(KINDS), KINDS)]
    assert found == pytest.approx(expected, abs=2e-3)
