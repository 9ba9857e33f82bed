"""Optimizer steps over stacked members, each with its own settings.

`torch.optim` has one learning rate for a tensor. Instead, the rows of the members are passed to the fused
kernels that `torch.optim.SGD`, `Adam` and `AdamW` call with `fused=True`. A kernel processes one row after
another, so the bits of a member do not depend on the other members. Rows with equal settings share a call.
If a member has groups of parameters, a row is a piece of its numbers that belongs to one group.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torchlane.core.options import FittedTraining, OptimizerOptions
from torchlane.core.training.adaptation import ParameterGroup
from torchlane.core.training.optimizers import Schedule, make_optimizer

Rows = list[Tensor]  # (n_numbers,) each
Owner = tuple[int, int]  # the member and the group that a row belongs to


@dataclass(frozen=True)
class Kernel:
    """A fused kernel of torch that steps on several rows."""

    arguments: frozenset[str]  # of the optimizer that users may set
    n_moments: int  # rows of state for each row of numbers
    move: Callable[[Rows, Rows, list[Rows], Rows, dict[str, Any]], None]


def _sgd(numbers: Rows, gradients: Rows, moments: list[Rows], steps: Rows, group: dict[str, Any]) -> None:
    names = ("lr", "momentum", "weight_decay", "nesterov")
    buffers = moments[0] if group["momentum"] else []
    settings = {name: group[name] for name in names}
    torch._fused_sgd_(numbers, gradients, buffers, dampening=0, maximize=False, is_first_step=False, **settings)


def _adam(kernel: Any) -> Callable[[Rows, Rows, list[Rows], Rows, dict[str, Any]], None]:
    def move(numbers: Rows, gradients: Rows, moments: list[Rows], steps: Rows, group: dict[str, Any]) -> None:
        settings = {name: group[name] for name in ("lr", "weight_decay", "eps")}
        settings |= {"beta1": group["betas"][0], "beta2": group["betas"][1]}
        kernel(numbers, gradients, *moments, [], steps, amsgrad=False, maximize=False, **settings)

    return move


KERNELS: Mapping[str, Kernel] = {
    "SGD": Kernel(frozenset({"momentum", "weight_decay", "nesterov"}), 1, _sgd),
    "Adam": Kernel(frozenset({"betas", "eps", "weight_decay"}), 2, _adam(torch._fused_adam_)),
    "AdamW": Kernel(frozenset({"betas", "eps", "weight_decay"}), 2, _adam(torch._fused_adamw_)),
}


def can_step_together(options: OptimizerOptions) -> bool:
    """Say whether there is a kernel for an optimizer with these arguments."""
    return options.name in KERNELS and set(options.arguments) <= KERNELS[options.name].arguments


class MemberSettings:
    """The present learning rate and other settings of each parameter group of one member."""

    def __init__(self, options: FittedTraining, batches_per_epoch: int, groups: Sequence[ParameterGroup]):
        nothing = [
            {"params": [nn.Parameter(torch.empty(0))], "lr": options.learning_rate * group.rate} for group in groups
        ]
        self._optimizer = make_optimizer(nothing, options.optimizer, options.learning_rate)
        self.schedule = Schedule(self._optimizer, options.scheduler, options.epochs, batches_per_epoch)
        self.change_within_epoch = options.scheduler is not None and options.scheduler.step == "batch"
        self._optimizer.step()  # without parameters; a scheduler expects it before its first step

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The settings of each group, under their names in torch."""
        return self._optimizer.param_groups

    def key(self, kernel: Kernel, group: int) -> tuple[Any, ...]:
        """Give a key that is equal for rows that can share a call."""
        return tuple(self.groups[group][name] for name in ("lr", *sorted(kernel.arguments)))

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self._optimizer.state_dict(), "schedule": copy.deepcopy(self.schedule.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


class StackedSteps:
    """Steps on the rows of members, in place; the caller increments `steps`, () for each row, beforehand.

    Rows of groups that are not in `active` do not change.
    """

    def __init__(self, name: str, settings: Sequence[MemberSettings], owners: Sequence[Owner], active: frozenset[int]):
        self._kernel = KERNELS[name]
        self._settings = settings
        self._owners = owners
        self.regroup(active)

    def regroup(self, active: frozenset[int]) -> None:
        """Apply settings that have changed."""
        alike: dict[tuple[Any, ...], list[int]] = {}
        for row, (member, group) in enumerate(self._owners):
            if group in active:
                alike.setdefault(self._settings[member].key(self._kernel, group), []).append(row)
        self._alike = list(alike.values())

    def __call__(self, numbers: Rows, gradients: Rows, moments: list[Rows], steps: Rows) -> None:
        for rows in self._alike:
            of_rows, along, counts = ([each[row] for row in rows] for each in (numbers, gradients, steps))
            state = [[moment[row] for row in rows] for moment in moments]
            member, group = self._owners[rows[0]]
            self._kernel.move(of_rows, along, state, counts, self._settings[member].groups[group])
