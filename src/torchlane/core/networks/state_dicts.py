"""State dicts from elsewhere: read without unpickling, and compared with a network name by name."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

LISTED = 10  # names in a message at most
Tensors = dict[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]


def read_state_dict(path: str | Path, entry: str | None = None) -> Tensors:
    """Read the tensors of a file of safetensors or `torch.save`, on the CPU. Nothing is executed.

    If the tensors are in an entry of the saved object, such as `state_dict` of a Lightning checkpoint, `entry`
    names it. It may be left out if there is only one.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is truncated, has another format, or contains more than tensors and plain values.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no weights file {path}; name one that torch.save or safetensors wrote")
    if Path(path).suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a whole safetensors file ({error})") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about TorchScript archives, which are refused
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged or hostile bytes raise errors of any kind
            raise ValueError(
                f"{path} was not loaded, since it is truncated or contains more than tensors ({_first_line(error)}); "
                f"write it with torch.save(model.state_dict(), path)"
            ) from error
    tensors = _tensors_in(saved, path, entry)
    odd = [name for name, tensor in tensors.items() if not _is_plain(tensor)]
    if odd:
        raise ValueError(f"{path} contains tensors that are sparse, quantized, complex or without data: {listed(odd)}")
    return tensors


def mismatches(found: Shapes, expected: Shapes) -> str:
    """List names that are missing, unknown or of another shape; empty if there are none."""
    shapes = [
        f"{name} {found[name]} in the file, {expected[name]} in the network"
        for name in expected
        if name in found and found[name] != expected[name]
    ]
    lists = {
        "missing in the file": [name for name in expected if name not in found],
        "not in the network": [name for name in found if name not in expected],
        "of another shape": shapes,
    }
    return "; ".join(f"{what}: {listed(names)}" for what, names in lists.items() if names)


def listed(names: Iterable[str]) -> str:
    """Join the first names for a message, with the number of further ones."""
    every = list(names)
    more = f" and {len(every) - LISTED} more" if len(every) > LISTED else ""
    return f"{', '.join(every[:LISTED])}{more}"


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Give the shape of each tensor by its name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _tensors_in(saved: Any, path: str | Path, entry: str | None) -> Tensors:
    holders = [key for key, value in saved.items() if _is_state_dict(value)] if isinstance(saved, Mapping) else []
    if entry is not None:
        if entry not in holders:
            raise ValueError(f"{path} has no entry '{entry}' with tensors by name; it has {listed(holders) or 'none'}")
        return saved[entry]
    if _is_state_dict(saved):
        return saved  # unchanged: torch's OrderedDict also has the versions of the modules
    if len(holders) == 1:
        return saved[holders[0]]
    if holders:
        raise ValueError(f"{path} has tensors in {listed(holders)}; choose one with --entry (entry in Python)")
    raise ValueError(f"{path} contains no tensors by name; write it with torch.save(model.state_dict(), path)")


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    )


def _is_plain(tensor: Tensor) -> bool:
    known = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return known and not tensor.is_quantized and not tensor.is_complex()


def _first_line(error: Exception) -> str:
    line = str(error).strip().partition("\n")[0].partition(". ")[0]
    return line or type(error).__name__
