import pytest
import torch
from torch.utils.data import TensorDataset

from torchlane.core.machine import devices
from torchlane.core.machine.devices import choose_device


def test_auto_takes_what_there_is():
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto").type == expected


def test_cpu_is_always_there():
    assert choose_device("cpu") == torch.device("cpu")


def test_device_that_is_not_there_is_refused():
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=rf"'{missing}' is not on this machine, which has cpu.*; set device: auto"):
        choose_device(missing)


def test_data_go_to_the_device_only_where_they_fit(monkeypatch):
    dataset = TensorDataset(torch.zeros(100, 10))  # 4,000 bytes
    meta = torch.device("meta")
    monkeypatch.setattr(devices, "free_bytes", lambda device: 8_000)
    assert devices.move_if_it_fits(dataset, meta).tensors[0].device == meta
    monkeypatch.setattr(devices, "free_bytes", lambda device: 7_999)
    assert devices.move_if_it_fits(dataset, meta) is dataset


def test_data_in_place_are_not_copied():
    dataset = TensorDataset(torch.zeros(100, 10))
    assert devices.move_if_it_fits(dataset, torch.device("cpu")).tensors[0] is dataset.tensors[0]
