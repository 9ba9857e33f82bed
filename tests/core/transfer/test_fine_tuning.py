import logging

import numpy as np
import pandas as pd
import pytest
import torch

from tests.core.transfer.adapted import (
    CLASSES,
    MODEL,
    REGRESSION,
    TRAINING,
    make_rows,
    train_parent,
    tune,
)
from torchlane.core.machine import interruption
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.trained import load
from torchlane.core.options import (
    FineTuningOptions,
)


@pytest.mark.parametrize(
    ("freeze", "moves"),
    [
        ("linear_1", {"linear_2", "head"}),
        ({"layers": ["linear_*"]}, {"head"}),
        ({"layers": [r"re:linear_\d"]}, {"head"}),
        ({"layers": ["linear_1.weight"]}, {"linear_1.bias", "linear_2", "head"}),
        ({"first": 2}, {"head"}),
        ({"all_but": "head"}, {"head"}),
        ({"all_but": ["head", "linear_1"]}, {"linear_1", "head"}),
    ],
    ids=["name", "pattern", "regular expression", "parameter", "first", "all but the head", "all but two"],
)
def test_frozen_layers_stay_and_the_others_move(freeze, moves, caplog):
    caplog.set_level(logging.INFO)
    parent = train_parent(make_rows(), REGRESSION)
    tuned = tune(parent, make_rows(), REGRESSION, freeze=freeze)
    moved = {name for name, tensor in tuned.weights.items() if not torch.equal(tensor, parent.weights[name])}
    whole = {"linear_1", "linear_2", "head"}
    expected = {f"{name}.{kind}" for name in moves & whole for kind in ("weight", "bias")} | (moves - whole)
    assert moved == expected
    line = next(each for each in caplog.messages if each.startswith("fine-tuning: "))
    n_trained = sum(tuned.weights[name][0].numel() for name in expected)
    n_all = sum(tensor[0].numel() for tensor in tuned.weights.values())
    assert f"{n_trained} of {n_all} parameters train" in line
    assert all(name in line for name in tuned.details["fine_tuning"]["frozen"])


def test_members_that_shared_weights_are_fine_tuned_each_on_its_own(monkeypatch):
    monkeypatch.setitem(TRAINING, "sharing", "tabm")
    parent = train_parent(make_rows(), REGRESSION)
    ratio = parent.weights["linear_2.weight"][0] / parent.weights["linear_2.weight"][1]
    tuned = tune(parent, make_rows("abd"), REGRESSION, learning_rate=0.05)
    assert tuned.training.sharing == "none"
    assert len({outcome.item() for outcome in tuned.weights["head.bias"][:, 0]}) == 2
    moved = tuned.weights["linear_2.weight"][0] / tuned.weights["linear_2.weight"][1]
    assert not torch.allclose(moved, ratio)


def test_batch_norm_is_frozen_with_the_layer_before_it():
    parent = train_parent(make_rows(), REGRESSION, model={**MODEL, "batch_norm": True})
    tuned = tune(parent, make_rows(n_rows=40), REGRESSION, freeze={"first": 1})
    for name, tensor in tuned.weights.items():
        stays = name.startswith(("linear_1", "batch_norm_1"))
        assert torch.equal(tensor, parent.weights[name]) == stays, name


def test_earlier_layers_have_lower_rates_and_patterns_set_their_own(caplog):
    caplog.set_level(logging.INFO)
    parent = train_parent(make_rows(), REGRESSION)
    tune(parent, make_rows(), REGRESSION, learning_rate=0.01, layer_decay=0.5, learning_rates={"linear_1": 0.004})
    assert "by groups at 0.01, 0.005, 0.004;" in caplog.text
    tune(parent, make_rows(), REGRESSION, learning_rate=0.01, thaw_epochs=2)
    assert "by groups at 0.01, 0.01 from epoch 3, 0.01 from epoch 5;" in caplog.text


def test_pull_keeps_weights_near_the_parents():
    parent = train_parent(make_rows(), REGRESSION)

    def distance(pull: float) -> float:
        tuned = tune(parent, make_rows(), REGRESSION, pull=pull, epochs=20, learning_rate=0.01)
        return sum(float((tuned.weights[name] - parent.weights[name]).square().sum()) for name in parent.weights)

    assert distance(30.0) < 0.3 * distance(0.0)


@pytest.mark.parametrize("weight", [None, "w"], ids=["equal rows", "weighted rows"])
def test_outputs_computed_once_give_the_same_model_on_images(weight):
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 60)
    images = [(generator.integers(0, 100, (6, 6)) + 150 * label).astype(np.uint8) for label in labels]
    raw = pd.DataFrame({"image": pd.Series(images, dtype=object), "label": [f"c{label}" for label in labels]})
    raw["w"] = generator.integers(0, 4, 60).astype(str)
    columns = {"image": {"kind": "image", "size": [1, 6, 6]}}
    data = {"task": "multiclass", "target": "label", "columns": columns, "weight": weight}
    parent = train_parent(raw, data, model={"kind": "cnn", "widths": [4, 6], "depth": 1})
    once, each_time = (tune(parent, raw, data, once=once, freeze={"first": 2}) for once in (True, False))
    for name, tensor in once.weights.items():
        torch.testing.assert_close(tensor, each_time.weights[name], rtol=0, atol=1e-5)
    assert once.details["fine_tuning"]["frozen"] == ["convolution_1_1", "convolution_2_1"]


