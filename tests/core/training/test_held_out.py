import copy
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted, plain_model
from tests.core.training.stacked.members import make_parts, member, train
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.machine.interruption import Interrupted
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.learning import Lesson, train_models
from torchlane.core.options import DataOptions, EncodingOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.held_out import HeldOut
from torchlane.core.training.members import Member


def objective_of(loss: str = "mse") -> Objective:
    return Objective.of(TargetEncoder(name="y", task="regression"), loss)


def some_member(n_valid: int, loss: str = "mse") -> Member:
    made = member(0, parts=make_parts())
    made.objective = objective_of(loss)
    made.valid = TensorDataset(torch.zeros(n_valid, 13), torch.zeros(n_valid, 1))
    return made


@given(
    st.integers(2, 6).flatmap(
        lambda n_rows: st.lists(
            st.lists(st.integers(-20, 20), min_size=n_rows, max_size=n_rows), min_size=1, max_size=8
        )
    ),
    st.sampled_from(["mse", "l1", "huber"]),
)
def test_each_row_is_held_as_in_the_epoch_that_the_other_rows_choose(epochs, loss):
    outputs = torch.tensor(epochs, dtype=torch.float32)  # (epochs, n_rows), of a target of 0
    n_rows = outputs.shape[1]
    held = HeldOut([some_member(n_rows, loss), some_member(n_rows, loss)])
    for of_epoch in outputs:  # the second member goes the other way round
        both = torch.stack([of_epoch, of_epoch.flip(0)])[:, :, None]
        held.update([0, 1], objective_of(loss), both, torch.zeros_like(both))
    losses = {"mse": lambda x: x**2, "l1": abs, "huber": lambda x: x**2 / 2 if abs(x) < 1 else abs(x) - 0.5}[loss]
    for row in range(n_rows):
        sums = [sum(losses(value) for place, value in enumerate(each) if place != row) for each in epochs]
        best = min(range(len(epochs)), key=sums.__getitem__)
        assert held.rows_of(0)[row] == epochs[best][row] == held.rows_of(1)[n_rows - 1 - row]


def test_other_rows_choose_by_their_weights():
    weights = torch.tensor([[1.0, 3.0, 0.0]], dtype=torch.float64)
    held = HeldOut([some_member(3)])
    for values in ((2.0, 1.0, 0.0), (0.0, 1.5, 9.0)):  # squares, weighted: 4 + 3 + 0, then 0 + 6.75 + 0
        outputs = torch.tensor([values], dtype=torch.float64)[:, :, None]
        held.update([0], objective_of(), outputs, torch.zeros_like(outputs), weights)
    assert held.rows_of(0).tolist() == [2.0, 1.5, 9.0]


def test_row_that_is_far_off_does_not_hide_what_the_others_say():
    held = HeldOut([some_member(3)])
    for others, far in ((2.0, 1e12), (1.0, 1.0001e12), (3.0, 1e12)):
        outputs = torch.tensor([[[others], [others], [far]]], dtype=torch.float64)
        held.update([0], objective_of(), outputs, torch.zeros_like(outputs))
    assert held.rows_of(0)[2] == 1.0001e12


@pytest.mark.parametrize("stacked", [True, False])
def test_held_rows_are_those_of_the_epochs_as_they_were_and_hardly_those_of_the_kept_weights(stacked):
    parts = make_parts()
    members = [member(seed, parts=parts, epochs=30, learning_rate=0.03, stacked=stacked) for seed in range(3)]
    outcomes = train(*members)
    same = []
    for each, outcome in zip(members, outcomes, strict=True):
        model = copy.deepcopy(each.model).eval()
        model.load_state_dict(outcome["weights"])
        with torch.inference_mode():
            kept = model(parts[1].tensors[0]).squeeze(-1).double()
        same.append(torch.isclose(outcome["held_out"], kept, atol=1e-5).double().mean())
        truth = parts[1].tensors[1].squeeze(-1)
        assert (kept - truth).square().mean() <= (outcome["held_out"] - truth).square().mean()
    assert 0.3 < sum(same) / len(same) < 1  # most rows choose what all of them choose


def test_held_rows_have_the_same_bits_in_any_company_and_are_those_of_the_plain_loop():
    parts, other = make_parts(dtype=torch.float64), make_parts(seed=1, n_rows=90, dtype=torch.float64)
    members = [member(seed, parts=parts if seed < 2 else other, epochs=12) for seed in range(4)]
    together, pair = train(*members), train(members[0], members[3])
    assert torch.equal(together[0]["held_out"], pair[0]["held_out"])
    assert torch.equal(together[3]["held_out"], pair[1]["held_out"])
    alone = train(members[1])[0]["held_out"]
    torch.testing.assert_close(together[1]["held_out"], alone, rtol=0, atol=1e-8)


