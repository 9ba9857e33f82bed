"""Optimizers and schedulers of torch by name, and why some do not fit."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer, lr_scheduler

from torchlane.core.options import OptimizerOptions, SchedulerOptions

UNFIT_OPTIMIZERS: Mapping[str, str] = {
    "LBFGS": "it needs a closure that evaluates the loss several times a step",
    "Muon": "it takes matrices only, and networks have biases",
    "SparseAdam": "it takes sparse gradients only",
}
UNFIT_SCHEDULERS: Mapping[str, str] = {
    "ChainedScheduler": "it takes schedulers as arguments",
    "LambdaLR": "it takes a Python function",
    "MultiplicativeLR": "it takes a Python function",
    "SequentialLR": "it takes schedulers as arguments",
}
RUN_LENGTH: Mapping[str, str] = {  # the argument that says how many steps the whole run has
    "CosineAnnealingLR": "T_max",
    "LinearLR": "total_iters",
    "OneCycleLR": "total_steps",
    "PolynomialLR": "total_iters",
}


def check_optimizer(name: str, arguments: Mapping[str, Any]) -> None:
    """Refuse what is no optimizer of torch.optim, does not fit, or takes no such argument.

    Raises:
        ValueError: with the reason and the choices.
    """
    optimizer = _look_up("optimizer", name, _optimizers(), UNFIT_OPTIMIZERS)
    if "lr" in arguments:
        raise ValueError(f"optimizer {name}: lr is training.learning_rate")
    _check_arguments(f"optimizer {name}", optimizer, {"params": None, "lr": None}, arguments)


def check_scheduler(name: str, step: str, arguments: Mapping[str, Any]) -> None:
    """Refuse what is no scheduler of torch.optim.lr_scheduler, does not fit, or takes no such argument.

    Raises:
        ValueError: with the reason and the choices.
    """
    scheduler = _look_up("scheduler", name, _schedulers(), UNFIT_SCHEDULERS)
    if name == "ReduceLROnPlateau" and step != "epoch":
        raise ValueError("scheduler ReduceLROnPlateau looks at the validation loss, so set step: epoch")
    filled = _with_defaults(name, arguments, steps=1, rates=[1.0])
    _check_arguments(f"scheduler {name}", scheduler, {"optimizer": None}, filled)


def make_optimizer(
    parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]], options: OptimizerOptions, learning_rate: float
) -> Optimizer:
    """Build the optimizer, as `torch.optim.<name>(parameters, lr=learning_rate, **arguments)`, also from groups.

    Raises:
        ValueError: an argument has a value that the optimizer does not take.
    """
    optimizer: Optimizer = _construct(
        f"optimizer {options.name}",
        lambda: _optimizers()[options.name](parameters, lr=learning_rate, **options.arguments),
        options.arguments,
    )
    return optimizer


def optimizer_defaults(options: OptimizerOptions) -> dict[str, Any]:
    """Give the arguments that the optimizer has where they are not set."""
    return defaults_of(_optimizers()[options.name])


def scheduler_defaults(options: SchedulerOptions) -> dict[str, Any]:
    """Give the arguments that the scheduler has where they are not set, but for those that follow from the training."""
    filled = _with_defaults(options.name, options.arguments, steps=1, rates=[1.0])
    return {name: value for name, value in defaults_of(_schedulers()[options.name]).items() if name not in filled}


def defaults_of(made: Any) -> dict[str, Any]:
    """Give the defaults in the signature of a class.

    >>> defaults_of(torch.optim.SGD)["momentum"]
    0
    """
    parameters = inspect.signature(made).parameters.items()
    return {name: each.default for name, each in parameters if each.default is not inspect.Parameter.empty}


class Schedule:
    """A scheduler that knows when to step: after each batch, or after each epoch.

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
            arguments = _with_defaults(options.name, options.arguments, steps, rates)
            self._scheduler = _construct(
                f"scheduler {options.name}",
                lambda: _schedulers()[options.name](optimizer, **arguments),
                options.arguments,
            )

    @property
    def learning_rate(self) -> float:
        """The rate of the first parameter group as it stands now."""
        return float(self._optimizer.param_groups[0]["lr"])

    def after_batch(self) -> None:
        if self._per_batch:
            self._step()

    def after_epoch(self, watched_loss: float) -> None:
        """Step once an epoch; `watched_loss` is of valid, or of train where there is no valid part."""
        if self._scheduler is None or self._per_batch:
            return
        if isinstance(self._scheduler, lr_scheduler.ReduceLROnPlateau):
            self._step(watched_loss)
        else:
            self._step()

    def _step(self, *watched: float) -> None:
        """Step; a phase of OneCycleLR without a step in it divides by zero, where it is first reached."""
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


def _optimizers() -> dict[str, type[Any]]:
    return _classes_of(torch.optim, Optimizer)


def _schedulers() -> dict[str, type[Any]]:
    return _classes_of(lr_scheduler, lr_scheduler.LRScheduler)


def _classes_of(module: Any, base: type) -> dict[str, type[Any]]:
    """The public classes of a module that derive from `base`, without it."""
    return {
        name: member
        for name, member in vars(module).items()
        if inspect.isclass(member) and issubclass(member, base) and member is not base and not name.startswith("_")
    }


def _look_up(what: str, name: str, known: Mapping[str, type[Any]], unfit: Mapping[str, str]) -> type[Any]:
    choices = ", ".join(sorted(set(known) - set(unfit)))
    if name in unfit:
        raise ValueError(f"{what} {name} does not fit: {unfit[name]}; choose one of {choices}")
    if name not in known:
        raise ValueError(f"{what} '{name}' is not one of torch: {choices}")
    return known[name]


def _check_arguments(what: str, made: type[Any], ours: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    signature = inspect.signature(made)
    try:
        signature.bind(**{**ours, **given})
    except TypeError as error:
        choices = ", ".join(name for name in signature.parameters if name not in ours)
        raise ValueError(f"{what}: {error}; its arguments are {choices}") from error


def _with_defaults(name: str, arguments: Mapping[str, Any], steps: int, rates: list[float]) -> dict[str, Any]:
    """Fill in what follows from the training options: the run's length and the peak of a cycle, a group each."""
    peaks = rates if len(rates) > 1 else rates[0]
    defaults: dict[str, Any] = {"max_lr": peaks} if name == "OneCycleLR" else {}
    if name in RUN_LENGTH and "epochs" not in arguments:
        defaults[RUN_LENGTH[name]] = steps
    return {**defaults, **arguments}


def _construct(what: str, make: Callable[[], Any], arguments: Mapping[str, Any]) -> Any:
    try:
        return make()
    except (TypeError, ValueError, AssertionError, KeyError, ZeroDivisionError) as error:
        raise ValueError(f"{what} does not take {dict(arguments)}: {error}") from error
