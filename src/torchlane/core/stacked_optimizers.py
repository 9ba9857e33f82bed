"""Steps of an optimizer over stacked members, each with settings of its own.

`torch.optim` takes one rate for a tensor, so the members' rows of numbers go to the fused kernels that
stand behind `torch.optim.SGD`, `Adam` and `AdamW` with `fused=True`. A kernel works on one row after
another, so a member's bits are its own; rows whose settings agree share a call.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torchlane.core.optimizers import Schedule, make_optimizer
from torchlane.core.options import OptimizerOptions, TrainingOptions

Rows = list[Tensor]  # (n_numbers,) each


@dataclass(frozen=True)
class Kernel:
    """How an optimizer of torch steps on several rows at once."""

    arguments: frozenset[str]  # of the optimizer's own that may be set
    n_moments: int  # rows of state beside a row of numbers
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
    """Whether there is a kernel for an optimizer with these arguments."""
    return options.name in KERNELS and set(options.arguments) <= KERNELS[options.name].arguments


class MemberSettings:
    """The rate and other settings of one member, as its schedule has them at the moment."""

    def __init__(self, options: TrainingOptions, batches_per_epoch: int):
        self._optimizer = make_optimizer([nn.Parameter(torch.empty(0))], options.optimizer, options.learning_rate)
        self.schedule = Schedule(self._optimizer, options.scheduler, options.epochs, batches_per_epoch)
        self.change_within_epoch = options.scheduler is not None and options.scheduler.step == "batch"
        self._optimizer.step()  # of nothing, since a schedule wants one before its own

    @property
    def group(self) -> dict[str, Any]:
        """The settings by the names of torch."""
        return self._optimizer.param_groups[0]

    def key(self, kernel: Kernel) -> tuple[Any, ...]:
        """Equal for members that can share a call."""
        return tuple(self.group[name] for name in ("lr", *sorted(kernel.arguments)))

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self._optimizer.state_dict(), "schedule": copy.deepcopy(self.schedule.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])


class StackedSteps:
    """Step on the rows of some members, in place; `steps` are counted up before, () each."""

    def __init__(self, name: str, settings: Sequence[MemberSettings]):
        self._kernel = KERNELS[name]
        self._settings = settings
        self.regroup()

    def regroup(self) -> None:
        """Take up settings that have changed."""
        groups: dict[tuple[Any, ...], list[int]] = {}
        for member, settings in enumerate(self._settings):
            groups.setdefault(settings.key(self._kernel), []).append(member)
        self._groups = list(groups.values())

    def __call__(self, numbers: Rows, gradients: Rows, moments: list[Rows], steps: Rows) -> None:
        for members in self._groups:
            rows, along, counts = ([each[member] for member in members] for each in (numbers, gradients, steps))
            state = [[moment[member] for member in members] for moment in moments]
            self._kernel.move(rows, along, state, counts, self._settings[members[0]].group)
