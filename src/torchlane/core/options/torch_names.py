"""Which classes of torch options may name; importing this imports torch."""

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, get_type_hints

import torch
from torch import nn
from torch.nn.modules import activation
from torch.optim import Optimizer, lr_scheduler

from torchlane.core.options.truth import require_no_truth

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


def activation_class(name: str) -> type[nn.Module]:
    """Look up an activation of torch.nn that works on each number by itself.

    Raises:
        ValueError: torch.nn has none of that name, or what it has cannot stand between two layers.
    """
    if name not in activation.__all__ or not _works(name):
        known = ", ".join(other for other in activation.__all__ if _works(other))
        what = "needs arguments or mixes numbers" if name in activation.__all__ else "is not one of torch.nn"
        raise ValueError(f"activation '{name}' {what}; there are {known}")
    found: type[nn.Module] = getattr(nn, name)
    return found


@cache
def _works(name: str) -> bool:
    """Whether a class is made without arguments and gives for each number what it gives for that number alone."""
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
    """Refuse what is no optimizer of torch.optim, does not fit, or takes no such argument or value.

    Raises:
        ValueError: with the reason and the choices.
    """
    optimizer = _look_up("optimizer", name, optimizers(), UNFIT_OPTIMIZERS)
    if "lr" in arguments:
        raise ValueError(f"optimizer {name}: lr is training.learning_rate")
    _check_arguments(f"optimizer {name}", optimizer, {"params": None, "lr": None}, arguments)


def check_scheduler(name: str, step: str, arguments: Mapping[str, Any]) -> None:
    """Refuse what is no scheduler of torch.optim.lr_scheduler, does not fit, or takes no such argument.

    Raises:
        ValueError: with the reason and the choices.
    """
    scheduler = _look_up("scheduler", name, schedulers(), UNFIT_SCHEDULERS)
    if name == "ReduceLROnPlateau" and step != "epoch":
        raise ValueError("scheduler ReduceLROnPlateau looks at the validation loss, so set step: epoch")
    filled = with_defaults(name, arguments, steps=1, rates=[1.0])
    _check_arguments(f"scheduler {name}", scheduler, {"optimizer": None}, filled)


def optimizers() -> dict[str, type[Any]]:
    """Give the optimizers of torch.optim by name."""
    return _classes_of(torch.optim, Optimizer)


def schedulers() -> dict[str, type[Any]]:
    """Give the schedulers of torch.optim.lr_scheduler by name."""
    return _classes_of(lr_scheduler, lr_scheduler.LRScheduler)


def with_defaults(name: str, arguments: Mapping[str, Any], steps: int, rates: list[float]) -> dict[str, Any]:
    """Fill in what follows from the training options: the run's length and the peak of a cycle, a group each."""
    peaks = rates if len(rates) > 1 else rates[0]
    defaults: dict[str, Any] = {"max_lr": peaks} if name == "OneCycleLR" else {}
    if name in RUN_LENGTH and "epochs" not in arguments:
        defaults[RUN_LENGTH[name]] = steps
    return {**defaults, **arguments}


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
    hints = get_type_hints(made.__init__, localns={"Callable": Callable, "Iterable": Iterable, "Sequence": Sequence})
    for name, value in given.items():
        try:
            require_no_truth(value, hints.get(name))
        except ValueError as error:
            raise ValueError(f"{what}: {name}: {error}") from error
