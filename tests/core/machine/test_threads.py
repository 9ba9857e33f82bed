import os
import subprocess
import sys
import threading

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from torchlane.core.machine import threads
from torchlane.core.machine.threads import decide_threads, multiply_adds, threads_for, torch_threads
from torchlane.core.machine.waiting import SHORT_WAIT

IMPORTS = """
import os, sys, torchlane
assert "torch" not in sys.modules
print(*(os.environ.get(name) for name in ("GOMP_SPINCOUNT", "KMP_BLOCKTIME")))
"""


@pytest.fixture
def four_threads(monkeypatch):
    """A machine on which torch takes four threads, and a user who has chosen nothing."""
    for name in threads.CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_narrow_steps_take_one_thread_and_wide_ones_those_of_torch(four_threads):
    assert threads_for(lambda: threads.WIDE_STEP - 1) == 1
    assert threads_for(lambda: threads.WIDE_STEP) == 4


def test_option_comes_before_the_environment_and_the_environment_before_the_work(four_threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert threads_for(lambda: 1) == 4
    assert threads_for(lambda: 1, chosen=3) == 3


class Unusual(nn.Module):
    """A network that takes no row of zeros."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, features):
        if not features.any():
            raise ValueError("nothing to see")
        return self.layer(features)


@pytest.mark.parametrize(
    ("network", "shape", "expected"),
    [
        (nn.Sequential(nn.Linear(784, 100), nn.BatchNorm1d(100), nn.Linear(100, 10)), (2, 784), 2 * 79_400),
        (nn.Conv2d(3, 8, 3, padding=1), (1, 3, 10, 10), 3 * 8 * 9 * 100),
        (nn.LSTM(28, 32, batch_first=True), (1, 28, 28), 28 * 4 * 32 * (28 + 32)),
        (nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (1, 10, 16), 10 * 8 * 16 * 16 + 2 * 10 * 10 * 16),
        (Unusual(), (5, 3), 5 * 8),
    ],
    ids=["linear", "convolution", "recurrent", "attention", "weights alone"],
)
def test_multiply_adds_of_a_network_are_counted(network, shape, expected):
    with torch.inference_mode():
        assert multiply_adds(network, torch.zeros(shape)) == expected
    assert all(each.device.type == "cpu" for each in network.parameters())


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (nn.Conv2d(4, 6, 3, stride=2, groups=2), (2, 4, 9, 9)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (2, 4, 5, 5)),
        (nn.Conv1d(4, 6, 3), (2, 4, 9)),
        (nn.Linear(5, 3, bias=False), (2, 7, 5)),
    ],
    ids=["grouped", "transposed", "one dimension", "without bias"],
)
def test_multiply_adds_are_half_of_the_operations_that_torch_counts(network, shape):
    rows = torch.rand(shape)
    with FlopCounterMode(display=False) as counter:
        network(rows)
    with threads._Counter() as ours:
        network(rows)
    assert 2 * ours.n_operations == counter.get_total_flops() > 0


def test_outer_block_decides_and_each_thread_is_left_as_it_was(four_threads):
    with torch_threads(2):
        with torch_threads(1):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 4


def test_thread_that_starts_beside_a_narrow_training_still_knows_torchs_number(four_threads, monkeypatch):
    monkeypatch.setattr(threads, "_at_import", 4)
    found = []

    def work():
        found.append(threads_for(lambda: threads.WIDE_STEP))
        decide_threads(3)
        found.append(torch.get_num_threads())

    with torch_threads(1):
        beside = threading.Thread(target=work)
        beside.start()
        beside.join()
        assert torch.get_num_threads() == 1
    assert found == [4, 3]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [({}, "1000 0"), ({"GOMP_SPINCOUNT": "7"}, "7 None"), ({"OMP_WAIT_POLICY": "active"}, "None None")],
)
def test_idle_threads_wait_briefly_unless_the_user_says_how(chosen, expected):
    inherited = {name: value for name, value in os.environ.items() if name not in (*SHORT_WAIT, "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", IMPORTS]
    done = subprocess.run(command, env={**inherited, **chosen}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected.split()
