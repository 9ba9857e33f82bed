"""Optimizers and schedulers, for stacked members and alone, against `torch.optim` stepped by hand."""

import inspect
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import lr_scheduler

from tests.core.fitted import fitted
from tests.oracles.agreement import compare
from tests.oracles.torch_arguments import FLAG, NEEDED, OPTIMIZERS, SCHEDULERS
from torchlane.core.options import FittedTraining, OptimizerOptions, SchedulerOptions
from torchlane.core.options.torch_names import RUN_LENGTH, UNFIT_OPTIMIZERS, UNFIT_SCHEDULERS
from torchlane.core.training.adaptation import Adaptation, ParameterGroup
from torchlane.core.training.optimizers import Schedule
from torchlane.core.training.stacked.optimizers import KERNELS, MemberSettings, StackedSteps, can_step_together
from torchlane.core.training.stepping import Stepper

SHAPES = ((2, 3), (4,))  # of the parameters, a group each
CLOSE = {"relative": 1e-9, "absolute": 1e-12}


def names_in(module: Any, base: type) -> set[str]:
    return {
        name
        for name, each in vars(module).items()
        if inspect.isclass(each) and issubclass(each, base) and each is not base and not name.startswith("_")
    }


def test_every_optimizer_and_scheduler_that_options_allow_has_its_oracle_with_every_argument():
    assert set(OPTIMIZERS) == names_in(torch.optim, torch.optim.Optimizer) - set(UNFIT_OPTIMIZERS)
    assert set(SCHEDULERS) == names_in(lr_scheduler, lr_scheduler.LRScheduler) - set(UNFIT_SCHEDULERS)
    for module, table, ours in ((torch.optim, OPTIMIZERS, {"params", "lr"}), (lr_scheduler, SCHEDULERS, {"optimizer"})):
        for name, arguments in table.items():
            assert set(arguments) == set(inspect.signature(getattr(module, name)).parameters) - ours, name


def test_what_steps_together_is_known_and_all_else_is_alone():
    together = {
        name: {each for each in arguments if can_step_together(OptimizerOptions(name=name, arguments={each: None}))}
        for name, arguments in OPTIMIZERS.items()
    }
    assert {name: arguments for name, arguments in together.items() if arguments} == {
        "SGD": {"momentum", "weight_decay", "nesterov"},
        "Adam": {"betas", "eps", "weight_decay"},
        "AdamW": {"betas", "eps", "weight_decay"},
    }
    assert {name for name in OPTIMIZERS if can_step_together(OptimizerOptions(name=name))} == set(KERNELS)


@dataclass(frozen=True)
class Case:
    """Members that differ in their settings and share a schedule, and how long they train."""

    options: list[FittedTraining]
    rates: list[float]  # of the groups, as shares of the learning rate
    n_batches: int
    seed: int
    size: float  # of the gradients

    def gradients(self, member: int, step: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self.seed + 1000 * member + step)
        return [self.size * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]

    def losses(self, member: int) -> list[float]:
        generator = torch.Generator().manual_seed(self.seed + member)
        return torch.rand(self.options[member].epochs, generator=generator).tolist()


@st.composite
def cases(draw: st.DrawFn, name: str, stacked: bool) -> Case:
    arguments = {each: OPTIMIZERS[name][each] for each in KERNELS[name].arguments} if stacked else OPTIMIZERS[name]
    scheduler = draw(st.one_of(st.none(), schedulers(name)))
    options = []
    for _ in range(draw(st.integers(1, 4) if stacked else st.just(1))):
        chosen = draw(st.fixed_dictionaries({}, optional=arguments))
        if chosen.get("fused"):
            chosen.pop("foreach", None)  # torch takes one of them
        if chosen.get("nesterov"):
            chosen |= {"momentum": chosen.get("momentum") or 0.9, "dampening": 0.0}
            if stacked:
                del chosen["dampening"]
        options.append(
            fitted(
                epochs=draw(st.integers(1, 4)),
                learning_rate=draw(st.floats(1e-4, 0.3)),
                optimizer=OptimizerOptions(name=name, arguments=chosen),
                scheduler=scheduler,
                exact=draw(FLAG),
            )
        )
    rates = [1.0, draw(st.floats(0.1, 1))]
    return Case(options, rates, draw(st.integers(1, 3)), draw(st.integers(0, 2**31)), 10 ** draw(st.integers(-2, 2)))


