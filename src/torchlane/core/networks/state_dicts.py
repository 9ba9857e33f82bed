"""Weights that others saved: read without unpickling, and compared name by name with what a network has."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

LISTED = 10  # names of a kind in a message
Tensors = dict[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]


def read_state_dict(path: str | Path, entry: str | None = None) -> Tensors:
    """Read the tensors of a safetensors file, or of one that `torch.save` wrote, on the CPU; nothing is executed.

    Where the tensors lie in an entry of what was saved, such as `state_dict` of a checkpoint of
    Lightning, `entry` names it; it may be left out where there is only one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is cut off, of another kind, or holds more than tensors and plain values.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no weights file {path}; name one that torch.save or safetensors wrote")
    if Path(path).suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a whole safetensors file ({error})") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript archives, which are refused
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # the reader comes up with any kind over damaged or hostile bytes
            raise ValueError(
                f"{path} was not loaded, since it is cut off or holds more than tensors ({_first_line(error)}); "
                f"write it with torch.save(model.state_dict(), path)"
            ) from error
    tensors = _tensors_in(saved, path, entry)
    odd = [name for name, tensor in tensors.items() if not _is_plain(tensor)]
    if odd:
        raise ValueError(f"{path} holds tensors that are sparse, quantized, complex or without data: {listed(odd)}")
    return tensors


def mismatches(found: Shapes, expected: Shapes) -> str:
    """List names that are missing, unknown or of another shape; empty where there are none."""
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
    """Write names for a message, and how many more there are."""
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
        return saved  # with the versions of its modules, which an OrderedDict of torch carries
    if len(holders) == 1:
        return saved[holders[0]]
    if holders:
        raise ValueError(f"{path} holds tensors in {listed(holders)}; say which with --entry (entry in Python)")
    raise ValueError(f"{path} holds no tensors by name; write it with torch.save(model.state_dict(), path)")


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