def test_fine_tuned_model_names_its_parent_and_reads_back_to_the_same_predictions(tmp_path):
    train_parent(make_rows(), REGRESSION).save(tmp_path / "parent")
    parent = load(tmp_path / "parent")
    tuned = tune(parent, make_rows(places="abd"), REGRESSION)
    tuned.save(tmp_path / "tuned")
    reread = load(tmp_path / "tuned")
    assert reread.details["parent"]["fingerprint"] == parent.fingerprint
    assert reread.calibration.n_rows == 12  # valid of the new rows
    rows = make_rows(places="abd").drop(columns="price")
    pd.testing.assert_frame_equal(reread.predict(rows), tuned.predict(rows))
    shuffled = rows.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(reread.predict(shuffled).sort_index(), reread.predict(rows))


def test_fine_tuning_twice_gives_the_same_bits_and_cut_off_goes_on_to_them(monkeypatch):
    parent = train_parent(make_rows(), REGRESSION)
    first, second = (tune(parent, make_rows(), REGRESSION, freeze={"first": 1}, thaw_epochs=1) for _ in range(2))
    assert all(torch.equal(tensor, second.weights[name]) for name, tensor in first.weights.items())

    class Memory(NoCheckpoints):
        state = None

        def load(self):
            return self.state

        def save(self, state):
            self.state = state

    checkpoints, plain_check, left = Memory(), interruption.check, 9

    def check():
        nonlocal left
        left -= 1
        if left == 0:
            raise interruption.Interrupted(15)
        plain_check()

    monkeypatch.setattr(interruption, "check", check)
    with pytest.raises(interruption.Interrupted):
        tune(parent, make_rows(), REGRESSION, checkpoints, freeze={"first": 1}, thaw_epochs=1)
    assert checkpoints.state["running"]["epoch"] == 1
    resumed = tune(parent, make_rows(), REGRESSION, checkpoints, freeze={"first": 1}, thaw_epochs=1)
    assert all(torch.equal(tensor, resumed.weights[name]) for name, tensor in first.weights.items())


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": "linear_9"}, "freeze.layers 'linear_9' matches nothing; the layers are linear_1, linear_2, head"),
        ({"freeze": ["*"]}, "leaves nothing to train; the layers are linear_1, linear_2, head; freeze fewer"),
        ({"freeze": {"first": 3}}, "leaves nothing to train"),
        ({"freeze": {"first": 4}}, "freeze.first 4 exceeds the number of layers, 3; the layers are linear_1"),
        ({"freeze": {"all_but": "tail"}}, "freeze.all_but 'tail' matches nothing"),
        ({"learning_rates": {"lin_1": 0.1}}, "learning_rates 'lin_1' matches nothing"),
        ({"head_layer": "tail"}, "head_layer 'tail' is not a layer; the layers are"),
        ({"head_layer": "linear_1"}, r"the head cannot be mapped: layer linear_1 has weights of shape \(8, 4\)"),
    ],
)
def test_layers_that_do_not_fit_are_refused_with_the_names(changes, message):
    parent = train_parent(make_rows(), REGRESSION)
    with pytest.raises(ValueError, match=message):
        tune(parent, make_rows(), REGRESSION, **changes)


def test_new_head_that_is_frozen_is_refused():
    parent = train_parent(make_rows(kinds="xz"), CLASSES)
    with pytest.raises(ValueError, match="fine_tuning.freeze includes the head, head, which has new weights"):
        tune(parent, make_rows(kinds="xyz"), CLASSES, freeze={"layers": ["head"]})


def test_parent_of_another_task_is_refused_unless_its_head_is_replaced():
    parent = train_parent(make_rows(), REGRESSION)
    with pytest.raises(ValueError, match="trained for another task, regression of 'price', not multiclass of 'kind'"):
        tune(parent, make_rows(), CLASSES)


def test_head_of_two_labels_with_a_third_is_refused():
    binary = {**CLASSES, "task": "binary"}
    parent = train_parent(make_rows(kinds="xz"), binary)
    with pytest.raises(
        ValueError, match="a binary task has 2 labels, but together with the parent's there are 3: w, x"
    ):
        tune(parent, make_rows(kinds="wx"), binary)


def test_column_that_the_parent_needs_is_named():
    parent = train_parent(make_rows(), REGRESSION)
    with pytest.raises(ValueError, match="column 'place' is missing in the table, and the parent needs it"):
        tune(parent, make_rows().drop(columns="place"), REGRESSION)
    numbers = {**REGRESSION, "columns": {"size": {"kind": "number"}, "place": {"kind": "number"}}}
    with pytest.raises(ValueError, match="'place' is a category for the parent, but a number in data.columns"):
        tune(parent, make_rows(), numbers)


def test_column_that_only_the_parent_declares_is_read_by_its_rules():
    parent = train_parent(make_rows(), REGRESSION)
    tuned = tune(parent, make_rows(), {**REGRESSION, "columns": {"size": {"kind": "number"}}})
    assert list(tuned.data.feature_columns) == ["size", "place"]


def test_fewer_rows_than_classes_and_one_class_alone_are_refused():
    parent = train_parent(make_rows(kinds="xyz"), CLASSES)
    with pytest.raises(ValueError, match="the table has 2 rows for 3 classes of the model; give at least one row"):
        tune(parent, make_rows(kinds="xy", n_rows=2), CLASSES)
    with pytest.raises(ValueError, match="have the same class, kind 'x'"):
        tune(parent, make_rows(kinds="x"), CLASSES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": {"all_but": "head", "first": 1}}, "all_but names the layers that are not frozen"),
        ({"freeze": "re:("}, "'re:\\(' is not a regular expression"),
        ({"learning_rates": {"re:[": 0.1}}, "is not a regular expression"),
        ({"valid_fraction": 0.5, "test_fraction": 0.5}, "together must stay below 1"),
    ],
)
def test_options_that_contradict_themselves_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FineTuningOptions.model_validate(options)
