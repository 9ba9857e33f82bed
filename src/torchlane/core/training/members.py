"""The networks to train, and the outcome of their training."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from torchlane.core.layers.numbers import learn_numbers
from torchlane.core.machine.randomness import RandomState
from torchlane.core.machine.threads import threads_for, usual_threads, work_of_step
from torchlane.core.options import FittedTraining
from torchlane.core.stacks.branches import Sharing
from torchlane.core.stacks.shared import SharedPerceptrons, draw_scales
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.adaptation import Adaptation
from torchlane.core.training.batches import batch_sizes
from torchlane.core.training.norms import smallest_batch

Weights = dict[str, Tensor]
Line = dict[str, float]  # an epoch in the history of a member; `seconds` of a stack are shared equally
Stop = Callable[[int, dict[int, Line]], set[int]]  # epoch and best lines by member -> members that stop


@dataclass
class Member:
    """One network with its random numbers, its data, its objective and its options.

    If `valid` is empty, the last weights are kept. With an `adaptation`, only the parameters that it names
    are trained, and the weights at the start, epoch 0, may be the ones that are kept. Members that have the same
    module `shared` are its branches and train as one; `model` is then the perceptron that the branch starts as.
    """

    model: nn.Module
    random: RandomState
    train: TensorDataset
    valid: TensorDataset
    objective: Objective
    options: FittedTraining
    adaptation: Adaptation | None = None
    shared: SharedPerceptrons | None = None

    @cached_property
    def smallest_batch(self) -> int:
        """The number of rows that a batch must have, 1 or 2; see `torchlane.core.training.norms.smallest_batch`.

        Raises:
            ValueError: a batch would be too small for the network.
        """
        return smallest_batch(self.model, self.train.tensors[0], self.options, self.adaptation)

    @cached_property
    def batch_sizes(self) -> list[int]:
        """The number of rows of each batch of an epoch."""
        return batch_sizes(len(self.train), self.options.batch_size, self.smallest_batch)

    def threads(self, n_together: int = 1) -> int:
        """The number of CPU threads for steps of `n_together` members like this one."""
        if next(self.model.parameters()).device.type != "cpu":
            return self.options.threads or usual_threads()

        def work() -> int:
            network, n_networks = (self.model, n_together) if self.shared is None else (self.shared, 1)
            return work_of_step(network, self.train.tensors[0], max(self.batch_sizes), n_networks)

        return threads_for(work, self.options.threads)


class Outcome(TypedDict):
    """The result of training a member, in plain containers that a checkpoint can hold.

    `weights` is a `state_dict` on the CPU, from the epoch whose line of `history` is `kept`. `held_out` has
    the outputs for the rows of valid, float64 (n_rows,), as `HeldOut` defines them; it is empty for
    classification. `threads` is the number of CPU threads. `error` says why the member failed; it is empty if
    it did not.
    """

    weights: Weights
    history: list[Line]
    kept: Line
    held_out: Tensor
    threads: int
    error: str


def make_members(
    build: Callable[[], nn.Module],
    train: TensorDataset,
    valid: TensorDataset,
    objective: Objective,
    options: FittedTraining,
    device: torch.device,
) -> list[Member]:
    """Build `options.members` networks (None is 1), member i after `torch.manual_seed(options.seed + i)`.

    Layers that embed numbers learn their bins from the rows of train.
    With `options.sharing`, several members are branches of one module. Its shared weights are those of the first
    member, each branch has the head of its own member, and its scales are drawn right after that.

    Raises:
        ValueError: the weights of such a network cannot be shared.
    """
    members = []
    for number in range(options.members):
        random = RandomState(options.seed + number, device)
        with random.in_use():
            model = build().to(device)
        members.append(Member(model, random, train, valid, objective, options))
    learn_numbers([member.model for member in members], train.tensors[0])
    if options.sharing != "none" and len(members) > 1:
        _share(members, options.sharing)
    return members


def _share(members: Sequence[Member], kind: Sharing) -> None:
    scales = []
    for member in members:
        with member.random.in_use():
            scales.append(draw_scales(member.model))
    shared = SharedPerceptrons([member.model for member in members], torch.stack(scales), kind)
    for branch, member in enumerate(members):
        member.shared = shared
        member.model.load_state_dict(shared.unfolded(branch))


def line_of(history: list[Line], epoch: int) -> Line:
    """Find the line of an epoch."""
    return next(line for line in history if line["epoch"] == epoch)


def loss_fault(line: Line, has_valid: bool) -> str:
    """Describe a loss that is not finite, and its remedy; empty if both losses are finite."""
    for name, loss in {"training": line["train_loss"], "validation": line["valid_loss"]}.items():
        if not math.isfinite(loss) and (has_valid or name == "training"):
            return (
                f"the {name} loss is {loss} after epoch {line['epoch']:.0f} at learning rate "
                f"{line['learning_rate']:g}: most often the rate is too high or the features are not "
                f"scaled; lower training.learning_rate, or set encoding.numbers to z_score or quantile"
            )
    return ""
