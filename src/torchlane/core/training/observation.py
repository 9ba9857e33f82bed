"""Measurements of the layers of a network during training, which do not affect the training."""

from collections.abc import Callable, Iterable
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from torchlane.core.encoding.tensors import with_relative_weights
from torchlane.core.layers.coded import features_of
from torchlane.core.machine.randomness import own_randomness
from torchlane.core.machine.threads import torch_threads
from torchlane.core.options import DiagnosisOptions, FittedTraining
from torchlane.core.training.bounds import constant_loss, distinct_rows, lowest_loss
from torchlane.core.training.by_heart import overfit_one_batch, quiet_copy
from torchlane.core.training.members import Member

PROBE_ROWS = 64  # of train, measured after an epoch
BATCHES_A_PROBE = 120  # at least, since a probe costs about as much as two batches
MOST_COMPARED = 2_000_000  # numbers of train that are searched for equal rows
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
        self.constant_loss = 0.0  # of the best constant, on all rows of train
        self.lowest_loss = 0.0  # that is possible on train, since equal rows get the same answer
        self.blank = False  # whether all features of the fixed batch are 0
        self.largest_feature = 0.0  # magnitude of a number in the fixed batch
        self.probe_kinds = 0  # rows of the fixed batch that differ
        self.telling_rows = 0  # rows of valid that a constant does not predict
        self.training: FittedTraining | None = None
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
        self.training = member.options
        features, targets, *weights = weighted.tensors
        self.constant_loss = constant_loss(targets, objective, *weights)
        if features.numel() <= MOST_COMPARED:
            self.lowest_loss = lowest_loss(features, targets, objective, *weights)
        seen = features_of(model, self._features)
        self.blank = not bool(seen.any())
        self.largest_feature = float(seen.abs().max()) if seen.is_floating_point() else 0.0
        self.probe_kinds = len(distinct_rows(self._features))
        self.telling_rows = _telling_rows(member.valid.tensors[1])
        self._n_batches = len(member.batch_sizes)
        self._every = ceil(BATCHES_A_PROBE / self._n_batches)
        self._before: dict[str, Tensor] = {}
        self._seen_epoch = 0
        with torch_threads(member.threads()):
            if self.options.overfit_steps:
                with own_randomness(device):
                    self.overfit = overfit_one_batch(
                        model, self._features, self._targets, objective, self.options.overfit_steps
                    )
            self._probe = quiet_copy(model)
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


def _telling_rows(targets: Tensor) -> int:
    """Count the rows whose encoded target is not the commonest one."""
    if not len(targets):
        return 0
    _, counts = targets.flatten().unique(return_counts=True)
    return int(len(targets) - counts.max())


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
