"""The classes of torch that options may name. Importing this module imports torch."""

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, get_type_hints

import torch
from torch import nn
from torch.nn.modules import activation
from torch.optim import Optimizer, lr_scheduler

from torchlane.core.options.booleans import refuse_booleans

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
RUN_LENGTH: Mapping[str, str] = {  # the argument that holds the number of steps of the whole run
    "CosineAnnealingLR": "T_max",
    "LinearLR": "total_iters",
    "OneCycleLR": "total_steps",
    "PolynomialLR": "total_iters",
}


def activation_class(name: str) -> type[nn.Module]:
    """Look up an activation of torch.nn that works element by element.

    Raises:
        ValueError: torch.nn has no activation with this name, or it needs arguments or mixes elements.
    """
    if name not in activation.__all__ or not _works(name):
        known = ", ".join(other for other in activation.__all__ if _works(other))
        what = "needs arguments or mixes elements" if name in activation.__all__ else "is not one of torch.nn"
        raise ValueError(f"activation '{name}' {what}; choose from {known}")
    found: type[nn.Module] = getattr(nn, name)
    return found


@cache
def _works(name: str) -> bool:
    """Whether a class takes no arguments and maps each number independently of the others."""
    numbers = torch.linspace(-2, 2, 6, device="cpu").view(2, 3)
    with torch.device("cpu"), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            module = getattr(nn, name)().eval()
            alone = torch.cat([module(number.view(1, 1)) for number in numbers.flatten()])
            return torch.allclose(module(numbers), alone.view_as(numbers))
        except (TypeError, ValueError, RuntimeError):
            return False


def check_optimizer(name: str, arguments: Mapping[str, Any]) -> None:
    """Check that torch.optim has it, that it suits a plain training loop, and that it takes these arguments.

    Raises:
        ValueError: one of these does not hold; the message lists the choices.
    """
    optimizer = _look_up("optimizer", name, optimizers(), UNFIT_OPTIMIZERS)
    if "lr" in arguments:
        raise ValueError(f"optimizer {name}: lr is set by learning_rate; leave it out of arguments")
    _check_arguments(f"optimizer {name}", optimizer, {"params": None, "lr": None}, arguments)


def check_scheduler(name: str, step: str, arguments: Mapping[str, Any]) -> None:
    """Check that torch.optim.lr_scheduler has it, that options can describe it, and that it takes these arguments.

    Raises:
        ValueError: one of these does not hold; the message lists the choices.
    """
    scheduler = _look_up("scheduler", name, schedulers(), UNFIT_SCHEDULERS)
    if name == "ReduceLROnPlateau" and step != "epoch":
        raise ValueError("scheduler ReduceLROnPlateau needs the validation loss, known once an epoch; set step: epoch")
    filled = with_defaults(name, arguments, steps=1, rates=[1.0])
    _check_arguments(f"scheduler {name}", scheduler, {"optimizer": None}, filled)


def optimizers() -> dict[str, type[Any]]:
    """Return the optimizers of torch.optim by name."""
    return _classes_of(torch.optim, Optimizer)


def schedulers() -> dict[str, type[Any]]:
    """Return the schedulers of torch.optim.lr_scheduler by name."""
    return _classes_of(lr_scheduler, lr_scheduler.LRScheduler)


def with_defaults(name: str, arguments: Mapping[str, Any], steps: int, rates: list[float]) -> dict[str, Any]:
    """Add the arguments of a scheduler that follow from the training options.

    These are the length of the run in `steps`, and the peak rates of OneCycleLR, one for each parameter group.
    """
    peaks = rates if len(rates) > 1 else rates[0]
    defaults: dict[str, Any] = {"max_lr": peaks} if name == "OneCycleLR" else {}
    if name in RUN_LENGTH and "epochs" not in arguments:
        defaults[RUN_LENGTH[name]] = steps
    return {**defaults, **arguments}


def _classes_of(module: Any, base: type) -> dict[str, type[Any]]:
    """Return the public classes of a module that derive from `base`, except `base` itself."""
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
        raise ValueError(f"{what} '{name}' does not exist in torch; choose one of {choices}")
    return known[name]


def _check_arguments(what: str, made: type[Any], ours: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    signature = inspect.signature(made)
    try:
        signature.bind(**{**ours, **given})
    except TypeError as error:
        choices = ", ".join(name for name in signature.parameters if name not in ours)
        raise ValueError(f"{what}: {error}; its arguments are {choices}") from error
    hints = get_type_hints(made.__init__, localns={"Callable": Callable, "Iterable": Iterable, "Sequence": Sequence})
    for name, value in given.items():
        try:
            refuse_booleans(value, hints.get(name))
        except ValueError as error:
            raise ValueError(f"{what}: {name}: {error}") from error
