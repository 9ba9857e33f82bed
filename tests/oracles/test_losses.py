"""The criteria against their definitions, written out, and against torch: values and gradients, alone and stacked."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tests.oracles.agreement import compare
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.options import LossOptions, TaskName
from torchlane.core.tasks.objectives import Objective
from torchlane.core.tasks.tasks import TASKS

LABELS = tuple("abcdef")
CLOSE = {"relative": 1e-12, "absolute": 1e-14}
Definition = Callable[[Tensor, Tensor, Tensor, float], Tensor]


def mse(outputs: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    return ((outputs - targets) ** 2).sum() / outputs.numel()


def l1(outputs: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    return (outputs - targets).abs().sum() / outputs.numel()


def huber(outputs: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    distance = (outputs - targets).abs()
    return torch.where(distance < 1, distance**2 / 2, distance - 0.5).sum() / outputs.numel()


def binary_cross_entropy(outputs: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """-log of the probability of the true label; a row of the second label counts weights[1] / weights[0] times."""
    weight = (weights[1:] / weights[:1]).double()
    zero = torch.zeros_like(outputs)
    positive, negative = torch.logaddexp(zero, -outputs), torch.logaddexp(zero, outputs)
    return (weight * targets * positive + (1 - targets) * negative).sum() / outputs.numel()


def cross_entropy(outputs: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """The weighted mean over rows, each label's term with its share of the smoothed truth and its own weight."""
    total, counted = torch.zeros((), dtype=outputs.dtype), torch.zeros((), dtype=outputs.dtype)
    for row, label in zip(outputs, targets.tolist(), strict=True):
        log_probabilities = row - row.logsumexp(0)
        truth = torch.full_like(row, smoothing / len(row))
        truth[label] += 1 - smoothing
        total = total - (truth * weights.double() * log_probabilities).sum()
        counted = counted + weights[label].double()
    return total / counted


DEFINITIONS: dict[TaskName, dict[str, Definition]] = {
    "regression": {"mse": mse, "l1": l1, "huber": huber},
    "binary": {"binary_cross_entropy": binary_cross_entropy},
    "multiclass": {"cross_entropy": cross_entropy},
}
TORCH: dict[str, Callable[..., Tensor]] = {
    "mse": lambda outputs, targets, weights, smoothing: functional.mse_loss(outputs, targets),
    "l1": lambda outputs, targets, weights, smoothing: functional.l1_loss(outputs, targets),
    "huber": lambda outputs, targets, weights, smoothing: functional.huber_loss(outputs, targets),
    "binary_cross_entropy": lambda outputs, targets, weights, smoothing: functional.binary_cross_entropy_with_logits(
        outputs, targets, pos_weight=(weights[1:] / weights[:1]).double()
    ),
    "cross_entropy": lambda outputs, targets, weights, smoothing: functional.cross_entropy(
        outputs, targets, weight=weights.double(), label_smoothing=smoothing
    ),
}


def test_every_task_loss_and_option_has_its_oracle():
    assert set(DEFINITIONS) == set(TASKS) == set(get_args(TaskName))
    for task, definitions in DEFINITIONS.items():
        assert set(definitions) == set(TASKS[task].losses)
    assert set(LossOptions.model_fields) == {"name", "class_weights", "label_smoothing"}


def draw_loss(data: st.DataObject, task: TaskName, name: str) -> tuple[Objective, LossOptions, Tensor]:
    """Draw the options of a loss, and labels with their rows in train: the weight that each label then has, float32."""
    if task == "regression":
        loss = LossOptions(name=name)
        return Objective.of(TargetEncoder(name="y", task=task), loss), loss, torch.empty(0)
    n_labels = 2 if task == "binary" else data.draw(st.integers(2, 6))
    labels = LABELS[:n_labels]
    counts = tuple(data.draw(st.lists(st.integers(1, 99), min_size=n_labels, max_size=n_labels)))
    given_weights = st.dictionaries(st.sampled_from(labels), st.floats(0.01, 100))
    asked: Any = data.draw(st.one_of(st.none(), st.just("balanced"), given_weights))
    weights = [1.0] * n_labels
    if asked == "balanced":
        weights = [sum(counts) / (n_labels * count) for count in counts]
    elif asked is not None:
        weights = [asked.get(label, 1.0) for label in labels]
    smoothing = data.draw(st.sampled_from([0.0, 0.1, 0.5])) if task == "multiclass" else 0.0
    loss = LossOptions(name=name, class_weights=asked, label_smoothing=smoothing)
    target = TargetEncoder(name="y", task=task, labels=labels, counts=counts)
    return Objective.of(target, loss), loss, torch.tensor(weights)


def draw_rows(task: TaskName, n_members: int, n_rows: int, n_labels: int, seed: int, size: float) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    width = n_labels if task == "multiclass" else 1
    outputs = size * torch.randn(n_members, n_rows, width, generator=generator, dtype=torch.float64)
    if task == "regression":
        return outputs, size * torch.randn(outputs.shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(n_labels, (n_members, n_rows), generator=generator)
    return outputs, labels if task == "multiclass" else labels[..., None].double()


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, known in DEFINITIONS.items() for name in known])
@settings(deadline=None, max_examples=200)
@given(
    data=st.data(),
    n_members=st.integers(1, 4),
    n_rows=st.integers(1, 9),
    seed=st.integers(0, 2**31),
    size=st.sampled_from([0.1, 1.0, 30.0]),
)
def test_losses_alone_and_stacked_are_their_definitions_and_those_of_torch(
    task, name, data, n_members, n_rows, seed, size
):
    objective, loss, weights = draw_loss(data, task, name)
    outputs, targets = draw_rows(task, n_members, n_rows, len(weights), seed, size)
    outputs.requires_grad_()
    stacked = objective.member_losses(outputs, targets)
    (stacked_gradients,) = torch.autograd.grad(stacked.sum(), outputs)
    for member in range(n_members):
        own, truth = outputs[member].detach().requires_grad_(), targets[member]
        expected = DEFINITIONS[task][name](own, truth, weights, loss.label_smoothing)
        (gradients,) = torch.autograd.grad(expected, own)
        alone = objective.criterion(own, truth)
        (own_gradients,) = torch.autograd.grad(alone, own)
        compare(f"loss {name}, stacked", stacked[member], expected, **CLOSE)
        compare(f"loss {name}, stacked, gradient", stacked_gradients[member], gradients, **CLOSE)
        compare(f"loss {name}, alone", alone, expected, **CLOSE)
        compare(f"loss {name}, alone, gradient", own_gradients, gradients, **CLOSE)
        compare(f"loss {name}, alone, as torch", alone, TORCH[name](own, truth, weights, loss.label_smoothing))
        compare(f"loss {name}, in float64", objective.loss(own.detach(), truth), expected, **CLOSE)
        if task == "regression":
            rows = objective.row_losses(own.detach()[None], truth[None])
            compare(f"loss {name}, by row", rows.mean(), expected, **CLOSE)