@st.composite
def schedulers(draw: st.DrawFn, optimizer: str) -> SchedulerOptions:
    name = draw(st.sampled_from(list(SCHEDULERS)))
    known = SCHEDULERS[name]
    needed = {
        each: known[each] for each in NEEDED[name] - {RUN_LENGTH.get(name)} if (name, each) != ("OneCycleLR", "max_lr")
    }
    optional = {each: strategy for each, strategy in known.items() if each not in needed}
    arguments = draw(st.fixed_dictionaries(needed, optional=optional))
    if not {"momentum", "betas"} & set(OPTIMIZERS[optimizer]) and "cycle_momentum" in known:
        arguments["cycle_momentum"] = False
    if name == "OneCycleLR" and len({"epochs", "steps_per_epoch"} & set(arguments)) == 1:
        arguments = {each: value for each, value in arguments.items() if each not in ("epochs", "steps_per_epoch")}
    step: Any = "epoch" if name == "ReduceLROnPlateau" else draw(st.sampled_from(["epoch", "batch"]))
    return SchedulerOptions(name=name, step=step, arguments=arguments)


def by_hand(case: Case, member: int) -> tuple[list[Tensor], list[float]]:
    """Step a member's parameters with the classes of torch: where they end, and the rates of each batch."""
    options = case.options[member]
    parameters = [nn.Parameter(torch.ones(shape, dtype=torch.float64)) for shape in SHAPES]
    groups = [
        {"params": [parameter], "lr": options.learning_rate * rate}
        for parameter, rate in zip(parameters, case.rates, strict=True)
    ]
    optimizer = getattr(torch.optim, options.optimizer.name)(
        groups, lr=options.learning_rate, **options.optimizer.arguments
    )
    scheduler = options.scheduler and schedule_by_hand(optimizer, options, case)
    per_batch = options.scheduler is not None and options.scheduler.step == "batch"
    rates = []
    for epoch, loss in enumerate(case.losses(member)):
        for batch in range(case.n_batches):
            rates.append(optimizer.param_groups[0]["lr"])
            for parameter, gradient in zip(
                parameters, case.gradients(member, epoch * case.n_batches + batch), strict=True
            ):
                parameter.grad = gradient
            optimizer.step()
            if per_batch:
                scheduler.step()
        if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
            scheduler.step(loss)
        elif scheduler is not None and not per_batch:
            scheduler.step()
    return parameters, rates


def schedule_by_hand(optimizer: torch.optim.Optimizer, options: FittedTraining, case: Case) -> Any:
    """Make the scheduler; what the arguments leave out of its length follows from the epochs and batches."""
    assert options.scheduler is not None
    name, given_arguments = options.scheduler.name, options.scheduler.arguments
    steps = options.epochs * (case.n_batches if options.scheduler.step == "batch" else 1)
    filled: dict[str, Any] = {}
    if name in ("LinearLR", "PolynomialLR"):
        filled["total_iters"] = steps
    elif name == "CosineAnnealingLR":
        filled["T_max"] = steps
    elif name == "OneCycleLR":
        filled["max_lr"] = [options.learning_rate * rate for rate in case.rates]
        if "epochs" not in given_arguments:
            filled["total_steps"] = steps
    return getattr(lr_scheduler, name)(optimizer, **{**filled, **given_arguments})


