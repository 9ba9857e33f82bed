import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.core.fitted import fitted, plain_model
from tests.core.training.test_fit import CPU, TARGET
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks import build_model
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training import progress
from torchlane.core.training.fit import fit
from torchlane.core.training.history import mean_history
from torchlane.core.training.members import Outcome, make_members


def outcome(losses: list[float], kept: int, first: int = 1) -> Outcome:
    """A member with these losses on train, half of them on valid."""
    lines = [
        {"epoch": first + number, "train_loss": loss, "valid_loss": loss / 2, "learning_rate": 0.1, "seconds": 1.0}
        for number, loss in enumerate(losses)
    ]
    return Outcome(weights={}, history=lines, kept=lines[kept - first], held_out=torch.empty(0), threads=1, error="")


def test_member_that_has_stopped_counts_with_the_values_of_its_last_epoch():
    history = mean_history([outcome([4.0, 2.0], 1), outcome([2.0, 2.0, 2.0, 0.0], 4)])
    assert history["train_loss"].tolist() == [3, 2, 2, 1]
    assert history["valid_loss"].tolist() == [1.5, 1, 1, 0.5]
    assert history["train_loss_spread"].tolist() == [1, 0, 0, 1]
    assert history["members"].tolist() == [2, 2, 1, 1]
    assert history["members_kept"].tolist() == [1, 0, 0, 1]
    assert history["seconds"].tolist() == [2, 2, 1, 1]  # of the members that train
    assert (history["learning_rate"] == 0.1).all()


def test_weights_before_the_first_epoch_may_be_the_ones_kept():
    history = mean_history([outcome([1.0, 2.0], 0, first=0), outcome([1.0, 2.0, 0.5], 2, first=0)])
    assert history["epoch"].tolist() == [0, 1, 2]
    assert history["members_kept"].tolist() == [1, 0, 1]


@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6), min_size=1, max_size=5))
def test_mean_over_members_moves_only_where_a_member_does(all_losses):
    """Where one member is left, the mean moves by its share of the change, and no member is lost or counted twice."""
    history = mean_history([outcome(losses, 1) for losses in all_losses])
    for epoch in range(1, len(history) + 1):
        values = [losses[min(epoch, len(losses)) - 1] for losses in all_losses]
        assert history["train_loss"].iloc[epoch - 1] == pytest.approx(sum(values) / len(values), abs=1e-9)
        assert history["members"].iloc[epoch - 1] == sum(len(losses) >= epoch for losses in all_losses)
    assert history["members_kept"].sum() == len(all_losses)


def test_one_member_has_its_own_values_to_the_bit():
    losses = [0.1, 0.1 + 0.2, 1 / 3]
    assert mean_history([outcome(losses, 2)])["train_loss"].tolist() == losses


def test_progress_shows_the_means_of_the_history(toy_tensors, monkeypatch):
    options = fitted(members=3, epochs=60, patience_epochs=2, learning_rate=0.05, batch_size=16, exact=False)
    model = plain_model(widths=(4,))
    members = make_members(
        lambda: build_model(model, 3, 1), *toy_tensors, Objective.of(TARGET, options.loss), options, CPU
    )
    shown: list[dict[str, float]] = []
    monkeypatch.setattr(progress, "_short_numbers_of", lambda line: shown.append(line) or [])
    history = mean_history(fit(members, NoCheckpoints(), quiet=True))
    lines = pd.DataFrame(shown[: len(history)])
    assert 1 <= history["members"].iloc[-1] < 3  # or else the test would prove nothing
    for name in ("epoch", "train_loss", "valid_loss", "train_r2_score", "valid_r2_score"):
        assert lines[name].tolist() == pytest.approx(history[name].tolist(), abs=1e-12)
