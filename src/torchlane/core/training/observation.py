"""Measurements of the layers of a network during training, which do not affect the training."""

import copy
import logging
from collections.abc import Callable, Iterable
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from torchlane.core.encoding.tensors import with_relative_weights
from torchlane.core.machine.randomness import own_randomness
from torchlane.core.networks.augmentation import Augmentation
from torchlane.core.options import DiagnosisOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.members import Member

logger = logging.getLogger(__name__)

PROBE_ROWS = 64  # of train, measured after an epoch
OVERFIT_ROWS = 32
OVERFIT_RATE = 0.005  # of Adam
FITTED_SHARE = 0.05  # of the constant's loss; a batch with a lower loss is fitted
BATCHES_A_PROBE = 120  # at least, since a probe costs about as much as two batches
LIMITS: dict[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
    nn.Hardtanh: (-1.0, 1.0),
}
SATURATED = 0.02  # distance from a limit, as a share of the range
RECTIFIERS: tuple[type[nn.Module], ...] = (nn.ReLU, nn.ReLU6)
MEASURED: tuple[type[nn.Module], ...] = (*RECTIFIERS, *LIMITS)
MEASURES = ("gradient_norm", "update_ratio", "dead_share", "saturated_share")
Line = dict[str, Any]


class Observer:
    """Measures the first member of a training; `lines` has one line for each layer and observed epoch.

    Each line has `epoch` (0 is before training) and `layer`, and these measures, which are None if they do
    not apply to the layer:

    - `gradient_norm`, for layers with weights: of the loss on one fixed batch, without dropout and augmentation.
      Weights of rows count in this loss.
    - `update_ratio`, for layers with weights: the change of the weights since the last observation, divided by
      their norm and by the number of steps. It is a lower bound, since steps may cancel out.
    - `dead_share`, for ReLUs: the share of units that are 0 for all rows of the batch.
    - `saturated_share`, for sigmoid and tanh: the share of outputs within 2 % of a limit.

    A copy of the network is measured, with its own random generator, so the results of the training are the
    same with and without an observer. If an epoch has fewer than 120 batches, only some epochs are observed.
    """

    def __init__(self, options: DiagnosisOptions):
        self.options = options
        self.lines: list[Line] = []
        self.start_loss: float | None = None  # on the fixed batch, before training
        self.overfit: dict[str, Any] | None = None
        self._probe: nn.Module | None = None

    def begin(self, member: Member) -> None:
        """Measure a network before its training, and check whether it can overfit one batch.

        Raises:
            ValueError: a batch would be too small for the network; see `torchlane.core.training.norms`.
        """
        if not self.options.enabled:
            return
        model, train, objective = member.model, member.train, member.objective
        device = next(model.parameters()).device
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:PROBE_ROWS]
        weighted = with_relative_weights(train, next(model.parameters()).dtype)
        self._features, self._targets, *self._weights = (tensor[order].to(device) for tensor in weighted.tensors)
        self._loss = objective.batch_loss
        self._n_batches = len(member.batch_sizes)
        self._every = ceil(BATCHES_A_PROBE / self._n_batches)
        self._before: dict[str, Tensor] = {}
        self._seen_epoch = 0
        if self.options.overfit_steps:
            with own_randomness(device):
                self.overfit = overfit_one_batch(
                    model, self._features, self._targets, objective, self.options.overfit_steps
                )
        self._probe = _quiet_copy(model)
        self.start_loss = self._look(model, 0)

    def after_epoch(self, network: Callable[[], nn.Module | None], epoch: int) -> None:
        """Measure the network after an epoch that is to be observed; `network` gives None if the member has ended."""
        if self._probe is not None and (epoch == 1 or epoch % self._every == 0):
            model = network()
            if model is not None:
                self._look(model, epoch)

    def state_dict(self) -> list[Line]:
        """Give the lines and the weights at the last observation, for a checkpoint."""
        return (
            [{"lines": list(self.lines), "seen_epoch": self._seen_epoch, "before": self._before}] if self.lines else []
        )

    def load_state_dict(self, state: list[Line]) -> None:
        """Continue from the state of an earlier run."""
        for each in state:
            self.lines, self._seen_epoch, self._before = each["lines"], each["seen_epoch"], each["before"]

    def _look(self, model: nn.Module, epoch: int) -> float:
        assert self._probe is not None
        probe = self._probe
        probe.load_state_dict(model.state_dict())
        activations: dict[str, list[Line]] = {}
        hooks = [
            module.register_forward_hook(_measure_into(activations, name))
            for name, module in probe.named_modules()
            if isinstance(module, MEASURED)
        ]
        try:
            with own_randomness(self._features.device), torch.enable_grad():
                probe.zero_grad()
                loss = self._loss(probe(self._features), self._targets, *self._weights)
                loss.backward()
        finally:
            for hook in hooks:
                hook.remove()
        self.lines += self._layer_lines(probe, activations, epoch)
        return float(loss.detach())

    def _layer_lines(self, probe: nn.Module, activations: dict[str, list[Line]], epoch: int) -> list[Line]:
        steps = max(1, (epoch - self._seen_epoch) * self._n_batches)
        lines = []
        weights = {}
        for name, module in probe.named_modules():
            line: Line = {"epoch": epoch, "layer": name, **dict.fromkeys(MEASURES)}
            if name in activations:
                line |= {key: _mean(each[key] for each in activations[name]) for key in activations[name][0]}
            else:
                matrices = [own for own in module.parameters(recurse=False) if own.ndim > 1 and own.grad is not None]
                if not matrices:
                    continue
                weights[name] = torch.cat([own.detach().flatten() for own in matrices])
                line["gradient_norm"] = float(torch.cat([own.grad.flatten() for own in matrices]).norm())
                if name in self._before:
                    before = self._before[name].to(weights[name].device)
                    line["update_ratio"] = float((weights[name] - before).norm() / before.norm() / steps)
            lines.append(line)
        self._before, self._seen_epoch = weights, epoch
        return lines


