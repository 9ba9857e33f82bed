import copy
import math
import os
import signal
from contextlib import suppress
from typing import Any

import pytest
import torch

from tests.core.fitted import plain_model
from tests.core.training.test_fit import CPU, MODEL, TARGET, options, train
from torchlane.core.machine import interruption
from torchlane.core.networks import build_model
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.members import make_members


class Memory:
    """Checkpoints in memory; after `die_after` saves the next one raises, as in a killed run."""

    def __init__(self, die_after: int | None = None):
        self.state: Any = None
        self.retired = False
        self._left = die_after

    def load(self):
        return copy.deepcopy(self.state)

    def save(self, state):
        if self._left == 0:
            raise KeyboardInterrupt
        self.state = copy.deepcopy(state)
        self._left = None if self._left is None else self._left - 1

    def retire(self):
        self.retired = True


SCHEDULERS = [
    None,
    {"name": "OneCycleLR", "step": "batch"},
    {"name": "CosineAnnealingWarmRestarts", "arguments": {"T_0": 2}},
    {"name": "ReduceLROnPlateau", "arguments": {"patience": 0}},
    {"name": "MultiStepLR", "arguments": {"milestones": [2, 4]}},
]


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda each: str(each and each["name"]))
@pytest.mark.parametrize(("stacked", "die_after"), [(True, 1), (True, 4), (False, 1), (False, 4), (False, 8)])
def test_a_training_cut_off_ends_with_the_bits_of_one_that_was_not(toy_tensors, scheduler, stacked, die_after):
    changes = {"members": 2, "stacked": stacked, "checkpoint_minutes": 0, "scheduler": scheduler, "patience_epochs": 4}
    expected = train(toy_tensors, changes)
    checkpoints = Memory(die_after)
    with pytest.raises(KeyboardInterrupt):
        train(toy_tensors, changes, checkpoints=checkpoints)
    checkpoints._left = None
    resumed = train(toy_tensors, changes, checkpoints=checkpoints)
    assert checkpoints.retired
    for one, other in zip(resumed.weights, expected.weights, strict=True):
        assert all(torch.equal(one[key], tensor) for key, tensor in other.items())
    assert resumed.history.drop(columns="seconds").equals(expected.history.drop(columns="seconds"))
    assert resumed.metrics == expected.metrics


class Losing(Memory):
    """Raises after it has written a checkpoint, as in a run that is killed right after a save."""

    def save(self, state):
        self.state = copy.deepcopy(state)
        if self._left == 0:
            raise KeyboardInterrupt
        self._left = None if self._left is None else self._left - 1


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("saves", range(8))
def test_members_that_were_stopped_or_failed_stay_so_after_a_kill(toy_tensors, stacked, saves):
    chosen = options(members=2, stacked=stacked, checkpoint_minutes=0, epochs=8, optimizer={"name": "SGD"})

    def members():
        made = make_members(lambda: build_model(MODEL, 3, 1), *toy_tensors, Objective.of(TARGET), chosen, CPU)
        made[1].options = chosen.model_copy(update={"learning_rate": 1e30})
        return made

    def stop(epoch, kept):
        return set(kept) if epoch == 2 else set()

    def run(checkpoints):
        return fit(members(), checkpoints, stop=stop, keep_going=True)

    expected, checkpoints = run(Memory()), Losing(saves)
    with suppress(KeyboardInterrupt):
        run(checkpoints)
    checkpoints._left = None
    for one, other in zip(run(checkpoints), expected, strict=True):
        assert len(one["history"]) == len(other["history"]) <= 2
        assert one["error"] == other["error"]
        torch.testing.assert_close(one["weights"], other["weights"], rtol=0, atol=0, equal_nan=True)
    assert len(expected[0]["history"]) == 2 and expected[1]["error"]


def test_checkpoints_come_every_so_many_epochs(toy_tensors):
    checkpoints = Memory()
    train(toy_tensors, {"checkpoint_minutes": 10, "checkpoint_epochs": 4}, checkpoints=checkpoints)
    assert checkpoints.state["running"]["epoch"] == 4


@pytest.mark.parametrize(("stacked", "batches_left"), [(False, 33), (True, 18)])  # 5 a run through train
def test_signal_in_the_midst_of_an_epoch_saves_the_epoch_before_and_loses_no_bit(
    toy_tensors, monkeypatch, stacked, batches_left
):
    changes = {"members": 2, "stacked": stacked, "checkpoint_minutes": 10, "optimizer": {"name": "Adam"}}
    expected = train(toy_tensors, changes)
    plain_check = interruption.check

    def check_and_signal():
        nonlocal batches_left
        batches_left -= 1
        if batches_left == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        plain_check()

    monkeypatch.setattr(interruption, "check", check_and_signal)
    checkpoints = Memory()
    with pytest.raises(interruption.Interrupted), interruption.handled():
        train(toy_tensors, changes, checkpoints=checkpoints)
    assert checkpoints.state["running"]["epoch"] == (3 if stacked else 0)
    assert len(checkpoints.state["finished"]) == (0 if stacked else 1)  # it was the second member's first epoch
    resumed = train(toy_tensors, changes, checkpoints=checkpoints)
    for one, other in zip(resumed.weights, expected.weights, strict=True):
        assert all(torch.equal(one[key], tensor) for key, tensor in other.items())


def test_full_disk_costs_the_checkpoint_and_not_the_training(toy_tensors, caplog):
    class Full(Memory):
        def save(self, state):
            raise OSError("No space left on device")

    fitted = train(toy_tensors, {"checkpoint_minutes": 0}, checkpoints=Full())
    assert len(fitted.history) == 6
    assert "the checkpoint could not be written (No space left on device); the training goes on" in caplog.text


def test_loss_that_turns_bad_in_the_middle_keeps_the_checkpoint_before(toy_tensors):
    train_tensors, valid = toy_tensors
    schedule = {"name": "ExponentialLR", "arguments": {"gamma": 1e6}}
    changes = {"scheduler": schedule, "optimizer": {"name": "SGD"}, "checkpoint_minutes": 0}
    checkpoints = Memory()
    with pytest.raises(ValueError, match="loss is (nan|inf) after epoch [2-6]"):
        train((train_tensors, valid), changes, plain_model(widths=(8,), activation=None), checkpoints)
    assert checkpoints.state["running"]["epoch"] >= 1
    assert all(torch.isfinite(tensor).all() for tensor in checkpoints.state["running"]["model"].values())


def test_no_checkpoint_is_written_before_its_time(toy_tensors):
    checkpoints = Memory(die_after=0)
    assert math.isfinite(train(toy_tensors, {"checkpoint_minutes": 10}, checkpoints=checkpoints).metrics["train_loss"])
