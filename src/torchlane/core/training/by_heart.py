"""Whether a network can learn a few rows by heart, which any network that is built and fed well can."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from torchlane.core.layers.coded import features_of
from torchlane.core.machine.randomness import own_randomness
from torchlane.core.networks.augmentation import Augmentation
from torchlane.core.options import OptimizerOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.bounds import constant_loss, distinct_rows
from torchlane.core.training.optimizers import make_optimizer

OVERFIT_ROWS = 32
OVERFIT_RATE = 0.005  # of Adam
FITTED_SHARE = 0.05  # of the constant's loss; a batch with a lower loss is fitted
FAILED_SHARE = 0.25  # of the constant's loss; between the two the network is on its way
REFERENCE_WIDTH = 64


def overfit_one_batch(
    model: nn.Module, features: Tensor, targets: Tensor, objective: Objective, steps: int
) -> dict[str, Any]:
    """Train a copy of the network to overfit up to 32 rows, without dropout and augmentation.

    Rows with equal features are used once. The result has the number of `rows`, the `steps` taken, the
    `loss` reached, the `constant_loss` of the best constant, and whether the batch is `fitted`: its loss is at
    most 5 % of the constant's.

    `fitted` is False only if the rows can be learned in so many steps and the network keeps more than 25 % of the
    constant's loss. Whether they can be learned is tried by a perceptron with two layers of 64 units on the scaled
    rows; few columns of noise take longer than that. Otherwise `fitted` is None: nothing can be told. `loss` and
    `fitted` are None if there is one row or all targets are equal.
    """
    kept = distinct_rows(features)[:OVERFIT_ROWS]
    features, targets = features[kept], targets[kept]
    objective = Objective.of(objective.target, objective.loss_name)
    constant = constant_loss(targets, objective)
    result: dict[str, Any] = {"rows": len(targets), "steps": 0, "loss": None, "constant_loss": constant, "fitted": None}
    if bool((targets == targets[:1]).all()):
        return result
    reached, taken = _learn(quiet_copy(model), features, targets, objective, steps)
    result |= {"steps": taken, "loss": reached}
    if reached <= FITTED_SHARE * constant:
        return {**result, "fitted": True}
    if math.isfinite(reached) and (
        reached <= FAILED_SHARE * constant or not _learnable(features_of(model, features), targets, objective, steps)
    ):
        return result
    return {**result, "fitted": False}


def _learn(
    network: nn.Module, features: Tensor, targets: Tensor, objective: Objective, steps: int
) -> tuple[float, int]:
    """Train until the batch is fitted; give the loss reached and the steps taken."""
    enough = FITTED_SHARE * constant_loss(targets, objective)
    optimizer = make_optimizer(network.parameters(), OptimizerOptions(name="Adam"), OVERFIT_RATE)
    loss, taken = torch.tensor(torch.inf), 0
    while taken < steps:
        optimizer.zero_grad()
        loss = objective.criterion(network(features), targets)
        if not loss > enough:  # fitted, or not a number
            break
        loss.backward()
        optimizer.step()
        taken += 1
    return float(loss.detach()), taken


def _learnable(features: Tensor, targets: Tensor, objective: Objective, steps: int) -> bool:
    """Try whether a perceptron learns the rows, with features and values of the target scaled."""
    scaled = _scaled(features.float().flatten(1))
    if scaled.shape[1] > len(scaled):  # as many columns suffice to keep all distances
        left, sizes, _ = torch.linalg.svd(scaled, full_matrices=False)
        scaled = left * sizes
        scaled = scaled / scaled.square().mean().sqrt()
    if objective.target.task == "regression":
        targets = _scaled(targets)
    width = objective.task.width(len(objective.target.labels))
    with own_randomness(scaled.device):
        reference = nn.Sequential(
            *(nn.Linear(scaled.shape[1], REFERENCE_WIDTH), nn.GELU()),
            *(nn.Linear(REFERENCE_WIDTH, REFERENCE_WIDTH), nn.GELU()),
            nn.Linear(REFERENCE_WIDTH, width),
        ).to(scaled.device)
    reached, _ = _learn(reference, scaled, targets, objective, steps)
    return reached <= FITTED_SHARE * constant_loss(targets, objective)


def _scaled(values: Tensor) -> Tensor:
    """Bring each column to mean 0 and deviation 1; a constant column to 0."""
    around = values - values.mean(0)
    deviation = around.square().mean(0).sqrt()
    return around / torch.where(deviation > 0, deviation, 1)


def quiet_copy(model: nn.Module) -> nn.Module:
    """Copy a network in training mode, with dropout and augmentation switched off."""
    probe = copy.deepcopy(model).train()
    for module in probe.modules():
        if isinstance(module, (Augmentation, nn.modules.dropout._DropoutNd)):
            module.eval()
        elif isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
            module.dropout = 0.0  # they have dropout without a layer for it
    return probe
