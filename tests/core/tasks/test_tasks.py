import pandas as pd
import pytest
import torch
from torch import nn

from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.options import LossOptions, TrainingOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.tasks.tasks import TASKS

KINDS = pd.Series(["a", "a", "a", "b"], name="kind")
OUTPUTS = torch.tensor([[0.2, -0.1], [1.0, 0.3], [-0.5, 0.5], [0.1, 0.9]])
INDEX = torch.tensor([0, 0, 0, 1])


def criterion(task: str, **loss) -> nn.Module:
    return Objective.of(TargetEncoder.fit(KINDS, task, "none"), LossOptions.model_validate(loss)).criterion


def test_balanced_classes_weigh_the_same_in_sum():
    expected = nn.CrossEntropyLoss(weight=torch.tensor([4 / 6, 2.0]))(OUTPUTS, INDEX)
    assert torch.equal(criterion("multiclass", class_weights="balanced")(OUTPUTS, INDEX), expected)
    positive = torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    expected = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0))(OUTPUTS[:, :1], positive)
    torch.testing.assert_close(criterion("binary", class_weights="balanced")(OUTPUTS[:, :1], positive), expected)


def test_weights_are_given_by_label_and_are_1_where_none_is_given():
    expected = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0]))(OUTPUTS, INDEX)
    weighted = criterion("multiclass", class_weights={"b": 5})
    assert torch.equal(weighted(OUTPUTS, INDEX), expected)
    assert weighted(OUTPUTS.double(), INDEX).dtype == torch.float64


def test_label_smoothing_is_that_of_torch():
    expected = nn.CrossEntropyLoss(label_smoothing=0.1)(OUTPUTS, INDEX)
    assert torch.equal(criterion("multiclass", label_smoothing=0.1)(OUTPUTS, INDEX), expected)


@pytest.mark.parametrize(("task", "name", "kind"), [
    ("regression", "mse", nn.MSELoss), ("regression", "l1", nn.L1Loss), ("regression", "huber", nn.HuberLoss),
    ("binary", "binary_cross_entropy", nn.BCEWithLogitsLoss), ("multiclass", "cross_entropy", nn.CrossEntropyLoss),
])  # fmt: skip
def test_losses_are_those_of_torch_and_a_name_alone_serves(task, name, kind):
    assert name in TASKS[task].losses
    target = TargetEncoder(name="y", task=task, labels=("0", "1"), counts=(1, 1))
    assert type(Objective.of(target, TrainingOptions.model_validate({"loss": name}).loss).criterion) is kind


@pytest.mark.parametrize(
    ("task", "loss", "message"),
    [
        (
            "binary",
            {"label_smoothing": 0.1},
            "loss.label_smoothing cannot be combined with binary_cross_entropy, the loss of",
        ),
        (
            "multiclass",
            {"class_weights": {"c": 2}},
            "names 'c', which is not a label of 'kind' in train; the labels are a, b",
        ),
        ("multiclass", {"name": "mse"}, "'mse' is not a loss for multiclass; choose one of cross_entropy"),
    ],
)
def test_loss_that_does_not_fit_is_refused(task, loss, message):
    with pytest.raises(ValueError, match=message):
        criterion(task, **loss)


@pytest.mark.parametrize("output", [0.0, 3.0, 40.0, 700.0])
def test_both_labels_of_a_binary_task_have_their_probability_also_where_it_is_small(output):
    target = TargetEncoder.fit(KINDS, "binary", "none")
    first, second = TASKS["binary"].predict(torch.tensor([[output], [-output]]), target)
    assert first.tolist() == second.tolist()[::-1] and float(first.sum()) == pytest.approx(1)
    assert first[0].log().item() == pytest.approx(-output if output > 37 else first[1].log().item() - output)


def test_weights_do_not_go_with_numbers():
    target = TargetEncoder(name="pay", task="regression")
    for weights in ("balanced", {"a": 2}):
        with pytest.raises(
            ValueError, match=r"class_weights (cannot be combined with mse|names 'a', .* task is regression)"
        ):
            Objective.of(target, LossOptions.model_validate({"class_weights": weights}))