def stacked(case: Case) -> list[tuple[list[Tensor], list[float]]]:
    """Step all members together as a stack does; a member that has trained its epochs takes no part any more."""
    groups = [ParameterGroup((str(number),), rate) for number, rate in enumerate(case.rates)]
    everyone = [MemberSettings(options, case.n_batches, groups) for options in case.options]
    name = case.options[0].optimizer.name
    numbers = [[torch.ones(shape, dtype=torch.float64).flatten() for shape in SHAPES] for _ in everyone]
    moments = [[[torch.zeros_like(row) for row in rows] for rows in numbers] for _ in range(KERNELS[name].n_moments)]
    steps = [[torch.zeros(()) for _ in rows] for rows in numbers]
    rates: list[list[float]] = [[] for _ in everyone]
    for epoch in range(max(options.epochs for options in case.options)):
        active = [member for member, options in enumerate(case.options) if epoch < options.epochs]
        owners = [(position, group) for position in range(len(active)) for group in range(len(groups))]
        own = [everyone[member] for member in active]
        step = StackedSteps(name, own, owners, frozenset(range(len(groups))))
        places = [(member, group) for member in active for group in range(len(groups))]
        for batch in range(case.n_batches):
            gradients = [case.gradients(member, epoch * case.n_batches + batch) for member in active]
            flat = [gradient.flatten() for of_member in gradients for gradient in of_member]
            for member, group in places:
                steps[member][group] += 1
            for member in active:
                rates[member].append(everyone[member].schedule.learning_rate)
            rows = [[each[member][group] for member, group in places] for each in (numbers, *moments, steps)]
            step(rows[0], flat, rows[1:-1], rows[-1])
            for each in own:
                each.schedule.after_batch()
            if any(each.change_within_epoch for each in own):
                step.regroup(frozenset(range(len(groups))))
        for member in active:
            everyone[member].schedule.after_epoch(case.losses(member)[epoch])
    shaped = [[row.view(shape) for row, shape in zip(rows, SHAPES, strict=True)] for rows in numbers]
    return list(zip(shaped, rates, strict=True))


def alone(case: Case) -> tuple[list[Tensor], list[float]]:
    """Step one member's parameters as the plain run does."""
    (options,) = case.options
    model = nn.ParameterList([nn.Parameter(torch.ones(shape, dtype=torch.float64)) for shape in SHAPES])
    groups = tuple(ParameterGroup((str(number),), rate) for number, rate in enumerate(case.rates))
    optimizer = Stepper(model, nn.MSELoss(), options, Adaptation(groups, {})).optimizer
    schedule = Schedule(optimizer, options.scheduler, options.epochs, case.n_batches)
    rates = []
    for epoch, loss in enumerate(case.losses(0)):
        for batch in range(case.n_batches):
            rates.append(schedule.learning_rate)
            for parameter, gradient in zip(model, case.gradients(0, epoch * case.n_batches + batch), strict=True):
                parameter.grad = gradient
            optimizer.step()
            schedule.after_batch()
        schedule.after_epoch(loss)
    return list(model), rates


@pytest.mark.parametrize("name", KERNELS)
@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_stacked_members_step_as_each_one_does_in_torch(name, data):
    case = data.draw(cases(name, stacked=True))
    assert all(can_step_together(options.optimizer) for options in case.options)
    try:
        by_torch = [by_hand(case, member) for member in range(len(case.options))]
    except ZeroDivisionError:  # OneCycleLR, where a phase has no step
        with pytest.raises(ValueError, match="scheduler OneCycleLR does not take"):
            stacked(case)
        return
    for (numbers, rates), (expected, expected_rates) in zip(stacked(case), by_torch, strict=True):
        compare(f"optimizer {name}, stacked, rates", rates, expected_rates)
        for ours, theirs in zip(numbers, expected, strict=True):
            compare(f"optimizer {name}, stacked", ours, theirs, **CLOSE)


@pytest.mark.parametrize("name", OPTIMIZERS)
@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_one_member_steps_as_in_torch_to_the_bit_where_exact(name, data):
    case = data.draw(cases(name, stacked=False))
    (options,) = case.options
    try:
        expected, expected_rates = by_hand(case, 0)
    except ZeroDivisionError:
        with pytest.raises(ValueError, match="scheduler OneCycleLR does not take"):
            alone(case)
        return
    numbers, rates = alone(case)
    compare(f"optimizer {name}, alone, rates", rates, expected_rates)
    for ours, theirs in zip(numbers, expected, strict=True):
        if options.exact:
            compare(f"optimizer {name}, alone, exact", ours, theirs)
        else:
            compare(f"optimizer {name}, alone, free", ours, theirs, **CLOSE)
