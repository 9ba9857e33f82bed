import pytest
import torch

from torchlane.core.devices import choose_device


def test_auto_takes_what_there_is():
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert choose_device("auto").type == expected


def test_cpu_is_always_there():
    assert choose_device("cpu") == torch.device("cpu")


def test_device_that_is_not_there_is_refused():
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ValueError, match=rf"'{missing}' is not on this machine, which has cpu.*; set device: auto"):
        choose_device(missing)
