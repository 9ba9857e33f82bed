"""How many threads torch takes for a computation: one, unless its steps are wide enough to gain from more."""

import copy
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from torchlane.core.layers.coded import LARGE_TABLE, CodedLinear

WIDE_STEP = 50_000_000  # multiply-adds from which two threads lose nothing on a busy machine; see benchmarks/README.md
UPDATE = 16  # what the update of a weight costs, in multiply-adds of a forward pass
CHOSEN_BY_USER = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")

_at_import = torch.get_num_threads()
_of_thread = threading.local()


def threads_for(work: Callable[[], int], chosen: int | None = None) -> int:
    """Give the number of threads for steps of `work` multiply-adds each.

    `chosen` wins. Otherwise it is one thread for narrow steps, and torch's number for wide ones or if the
    environment sets a number.
    """
    if chosen is not None:
        return chosen
    return usual_threads() if any(map(os.environ.get, CHOSEN_BY_USER)) or work() >= WIDE_STEP else 1


def usual_threads() -> int:
    """Give torch's number of threads, as it is outside of `torch_threads`.

    A thread that first uses torch while another is within `torch_threads` starts with the number set there. So
    only the main thread is asked.
    """
    in_main = threading.current_thread() is threading.main_thread()
    return torch.get_num_threads() if in_main else _at_import


def work_of_step(model: nn.Module, features: Tensor, n_rows: int, n_members: int = 1) -> int:
    """Estimate the multiply-adds of a training step of `n_members` networks on `n_rows` of `features` (…) each."""
    update = UPDATE * sum(_stepped_on(layer, n_rows) for layer in model.modules())
    return n_members * (n_rows * multiply_adds(model, features[:1]) + update)


def _stepped_on(layer: nn.Module, n_rows: int) -> int:
    """Count the numbers of a layer's own parameters that a step changes, of a large table those that rows look up."""
    numbers = sum(each.numel() for each in layer.parameters(recurse=False) if each.requires_grad)
    if isinstance(layer, CodedLinear) and layer.in_features >= LARGE_TABLE:
        return min(numbers, n_rows * len(layer.coded) * layer.out_features)
    return numbers


def multiply_adds(model: nn.Module, features: Tensor) -> int:
    """Count the multiply-adds of a forward pass over `features` (n_rows, …).

    The pass runs on a copy on the CPU; one on torch's meta device would import the compiler. If the network refuses
    the rows, each weight is counted once a row.
    """
    with torch.inference_mode(False), torch.enable_grad(), _Counter() as counter:
        try:
            # With gradients, layers take no short cut that the counter does not know.
            copy.deepcopy(model).cpu().eval()(features.cpu().clone())
        except Exception:  # a user's network may do anything
            return len(features) * sum(each.numel() for each in model.parameters())
    return counter.n_operations


class _Counter(TorchDispatchMode):
    """Counts multiply-adds in this thread.

    Torch's own `FlopCounterMode` puts hooks on all threads, and its table of operations imports triton.
    """

    def __init__(self) -> None:
        super().__init__()
        self.n_operations = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Keep torch from importing its compiler, only to do nothing with it here."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if count := COUNTS.get(func._overloadpacket.__name__):
            self.n_operations += count(result, *args)
        return result


def _of_product(result: Tensor, *factors: Tensor) -> int:
    return result.numel() * factors[-2].shape[-1]  # an addend, if there is one, comes first


def _of_convolution(result: Tensor, rows: Tensor, weight: Tensor, *settings: Any) -> int:
    transposed = settings[4]
    return (rows if transposed else result).numel() * weight[0].numel()


def _of_attention(result: Any, query: Tensor, key: Tensor, value: Tensor, *settings: Any) -> int:
    return query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _of_recurrence(result: Any, steps: Tensor, of_input: Tensor, of_state: Tensor, *settings: Any) -> int:
    return steps.shape[:2].numel() * (of_input.numel() + of_state.numel())


COUNTS: dict[str, Callable[..., int]] = {
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm"), _of_product),
    "convolution": _of_convolution,
    "mkldnn_rnn_layer": _of_recurrence,
    "_scaled_dot_product_flash_attention_for_cpu": _of_attention,
}


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch take `count` threads in this thread; within another such block the outer one decides."""
    if getattr(_of_thread, "decided", False):
        yield
        return
    before = usual_threads()
    decide_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _of_thread.decided = False


def decide_threads(count: int) -> None:
    """Let torch take `count` threads in this thread for good."""
    torch.set_num_threads(count)
    _of_thread.decided = True