class _Kept:
    """Checkpoints in memory that keep the last state."""

    def __init__(self):
        self.state = None

    def load(self):
        return self.state

    def save(self, state):
        self.state = copy.deepcopy(state)

    def retire(self):
        self.state = None


@pytest.mark.parametrize("n_members", [1, 3])
def test_training_that_was_cut_off_holds_the_same_rows(n_members):
    parts = make_parts()
    members = [member(seed, parts=parts, epochs=15, learning_rate=0.03) for seed in range(n_members)]
    expected = train(*members)

    def cut(epoch, kept):
        if epoch == 8:
            raise Interrupted(2)
        return set()

    store = _Kept()
    changed = {"checkpoint_epochs": 1}
    own = [member(seed, parts=parts, epochs=15, learning_rate=0.03, **changed) for seed in range(n_members)]
    with pytest.raises(Interrupted):
        fit(copy.deepcopy(own), store, stop=cut)
    assert store.state is not None
    for one, other in zip(fit(copy.deepcopy(own), store), expected, strict=True):
        assert torch.equal(one["held_out"], other["held_out"])


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_nothing_is_held_for_classes_and_without_valid(task):
    features = torch.randn(30, 4)
    targets = torch.arange(30) % 3 if task == "multiclass" else (torch.arange(30) % 2).float()[:, None]
    rows = TensorDataset(features, targets)
    assert all(
        len(each["held_out"]) == 0 for each in train(*(member(s, parts=(rows, rows), task=task) for s in (0, 1)))
    )
    numbers = TensorDataset(features, features[:, :1])
    empty = TensorDataset(features[:0], features[:0, :1])
    assert all(len(each["held_out"]) == 0 for each in train(*(member(s, parts=(numbers, empty)) for s in (0, 1))))
    assert math.isnan(train(member(0, parts=(numbers, empty)))[0]["kept"]["valid_loss"])


def coverages(n_trainings: int, n_valid: int, n_members: int) -> dict[str, float]:
    """Train on drawn tables and give the mean coverage of 90 % intervals: of `predict`, and by the weights kept.

    A high rate makes one epoch much unlike the next, so that valid has much to choose from.
    """
    columns = {name: {"kind": "number"} for name in "abcy"}
    data = DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns})
    training = fitted(epochs=60, patience_epochs=None, learning_rate=0.03, batch_size=8, members=n_members)
    model_options, lessons, tests = plain_model(widths=(16,)), [], []
    for seed in range(n_trainings):
        random = np.random.default_rng(seed)
        rows = pd.DataFrame(random.normal(size=(24 + n_valid + 500, 4)), columns=list("abcy"))
        rows["y"] += rows["a"].abs() + rows["b"] * rows["c"]
        train_rows, valid_rows, test_rows = (
            rows[part].reset_index(drop=True) for part in np.s_[:24, 24 : 24 + n_valid, 24 + n_valid :]
        )
        encoder = fit_encoder(train_rows, data, EncodingOptions())
        own = training.model_copy(update={"seed": 100 * seed})
        lessons.append(Lesson(build_tensors(train_rows, encoder), build_tensors(valid_rows, encoder), encoder, own))
        tests.append(test_rows)
    found: dict[str, list[float]] = {"predict": [], "kept": []}
    trained = train_models(lessons, data, model_options, NoCheckpoints())
    for (model, _), lesson, test_rows in zip(trained, lessons, tests, strict=True):
        features, targets = lesson.valid.tensors
        kept = model.member_predictions(features).mean(0)
        by_kept = Calibration.of_values(kept, torch.zeros_like(kept), model.encoder.target.decode(targets.flatten()))
        for way, each in (("predict", model), ("kept", replace(model, calibration=by_kept))):
            table = each.predict(test_rows)
            found[way].append(float(test_rows["y"].between(table["low"], table["high"]).mean()))
    return {way: sum(values) / len(values) for way, values in found.items()}


def test_intervals_cover_new_rows_though_valid_has_chosen_the_epoch():
    found = coverages(n_trainings=40, n_valid=19, n_members=2)
    assert found["predict"] > 0.885 and found["kept"] < found["predict"] - 0.02


@pytest.mark.slow
@pytest.mark.parametrize(("n_valid", "n_members"), [(9, 4), (19, 1), (49, 4)])
def test_intervals_cover_what_was_asked_over_many_trainings(n_valid, n_members):
    assert coverages(200, n_valid, n_members)["predict"] > 0.89  # the standard error is 0.005 or less
