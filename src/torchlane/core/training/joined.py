"""The parameters of a network as one tensor, so that an optimizer takes one pass instead of one for each parameter."""

from functools import cache
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from torchlane.core.options import OptimizerOptions
from torchlane.core.training.lean_adam import make_lean_step
from torchlane.core.training.optimizers import make_optimizer

ELEMENTWISE = frozenset(
    ("ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")
)
OTHER_FORMS = ("capturable", "differentiable")  # arguments that choose other code of torch
ALIGNED = 64  # bytes; torch aligns its own tensors so, and the bits of a matrix product may depend on it
MOST_NUMBERS = 1_000_000  # of a network; in larger ones the arithmetic takes much longer than the passes
TRIAL_SIZES = (1, 13, 64, 257, 1003)
TRIAL_STEPS = 4


def join(optimizer: Optimizer, model: nn.Module, options: OptimizerOptions, *, exact: bool) -> "Joined | None":
    """Join the parameters of a network on the CPU; with `exact`, only if steps keep the bits of steps on each.

    An optimizer in `ELEMENTWISE` treats each number on its own. Whether the processor does so too is tried out once,
    since its instructions for the last numbers of a tensor may be others.
    """
    if options.name not in ELEMENTWISE or any(options.arguments.get(name) for name in OTHER_FORMS):
        return None
    if not _can_be_views(model) or (exact and not _has_same_bits(options.model_dump_json())):
        return None
    return Joined(optimizer)


class Joined:
    """Takes the steps of an optimizer with one group of parameters, which become views of one tensor.

    If a batch leaves a parameter without a gradient, torch does not change it in this step. The parameters are then
    parted again.
    """

    def __init__(self, optimizer: Optimizer):
        self._optimizer = optimizer
        self._parameters: list[nn.Parameter] = list(optimizer.param_groups[0]["params"])
        self._pieces, total = _places(self._parameters)
        self._numbers = torch.zeros(total, dtype=self._parameters[0].dtype)
        for parameter, view in zip(self._parameters, self._cut(self._numbers), strict=True):
            parameter.data = view.copy_(parameter.detach())
        self._numbers.grad = torch.zeros_like(self._numbers)
        self._gradients = self._cut(self._numbers.grad)
        self._is_joined = False
        self._join()
        lean = make_lean_step(optimizer, self._numbers)
        if lean is not None:
            optimizer.step = MethodType(lean, optimizer)  # type: ignore[method-assign]

    def zero_grad(self) -> None:
        """Drop the gradients of the parameters."""
        for parameter in self._parameters:
            parameter.grad = None

    def step(self) -> None:
        """Update the parameters by their gradients."""
        if self._is_joined:
            gradients = [each.grad for each in self._parameters]
            if any(each is None or each.layout is not torch.strided for each in gradients):
                self._part()
            else:
                torch._foreach_copy_(self._gradients, gradients)  # type: ignore[arg-type]
        self._optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Give a copy of the state of the optimizer in torch's own form, which has an entry for each parameter."""
        if not self._is_joined:
            return self._optimizer.state_dict()
        self._part()
        state = self._optimizer.state_dict()
        self._join()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to the state that `state_dict` gave."""
        self._part()
        self._optimizer.load_state_dict(state)
        self._join()

    def _cut(self, tensor: Tensor) -> list[Tensor]:
        return [tensor[piece].view(each.shape) for piece, each in zip(self._pieces, self._parameters, strict=True)]

    def _join(self) -> None:
        """Let the optimizer see one tensor, unless its parameters have taken different steps."""
        state = self._optimizer.state
        of_each = [state.get(each, {}) for each in self._parameters]
        joined: dict[str, Any] = {}
        for name in set().union(*of_each):
            values = [each.get(name) for each in of_each]
            if all(torch.is_tensor(value) and value.ndim for value in values):
                joined[name] = torch.zeros_like(self._numbers)
                torch._foreach_copy_(self._cut(joined[name]), values)
            elif all(value is not None and value == values[0] for value in values):
                joined[name] = values[0]
            else:
                return
        for parameter in self._parameters:
            state.pop(parameter, None)
        if joined:
            state[self._numbers] = joined
        self._optimizer.param_groups[0]["params"] = [self._numbers]
        self._is_joined = True

    def _part(self) -> None:
        """Let the optimizer see each parameter."""
        if not self._is_joined:
            return
        joined = self._optimizer.state.pop(self._numbers, {})
        for number, parameter in enumerate(self._parameters):
            if joined:
                self._optimizer.state[parameter] = {key: self._share(value, number) for key, value in joined.items()}
        self._optimizer.param_groups[0]["params"] = list(self._parameters)
        self._is_joined = False

    def _share(self, value: Any, number: int) -> Any:
        """Copy what a parameter has of a value of the joined state."""
        if not torch.is_tensor(value):
            return value
        return self._cut(value)[number].clone() if value.ndim else value.clone()


def _places(parameters: list[nn.Parameter]) -> tuple[list[slice], int]:
    """Give the place of each parameter in the joined tensor, and the length of that."""
    unit = ALIGNED // parameters[0].element_size()
    pieces, total = [], 0
    for parameter in parameters:
        pieces.append(slice(total, total + parameter.numel()))
        total += -(-parameter.numel() // unit) * unit
    return pieces, total


def _can_be_views(model: nn.Module) -> bool:
    """Whether all parameters are plain tensors of one kind, each with memory of its own."""
    parameters = list(model.parameters())
    first = parameters[0]
    memory = [each.untyped_storage().data_ptr() for each in (*parameters, *model.buffers())]
    return (
        sum(each.numel() for each in parameters) <= MOST_NUMBERS
        and first.dtype in (torch.float32, torch.float64)
        and len(set(memory)) == len(memory)
        and all(
            type(each) is nn.Parameter
            and each.requires_grad
            and each.device.type == "cpu"
            and each.dtype == first.dtype
            and each.ndim > 0
            and each.numel() > 0
            and each.is_contiguous()
            for each in parameters
        )
    )


@cache
def _has_same_bits(chosen: str) -> bool:
    """Take some steps on parameters joined and apart; whether the bits are the same."""
    options = OptimizerOptions.model_validate_json(chosen)
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(size, generator=generator) for size in TRIAL_SIZES]
    apart, together = ([nn.Parameter(each.clone()) for each in start] for _ in range(2))
    usual, joined = make_optimizer(apart, options, 0.01), Joined(make_optimizer(together, options, 0.01))
    for _ in range(TRIAL_STEPS):
        for one, other in zip(apart, together, strict=True):
            one.grad = torch.randn(one.shape, generator=generator).pow(3)
            other.grad = one.grad.clone()
        usual.step()
        joined.step()
    return all(map(torch.equal, apart, together))
