"""What of a network trains, from when on and how fast, where it has learned before."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that train alike: from epoch `first_epoch` (1 is the first), at `rate` times the learning rate.

    `pull` is the strength a of the L2 pull a/2 |w - w0|² towards the weights that the training starts with
    (Li et al., Explicit Inductive Bias for Transfer Learning with Convolutional Networks, 2018, equation 2).
    """

    names: tuple[str, ...]
    rate: float = 1.0
    first_epoch: int = 1
    pull: float = 0.0


@dataclass(frozen=True)
class Adaptation:
    """The groups that train, the head's first; a parameter in none of them is frozen and takes no gradient.

    `norms` maps a batch norm to the epoch in which its running statistics begin to move, or to None where
    they never do.
    """

    groups: tuple[ParameterGroup, ...]
    norms: Mapping[str, int | None]

    @property
    def structure(self) -> "Adaptation":
        """What members of one stack have in common; rates and pull are each one's own."""
        return replace(self, groups=tuple(replace(group, rate=1.0, pull=0.0) for group in self.groups))

    def still_norms(self, epoch: int) -> frozenset[str]:
        """The batch norms that only look things up in this epoch."""
        return frozenset(name for name, first in self.norms.items() if first is None or epoch < first)

    def begin_epoch(self, model: nn.Module, epoch: int) -> None:
        """Let a network in training mode take gradients, and its batch norms take statistics, as far as it should."""
        starts = {name: group.first_epoch for group in self.groups for name in group.names}
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in starts and epoch >= starts[name])
        for name in self.still_norms(epoch):
            model.get_submodule(name).eval()
