import pytest
import torch
from torch import nn

from torchlane.core.options import OptimizerOptions, SchedulerOptions
from torchlane.core.options.torch_names import UNFIT_OPTIMIZERS, UNFIT_SCHEDULERS
from torchlane.core.training.optimizers import Schedule, make_optimizer

OPTIMIZERS = sorted(
    name
    for name, each in vars(torch.optim).items()
    if isinstance(each, type) and issubclass(each, torch.optim.Optimizer) and each is not torch.optim.Optimizer
)
SCHEDULERS = sorted(
    name
    for name, each in vars(torch.optim.lr_scheduler).items()
    if isinstance(each, type) and issubclass(each, torch.optim.lr_scheduler.LRScheduler) and not name.startswith("_")
)
NEEDED = {
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "cycle_momentum": False},
    "ExponentialLR": {"gamma": 0.9},
    "MultiStepLR": {"milestones": [1]},
    "StepLR": {"step_size": 1},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_of_torch_either_learns_or_is_refused_by_name(name):
    if name in UNFIT_OPTIMIZERS:
        with pytest.raises(ValueError, match=f"optimizer {name} does not fit: it .*; choose one of ASGD, "):
            OptimizerOptions(name=name)
        return
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    features = torch.randn(64, 3)
    targets = features.sum(1, keepdim=True)
    optimizer = make_optimizer(model.parameters(), OptimizerOptions(name=name), 0.01)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(features), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", [each for each in SCHEDULERS if each != "LRScheduler"])
@pytest.mark.parametrize("step", ["epoch", "batch"])
def test_every_scheduler_of_torch_either_changes_the_rate_or_is_refused_by_name(name, step):
    if name in UNFIT_SCHEDULERS or (name, step) == ("ReduceLROnPlateau", "batch"):
        with pytest.raises(ValueError, match=f"scheduler {name}"):
            SchedulerOptions(name=name, step=step)
        return
    options = SchedulerOptions(name=name, step=step, arguments=NEEDED.get(name, {}))
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], OptimizerOptions(name="SGD"), 0.05)
    schedule = Schedule(optimizer, options, epochs=20, batches_per_epoch=3)
    rates = set()
    for _ in range(20):
        for _ in range(3):
            rates.add(schedule.learning_rate)
            optimizer.step()
            schedule.after_batch()
        schedule.after_epoch(1.0)
    assert len(rates) > 1


def test_a_cycle_spans_the_run_with_the_training_rate_as_its_peak():
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], OptimizerOptions(), 0.05)
    schedule = Schedule(optimizer, SchedulerOptions(name="OneCycleLR", step="batch"), epochs=4, batches_per_epoch=5)
    rates = []
    for _ in range(19):
        optimizer.step()
        schedule.after_batch()
        rates.append(schedule.learning_rate)
    assert max(rates) == pytest.approx(0.05, rel=0.05)
    assert rates[-1] < 1e-5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "Adamm"}, "optimizer 'Adamm' does not exist in torch; choose one of ASGD, "),
        ({"arguments": {"momentum": 0.9}}, "optimizer AdamW: .*'momentum'; its arguments are betas, eps, weight_decay"),
        ({"arguments": {"lr": 0.1}}, "lr is set by learning_rate"),
    ],
)
def test_wrong_optimizer_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        OptimizerOptions.model_validate(arguments)


@pytest.mark.parametrize(
    ("made", "name", "arguments"),
    [
        (OptimizerOptions, "AdamW", {"weight_decay": True}),
        (OptimizerOptions, "AdamW", {"betas": [0.9, False]}),
        (OptimizerOptions, "SGD", {"momentum": True}),
        (SchedulerOptions, "StepLR", {"step_size": True}),
        (SchedulerOptions, "MultiStepLR", {"milestones": [True]}),
        (SchedulerOptions, "OneCycleLR", {"max_lr": True}),
    ],
)
def test_no_argument_takes_true_or_false_for_a_number(made, name, arguments):
    with pytest.raises(ValueError, match=f"{name}: {next(iter(arguments))}: a number is needed, not (true|false)"):
        made(name=name, arguments=arguments)


def test_argument_that_is_true_or_false_takes_it():
    assert OptimizerOptions(name="SGD", arguments={"nesterov": True, "momentum": 0.9, "foreach": False})
    assert SchedulerOptions(name="OneCycleLR", arguments={"cycle_momentum": False, "three_phase": True})


def test_wrong_optimizer_value_is_refused_with_its_arguments():
    with pytest.raises(ValueError, match=r"optimizer AdamW does not take {'weight_decay': -1}: Invalid weight_decay"):
        make_optimizer([nn.Parameter(torch.zeros(1))], OptimizerOptions(arguments={"weight_decay": -1}), 0.1)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_cycle_with_a_phase_of_no_steps_is_refused_with_its_arguments(share):
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], OptimizerOptions(), 0.1)
    options = SchedulerOptions(name="OneCycleLR", arguments={"pct_start": share})
    with pytest.raises(ValueError, match=rf"scheduler OneCycleLR does not take {{'pct_start': {share}}}.*division"):
        schedule = Schedule(optimizer, options, epochs=2, batches_per_epoch=1)
        optimizer.step()
        for _ in range(2):
            schedule.after_epoch(1.0)


def test_scheduler_without_a_needed_argument_is_refused():
    with pytest.raises(
        ValueError, match="scheduler StepLR: missing a required argument: 'step_size'; its arguments are step_size"
    ):
        SchedulerOptions(name="StepLR")
