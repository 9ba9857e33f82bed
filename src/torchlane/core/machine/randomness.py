"""torch's global random generators, used by one member at a time.

Layers such as dropout draw from the global generators, which belong to the whole process. A lock ensures
that only one thread at a time trains with its own random state, and others do not see it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_LOCK = threading.RLock()


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Seed the global generators with 0 within the block, and restore their state afterwards."""
    devices = [] if device.type == "cpu" else [device.index or 0]
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        torch.manual_seed(0)
        yield


class RandomState:
    """The state of the global generators for one member, initially that after `torch.manual_seed(seed)`.

    `state` maps `cpu`, and the type of an accelerator that is used, to uint8 tensors.
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
        """Use this state as the global one within the block; afterwards keep the new state and restore the other."""
        with _LOCK:
            outside = _read(self._device)
            _write(self.state, self._device)
            try:
                yield
            finally:
                self.state = _read(self._device)
                _write(outside, self._device)

    def snapshot(self) -> dict[str, torch.Tensor]:
        """Read the present state within `in_use`."""
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
