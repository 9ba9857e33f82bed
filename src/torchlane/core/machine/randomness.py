"""Random numbers with an owner: torch's global generators, lent to one member at a time.

Layers such as dropout draw from the global generators, which belong to the whole process. One lock
serialises everything that is seeded, so that other threads neither take part nor notice.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LOCK = threading.RLock()


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Draw from generators seeded 0 for a while, and put the global ones back as they were."""
    devices = [] if device.type == "cpu" else [device.index or 0]
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        torch.manual_seed(0)
        yield


class RandomState:
    """The state of the global generators as one member sees them, after `torch.manual_seed(seed)`.

    `state` maps `cpu`, and the accelerator's type where there is one, to uint8 tensors.
    """

    def __init__(self, seed: int, device: torch.device):
        self._device = device
        with _LOCK:
            outside = _read(device)
            torch.manual_seed(seed)
            self.state = _read(device)
            _write(outside, device)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Put this state in place of the global one, keep what becomes of it, and put the other back."""
        with _LOCK:
            outside = _read(self._device)
            _write(self.state, self._device)
            try:
                yield
            finally:
                self.state = _read(self._device)
                _write(outside, self._device)

    def snapshot(self) -> dict[str, torch.Tensor]:
        """Read the state in the midst of `in_use`."""
        return _read(self._device)


def _read(device: torch.device) -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def _write(state: dict[str, torch.Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(state["mps"])
