"""Descriptions of objects: objects with equal descriptions compute alike.

A description contains the whole state of an object, except for what is known not to matter. An object
that cannot be inspected equals only itself, so two objects are never treated as alike by guessing.
"""

from collections.abc import Hashable, Iterable
from types import BuiltinFunctionType, EllipsisType, FunctionType, ModuleType, NoneType
from typing import Any

import torch
from torch import Tensor, nn

PLAIN = (bool, int, float, complex, str, bytes, NoneType, EllipsisType, torch.dtype)
WHOLE = (type, FunctionType, BuiltinFunctionType, ModuleType)  # compared by identity
HOOKS = [name for name, value in vars(nn.Module()).items() if "hooks" in name and isinstance(value, dict)]
TENSORS = ("_parameters", "_buffers")


class _Itself:
    """A value that is compared by identity."""

    def __init__(self, value: Any):
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other._value is self._value

    def __hash__(self) -> int:
        return id(self._value)


def describe(value: Any) -> Hashable:
    """Describe an object by its type and its state, to any depth.

    >>> describe({"heads": 2}) == describe({"heads": 2}), describe(1) == describe(True)
    (True, False)
    """
    return _Describer([]).describe(value)


def describe_network(network: nn.Module) -> Hashable:
    """Describe a network without the values of its parameters and buffers and without its `nn.Dropout` rates.

    >>> describe_network(nn.Linear(2, 3)) == describe_network(nn.Linear(2, 3))
    True
    >>> describe_network(nn.GELU("tanh")) == describe_network(nn.GELU())
    False
    """
    return _Describer(network.modules()).describe(network)


class _Describer:
    """Describes one object; leaves out the tensor values and dropout rates of the modules in `emptied`."""

    def __init__(self, emptied: Iterable[nn.Module]):
        self._emptied = set(emptied)
        self._weights: dict[Tensor, int] = {}
        self._seen: dict[int, tuple[int, Any]] = {}  # keeps the objects alive, so that no id is reused

    def describe(self, value: Any) -> Hashable:
        kind = type(value)
        if kind in PLAIN:
            return kind, repr(value)
        if isinstance(value, WHOLE):
            return _Itself(value)
        if id(value) in self._seen:
            return "again", self._seen[id(value)][0]
        self._seen[id(value)] = len(self._seen), value
        if kind in (list, tuple):
            return kind, tuple(map(self.describe, value))
        if kind is dict:
            return kind, tuple((self.describe(key), self.describe(each)) for key, each in value.items())
        if isinstance(value, nn.Module):
            return kind, self._module(value)
        if isinstance(value, Tensor):
            return kind, *self._tensor(value)
        return self._other(value)

    def _module(self, module: nn.Module) -> Hashable:
        state: Any = object.__getstate__(module)
        own, slots = state if isinstance(state, tuple) else (state, {})
        described = []
        for name, value in sorted({**own, **slots}.items()):
            if name in HOOKS:
                described.append((name, self.describe(list(value.values()))))
            elif name in TENSORS and module in self._emptied:
                described.append((name, tuple((key, self._weight(each)) for key, each in value.items())))
            elif not (name == "p" and type(module) is nn.Dropout and module in self._emptied):
                described.append((name, self.describe(value)))
        return tuple(described)

    def _weight(self, tensor: Tensor | None) -> Hashable:
        if tensor is None:
            return None
        number = self._weights.setdefault(tensor, len(self._weights))  # shared tensors have one number
        return number, tuple(tensor.shape), tensor.dtype, tensor.device, tensor.requires_grad

    def _tensor(self, tensor: Tensor) -> tuple[Hashable, ...]:
        try:
            content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        except (RuntimeError, TypeError, ValueError):  # sparse, quantised or without storage
            return (_Itself(tensor),)
        return tuple(tensor.shape), tensor.dtype, tensor.device, tensor.requires_grad, content

    def _other(self, value: Any) -> Hashable:
        """Take an object apart in the way `copy` does, which covers its whole state."""
        try:
            parts = value.__reduce_ex__(4)
        except Exception:  # a class may raise anything here
            return _Itself(value)
        if isinstance(parts, str):
            return _Itself(value)
        make, arguments, state, items, pairs, *rest = (*parts, None, None, None)[: max(5, len(parts))]
        contents = [None if each is None else list(each) for each in (items, pairs)]
        return type(value), self.describe([make, arguments, state, contents, rest])
