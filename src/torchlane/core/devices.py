"""Where tensors live while a model trains."""

import torch


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
