"""Optimizers of torch without its compiler, which they import when the first one is made: 1.5 s of processor time.

Outside compiled code, all that `torch.optim` asks of `torch._dynamo` is to do nothing. As soon as something else has
imported the compiler, such as `torch.compile`, every call goes through torch's own wrappers again.
"""

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

COMPILER = "torch._dynamo"
MARK = "__dynamo_disable"  # where torch._compile._disable_dynamo keeps what it calls
STEP = "_use_grad_for_differentiable"  # the decorator of each `step`


def spare_compiler(optimizer: type[Optimizer]) -> None:
    """Let a class of torch.optim work without importing torch._dynamo, with the same results.

    Where another version of torch is written differently, its own code runs.
    """
    if COMPILER in sys.modules:
        return
    for method in vars(Optimizer).values():
        inner = getattr(method, "__wrapped__", None)
        if inner is not None and MARK in getattr(getattr(method, "__code__", None), "co_consts", ()):
            _call_itself(inner, method)
    if STEP in getattr(getattr(optimizer.step, "__code__", None), "co_qualname", ""):
        optimizer.step = _plain_step(optimizer.step)  # type: ignore[method-assign]


def _call_itself(function: Callable[..., Any], decorated: Callable[..., Any]) -> None:
    """Keep the function itself as what `decorated` calls, for as long as there is no compiler."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if COMPILER not in sys.modules:
            return function(*args, **kwargs)
        if getattr(function, MARK, None) is call:
            delattr(function, MARK)  # so that `decorated` looks for the compiler again
        return decorated(*args, **kwargs)

    if not hasattr(function, MARK):
        setattr(function, MARK, call)


def _plain_step(decorated: Callable[..., Any]) -> Callable[..., Any]:
    """Do what torch's decorator of `step` does, except that it marks the borders of compiled graphs."""
    step: Callable[..., Any] = decorated.__wrapped__  # type: ignore[attr-defined]

    @functools.wraps(step)
    def plain_step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        if COMPILER in sys.modules:
            return decorated(self, *args, **kwargs)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step(self, *args, **kwargs)

    return plain_step
