"""The device that a model trains on."""

import os
from pathlib import Path

import torch
from torch.utils.data import TensorDataset

DATA_SHARE = 0.5  # of an accelerator's free memory that data may use; the rest is for the network
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:N` or `mps` into a device; `auto` takes an accelerator if there is one.

    Raises:
        ValueError: this machine has no such device.
    """
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found if found is not None and found.type in ("cuda", "mps") else torch.device("cpu")
    device = torch.device(name)
    available = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= available[device.type]:
        here = [kind if count == 1 else f"{kind}:0 to {kind}:{count - 1}" for kind, count in available.items() if count]
        raise ValueError(
            f"training.device '{name}' is not on this machine, which has {', '.join(here)}; set device: auto"
        )
    return device


def move_if_it_fits(dataset: TensorDataset, device: torch.device) -> TensorDataset:
    """Move a data set to the device if it fits there; otherwise return it as it is, to be moved batch by batch."""
    n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in dataset.tensors)
    if n_bytes > DATA_SHARE * free_bytes(device):
        return dataset
    return TensorDataset(*(tensor.to(device) for tensor in dataset.tensors))


def free_bytes(device: torch.device) -> float:
    """Give the free memory of an accelerator in bytes; infinite for the CPU, where data need no copy."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return float("inf")


def total_bytes(device: torch.device) -> float:
    """Give the memory of a device in bytes; for the CPU, that of the machine or of the container, if it has a limit.

    It is infinite where the system does not tell.
    """
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[1])
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory())
    try:
        machine = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows has no such call
        return float("inf")
    try:
        return min(machine, float(CONTAINER_LIMIT.read_text()))
    except (OSError, ValueError):  # there is none, or it is the word max
        return machine
