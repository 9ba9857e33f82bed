"""What a plain run trains: one network, or one module whose branches are several members."""

import copy
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor, nn

from torchlane.core.stacks.shared import SharedPerceptrons
from torchlane.core.training.members import Member, Weights


class Pupil(Protocol):
    """A module in training, with the members that it is."""

    @property
    def model(self) -> nn.Module:
        """The module whose weights change."""

    def losses(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        """Compute the loss () or the losses of members (members,) of one batch, with gradients."""

    def by_member(self, outputs: Tensor) -> Tensor:
        """Give outputs of the module as (members, n_rows, width)."""

    def joint(self, outputs: Tensor) -> Tensor | None:
        """Join outputs (members, n_rows, width) to those (n_rows, width) that judge an epoch; None for one member."""

    def network(self) -> nn.Module:
        """Give the network of the first member as it is now."""

    def weights_of(self, state: Weights) -> list[Weights]:
        """Make the `state_dict` of each member from one of the module, both on the CPU."""


class Single:
    """One member, whose network is the module."""

    def __init__(self, member: Member):
        self.model = member.model
        self._objective = member.objective

    def losses(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        return self._objective.batch_loss(outputs, targets, weights)

    def by_member(self, outputs: Tensor) -> Tensor:
        return outputs[None]

    def joint(self, outputs: Tensor) -> Tensor | None:
        return None

    def network(self) -> nn.Module:
        return self.model

    def weights_of(self, state: Weights) -> list[Weights]:
        return [state]


class Branches:
    """Members that are the branches of one module; an epoch is judged by their joint prediction."""

    def __init__(self, members: Sequence[Member], shared: SharedPerceptrons):
        self.model = shared
        self._objective = members[0].objective
        self._first = members[0].model
        self._n_members = len(members)

    def losses(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        of_all = targets.expand(self._n_members, *targets.shape)
        return self._objective.member_losses(
            outputs, of_all, None if weights is None else weights.expand(self._n_members, -1)
        )

    def by_member(self, outputs: Tensor) -> Tensor:
        return outputs

    def joint(self, outputs: Tensor) -> Tensor | None:
        return self._objective.task.joint(outputs)

    def network(self) -> nn.Module:
        self._first.load_state_dict(self.model.unfolded(0))
        return self._first

    def weights_of(self, state: Weights) -> list[Weights]:
        module = copy.deepcopy(self.model)
        module.load_state_dict(state)
        return [module.unfolded(branch) for branch in range(self._n_members)]


def make_pupil(members: Sequence[Member]) -> Pupil:
    """Make what trains a single member, or all branches of one module."""
    shared = members[0].shared
    return Single(members[0]) if shared is None else Branches(members, shared)
