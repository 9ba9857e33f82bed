"""The estimate of memory, held to what a training with shared weights holds."""

import gc

import pandas as pd
import pytest
import torch

from tests.core.fitted import plain_model
from tests.core.model.test_learning import lesson_of
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import train_model
from torchlane.core.networks import memory
from torchlane.core.training.plain_run import PlainRun

N_LEVELS, WIDTH = 1_100, 64
OF_MEMBER = N_LEVELS * WIDTH * 4  # bytes


def bytes_of_large_tensors() -> int:
    """Add up the tensors in memory that are as large as the first layer of a member."""
    gc.collect()
    tensors = [
        each for each in gc.get_objects() if type(each) in (torch.Tensor, torch.nn.Parameter) and not each.is_sparse
    ]
    storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
    return sum(n_bytes for n_bytes in storages.values() if n_bytes >= OF_MEMBER)


@pytest.mark.parametrize("members", [2, 8])
def test_members_that_share_weights_hold_all_the_copies_of_the_estimate(toy_data, monkeypatch, members):
    levels = [f"p{number % N_LEVELS}" for number in range(2 * N_LEVELS)]
    rows = pd.DataFrame({"size": "1", "place": levels, "price": ["3", "2"] * N_LEVELS})
    held, outcomes = [], PlainRun.outcomes

    def count_after(run: PlainRun):
        found = outcomes(run)
        held.append(bytes_of_large_tensors())
        return found

    monkeypatch.setattr(PlainRun, "outcomes", count_after)
    options = {"epochs": 2, "batch_size": 2_048, "members": members, "sharing": "columns", "refit": False}
    before = bytes_of_large_tensors()
    train_model(lesson_of(rows, toy_data, **options), toy_data, plain_model(widths=(WIDTH, 4)), NoCheckpoints())
    copies = 2 * members + memory.COPIES
    assert copies - 1 < (held[0] - before) / OF_MEMBER < copies + 2
