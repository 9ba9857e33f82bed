"""The networks that are trained, and what becomes of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from torchlane.core.machine.randomness import RandomState
from torchlane.core.options import TrainingOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.adaptation import Adaptation
from torchlane.core.training.batches import batch_sizes
from torchlane.core.training.norms import smallest_batch

Weights = dict[str, Tensor]
Line = dict[str, float]  # of the history of one member: an epoch; `seconds` are its share where it is stacked
Stop = Callable[[int, dict[int, Line]], set[int]]  # from the epoch and the lines that members would keep: who stops


@dataclass
class Member:
    """One network, the random numbers that belong to it, and what it learns from how.

    With an empty `valid` no epoch is better than another, and the last weights stay. With an `adaptation`
    only what that names is trained, and the weights at the start, epoch 0, may be those that are kept.
    """

    model: nn.Module
    random: RandomState
    train: TensorDataset
    valid: TensorDataset
    objective: Objective
    options: TrainingOptions
    adaptation: Adaptation | None = None

    @cached_property
    def smallest_batch(self) -> int:
        """How many rows a batch must have, 1 or 2; see `torchlane.core.training.norms.smallest_batch`.

        Raises:
            ValueError: a batch would be too small for the network.
        """
        return smallest_batch(self.model, self.train.tensors[0], self.options, self.adaptation)

    @cached_property
    def batch_sizes(self) -> list[int]:
        """How many rows each batch of an epoch has."""
        return batch_sizes(len(self.train), self.options.batch_size, self.smallest_batch)


class Outcome(TypedDict):
    """What training leaves of a member: plain containers, so that a checkpoint can hold it.

    `weights` is a `state_dict` on the CPU, of the epoch whose line of `history` is `kept`. `held_out` are
    its outputs for the rows of valid, float64 (n_rows,), as `HeldOut` has them; none where the target is no
    number. `error` says why a member failed, else it is empty.
    """

    weights: Weights
    history: list[Line]
    kept: Line
    held_out: Tensor
    error: str


def make_members(
    build: Callable[[], nn.Module],
    train: TensorDataset,
    valid: TensorDataset,
    objective: Objective,
    options: TrainingOptions,
    device: torch.device,
) -> list[Member]:
    """Build `options.members` networks (None is 1), member i after `torch.manual_seed(options.seed + i)`."""
    members = []
    for number in range(options.members or 1):
        random = RandomState(options.seed + number, device)
        with random.in_use():
            model = build().to(device)
        members.append(Member(model, random, train, valid, objective, options))
    return members


def line_of(history: list[Line], epoch: int) -> Line:
    """Find an epoch's line."""
    return next(line for line in history if line["epoch"] == epoch)


def fault_of(line: Line, has_valid: bool) -> str:
    """Say which loss of an epoch is no finite number, and what to do; empty where both are."""
    for name, loss in {"training": line["train_loss"], "validation": line["valid_loss"]}.items():
        if not math.isfinite(loss) and (has_valid or name == "training"):
            return (
                f"the {name} loss is {loss} after epoch {line['epoch']:.0f} at learning rate "
                f"{line['learning_rate']:g}: most often the rate is too high or the features are not "
                f"scaled; lower training.learning_rate, or set encoding.numbers to z_score or quantile"
            )
    return ""
