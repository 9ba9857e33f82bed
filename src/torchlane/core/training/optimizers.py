"""Optimizers and schedulers of torch, built from options."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer, lr_scheduler

from torchlane.core.options import OptimizerOptions, SchedulerOptions
from torchlane.core.options.torch_names import optimizers, schedulers, with_defaults
from torchlane.core.training.eager import spare_compiler


def make_optimizer(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], options: OptimizerOptions, learning_rate: float
) -> Optimizer:
    """Build `torch.optim.<name>(parameters, lr=learning_rate, **arguments)`; `parameters` may be groups.

    Raises:
        ValueError: the optimizer does not accept the value of an argument.
    """
    made = optimizers()[options.name]
    spare_compiler(made)
    optimizer: Optimizer = _construct(
        f"optimizer {options.name}",
        lambda: made(parameters, lr=learning_rate, **options.arguments),
        options.arguments,
    )
    return optimizer


def optimizer_defaults(options: OptimizerOptions) -> dict[str, Any]:
    """Give the default arguments of the optimizer."""
    return defaults_of(optimizers()[options.name])


def scheduler_defaults(options: SchedulerOptions) -> dict[str, Any]:
    """Give the default arguments of the scheduler, without those that are set from the training."""
    filled = with_defaults(options.name, options.arguments, steps=1, rates=[1.0])
    return {name: value for name, value in defaults_of(schedulers()[options.name]).items() if name not in filled}


def defaults_of(made: Any) -> dict[str, Any]:
    """Give the default values in the signature of a class.

    >>> defaults_of(optimizers()["SGD"])["momentum"]
    0
    """
    parameters = inspect.signature(made).parameters.items()
    return {name: each.default for name, each in parameters if each.default is not inspect.Parameter.empty}


class Schedule:
    """A scheduler that steps after each batch or after each epoch, as its options say.

    `state_dict` and `load_state_dict` are the scheduler's own.
    """

    def __init__(self, optimizer: Optimizer, options: SchedulerOptions | None, epochs: int, batches_per_epoch: int):
        self._optimizer = optimizer
        self._per_batch = options is not None and options.step == "batch"
        self._scheduler: Any = None
        self._options = options
        if options is not None:
            steps = epochs * (batches_per_epoch if self._per_batch else 1)
            rates = [float(group["lr"]) for group in optimizer.param_groups]
            arguments = with_defaults(options.name, options.arguments, steps, rates)
            self._scheduler = _construct(
                f"scheduler {options.name}",
                lambda: schedulers()[options.name](optimizer, **arguments),
                options.arguments,
            )

    @property
    def learning_rate(self) -> float:
        """The present rate of the first parameter group."""
        return float(self._optimizer.param_groups[0]["lr"])

    def after_batch(self) -> None:
        if self._per_batch:
            self._step()

    def after_epoch(self, watched_loss: float) -> None:
        """Step if the scheduler steps once an epoch; `watched_loss` is that of valid, or of train without valid."""
        if self._scheduler is None or self._per_batch:
            return
        if isinstance(self._scheduler, lr_scheduler.ReduceLROnPlateau):
            self._step(watched_loss)
        else:
            self._step()

    def _step(self, *watched: float) -> None:
        """Step; OneCycleLR divides by zero when it reaches a phase of no steps, which is reported as `ValueError`."""
        try:
            self._scheduler.step(*watched)
        except ZeroDivisionError as error:
            assert self._options is not None
            name, arguments = self._options.name, dict(self._options.arguments)
            raise ValueError(
                f"scheduler {name} does not take {arguments} in a run of so few steps: {error}; "
                f"set other training.scheduler.arguments, or more epochs"
            ) from error

    def state_dict(self) -> dict[str, Any]:
        return {} if self._scheduler is None else dict(self._scheduler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._scheduler is not None:
            self._scheduler.load_state_dict(state)


def _construct(what: str, make: Callable[[], Any], arguments: Mapping[str, Any]) -> Any:
    try:
        return make()
    except (TypeError, ValueError, AssertionError, KeyError, ZeroDivisionError) as error:
        raise ValueError(f"{what} does not take {dict(arguments)}: {error}") from error
