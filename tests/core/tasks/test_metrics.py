import pytest
import torch

from torchlane.core.judging.evaluation import score
from torchlane.core.tasks import metrics
from torchlane.core.tasks.tasks import TASKS


def numbers(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("unit", [1, 1e-5, 1e-200, 1e200, 5e-324])
def test_r2_does_not_depend_on_the_unit(unit):
    truth, prediction = numbers([1.0, 2.0, 3.0, 6.0]), numbers([2.0, 2.0, 3.0, 4.0])
    expected = 1 - 5 / 14
    assert metrics.r2_score(prediction * unit, truth * unit).item() == pytest.approx(expected, rel=1e-15)


def test_r2_of_times_in_seconds_since_1970_keeps_its_digits():
    truth = torch.arange(5, dtype=torch.float64)[None]
    off = truth + numbers([0.5, 0, -0.5, 0, 0])
    assert metrics.r2_score(off + 1.7e9, truth + 1.7e9).item() == 1 - 0.5 / 10


@pytest.mark.parametrize("value", [0.0, 0.1, 1e300])
@pytest.mark.parametrize("n_rows", [1, 3, 7])
def test_r2_of_a_constant_truth_is_not_defined(value, n_rows):
    truth = torch.full((2, n_rows), value, dtype=torch.float64)
    assert metrics.r2_score(truth, truth).isnan().all()
    assert metrics.r2_score(truth + 1, truth).isnan().all()
    assert score(TASKS["regression"], truth[0] + 1, truth[0])["r2_score"] is None


@pytest.mark.parametrize("label", [0, 1])
def test_auc_of_one_class_is_not_defined(label):
    truth, probabilities = torch.full((4,), label), torch.rand(4, 2, dtype=torch.float64)
    assert score(TASKS["binary"], probabilities, truth)["roc_auc_score"] is None


def test_f1_without_positive_rows_or_predictions_is_not_defined_and_0_where_either_is_there():
    sure, negative = numbers([0.9, 0.1], [0.8, 0.2]), torch.tensor([0, 0])
    assert score(TASKS["binary"], sure, negative)["f1_score"] is None
    assert score(TASKS["binary"], sure, torch.tensor([0, 1]))["f1_score"] == 0
    assert score(TASKS["binary"], sure.flip(1), negative)["f1_score"] == 0


def test_macro_f1_does_not_count_a_label_that_nobody_has():
    two = numbers([0.9, 0.1], [0.2, 0.8], [0.7, 0.3])
    truth = torch.tensor([0, 1, 1])
    of_two = score(TASKS["multiclass"], two, truth)["macro_f1_score"]
    assert of_two == pytest.approx(2 / 3, rel=1e-15)
    of_four = score(TASKS["multiclass"], torch.cat([two, torch.zeros(3, 2)], dim=1), truth)["macro_f1_score"]
    assert of_four == of_two
    third = torch.cat([two, numbers([0], [0], [0.75])], dim=1)  # predicted for the last row, which is another
    assert score(TASKS["multiclass"], third, truth)["macro_f1_score"] == pytest.approx((1 + 2 / 3 + 0) / 3, rel=1e-15)


def test_of_equal_probabilities_the_first_label_is_predicted():
    even = numbers([0.5, 0.5], [0.5, 0.5])
    scores = score(TASKS["binary"], even, torch.tensor([0, 1]))
    assert (scores["accuracy_score"], scores["f1_score"], scores["roc_auc_score"]) == (0.5, 0, 0.5)


def test_row_whose_label_was_ruled_out_costs_36_whichever_label_it_is():
    ruled_out = numbers([1.0, 0.0], [0.0, 1.0])
    for row, truth in [(ruled_out[:1], 1), (ruled_out[1:], 0)]:
        loss = score(TASKS["binary"], row, torch.tensor([truth]))["cross_entropy_loss"]
        assert loss == pytest.approx(36.04, abs=0.01)
    assert str(score(TASKS["binary"], ruled_out, torch.tensor([0, 1]))["cross_entropy_loss"]) == "0.0"


@pytest.mark.parametrize("task", TASKS)
def test_no_rows_and_predictions_that_are_no_number_have_no_score(task):
    shape = (2, 3) if task == "regression" else (2, 3, 2)
    prediction, truth = torch.rand(shape, dtype=torch.float64), torch.tensor([[0, 1, 1], [1, 0, 1]])
    prediction[1, 2] = torch.nan
    for metric in TASKS[task].metrics.values():
        assert metric(prediction, truth).isnan().tolist() == [False, True]
        assert metric(prediction[:, :0], truth[:, :0]).isnan().tolist() == [True, True]


@pytest.mark.slow
def test_ranks_of_more_rows_than_float32_can_number_are_exact():
    n_rows = 2**24 + 1
    truth = torch.zeros(1, n_rows, 1)
    truth[0, -1] = 1
    outputs = torch.arange(n_rows, dtype=torch.float64)[None, :, None]
    assert TASKS["binary"].primary(outputs, truth).item() == 1