def overfit_one_batch(
    model: nn.Module, features: Tensor, targets: Tensor, objective: Objective, steps: int
) -> dict[str, Any]:
    """Train a copy of the network to overfit up to 32 rows, without dropout and augmentation.

    Rows with equal features are used once, and all rows count the same. The result has the number of `rows`, the
    `steps` taken, the `loss` reached, the `constant_loss` of the best constant, and whether the batch is `fitted`:
    its loss is at most 5 % of the constant's. `loss` and `fitted` are None if there is one row or all targets are
    equal.
    """
    kept = _distinct(features)[:OVERFIT_ROWS]
    features, targets = features[kept], targets[kept]
    criterion = Objective.of(objective.target, objective.loss_name).criterion
    constant = float(criterion(_constant_outputs(targets, objective), targets))
    result: dict[str, Any] = {"rows": len(targets), "steps": 0, "loss": None, "constant_loss": constant, "fitted": None}
    if len(targets) == 1 or constant < torch.finfo(torch.float32).eps:
        return result
    probe = _quiet_copy(model)
    optimizer = torch.optim.Adam(probe.parameters(), lr=OVERFIT_RATE)
    loss = torch.tensor(torch.inf)
    while result["steps"] < steps:
        optimizer.zero_grad()
        loss = criterion(probe(features), targets)
        if not loss > FITTED_SHARE * constant:  # fitted, or not a number
            break
        loss.backward()
        optimizer.step()
        result["steps"] += 1
    reached = float(loss.detach())
    return {**result, "loss": reached, "fitted": reached <= FITTED_SHARE * constant}


def _quiet_copy(model: nn.Module) -> nn.Module:
    """Copy a network in training mode, with dropout and augmentation switched off."""
    probe = copy.deepcopy(model).train()
    for module in probe.modules():
        if isinstance(module, (Augmentation, nn.modules.dropout._DropoutNd)):
            module.eval()
        elif isinstance(module, (nn.RNNBase, nn.MultiheadAttention)):
            module.dropout = 0.0  # they have dropout without a layer for it
    return probe


def _measure_into(activations: dict[str, list[Line]], name: str) -> Any:
    def measure(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        activations.setdefault(name, []).append(_measure(module, output.detach()))

    return measure


def _measure(module: nn.Module, output: Tensor) -> Line:
    if isinstance(module, RECTIFIERS):
        units = output.transpose(0, 1).flatten(1) if output.ndim in (2, 4) else output.flatten(0, -2).T
        return {"dead_share": float((units <= 0).all(1).float().mean())}
    low, high = LIMITS[type(module)]
    margin = SATURATED * (high - low)
    return {"saturated_share": float(((output < low + margin) | (output > high - margin)).float().mean())}


def _distinct(features: Tensor) -> Tensor:
    """Give the position of the first of each group of equal rows, in order: int64 (n_kinds,)."""
    _, kinds = features.flatten(1).unique(dim=0, return_inverse=True)
    first = torch.full((int(kinds.max()) + 1,), len(kinds), device=kinds.device)
    first = first.scatter_reduce(0, kinds, torch.arange(len(kinds), device=kinds.device), "amin")
    return first.sort().values


def _constant_outputs(targets: Tensor, objective: Objective) -> Tensor:
    """Give the outputs of a network that predicts the best constant: (n_rows, width)."""
    if objective.target.task == "multiclass":
        counts = torch.bincount(targets, minlength=len(objective.target.labels)).float()
        return (counts / counts.sum()).log().clamp_min(-1e4).expand(len(targets), -1)
    mean = targets.mean(0)
    return (mean.logit(eps=1e-6) if objective.target.task == "binary" else mean).expand(len(targets), -1)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
