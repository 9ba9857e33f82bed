"""The step of `torch.optim.Adam` and `AdamW` on one tensor, in the same operations but without new tensors."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

OTHER_FORMS = ("amsgrad", "maximize", "capturable", "differentiable", "foreach", "fused")


def make_lean_step(optimizer: Optimizer, numbers: Tensor) -> Callable[[Optimizer], None] | None:
    """Make a step for an optimizer that has `numbers` as its one parameter; None if it is of another kind.

    The operations are those of `torch.optim.adam._single_tensor_adam` (torch 2.15), in their order, so the bits are
    the same. torch itself takes the first step, which makes the state, and every step on other parameters.
    """
    if not isinstance(optimizer, Adam) or any(optimizer.defaults[name] for name in OTHER_FORMS):
        return None
    usual: Callable[..., Any] = type(optimizer).step
    denominators = torch.zeros_like(numbers)

    def step(self: Optimizer) -> None:
        (group,) = self.param_groups
        if group["params"][0] is numbers and numbers in self.state:
            _move(numbers, self.state[numbers], group, denominators)
        else:
            usual(self)

    return step


def _move(numbers: Tensor, state: dict[str, Tensor], group: dict[str, Any], denominators: Tensor) -> None:
    assert numbers.grad is not None
    gradients, rate, decay, (beta1, beta2) = numbers.grad, group["lr"], group["weight_decay"], group["betas"]
    first, second = state["exp_avg"], state["exp_avg_sq"]
    state["step"] += 1
    if decay and group["decoupled_weight_decay"]:
        numbers.mul_(1 - rate * decay)
    elif decay:
        gradients = gradients.add(numbers, alpha=decay)
    first.lerp_(gradients, 1 - beta1)
    second.mul_(beta2).addcmul_(gradients, gradients, value=1 - beta2)
    count = state["step"].item()
    torch.sqrt(second, out=denominators).div_((1 - beta2**count) ** 0.5).add_(group["eps"])
    numbers.addcdiv_(first, denominators, value=-(rate / (1 - beta1**count)))
