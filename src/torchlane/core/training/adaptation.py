"""Which parameters of an already trained network train, from which epoch and at which rate."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import nn


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that train from the same epoch `first_epoch` (1 is the first), at `rate` times the learning rate.

    `pull` is the strength a of the L2 pull a/2 |w - w0|² towards the weights at the start of training
    (Li et al., Explicit Inductive Bias for Transfer Learning with Convolutional Networks, 2018, equation 2).
    """

    names: tuple[str, ...]
    rate: float = 1.0
    first_epoch: int = 1
    pull: float = 0.0


@dataclass(frozen=True)
class Adaptation:
    """The groups of parameters that train, the head's first; a parameter in none of them is frozen.

    A frozen parameter takes no gradient. `norms` maps a batch norm to the first epoch that updates its
    running statistics, or to None if no epoch does.
    """

    groups: tuple[ParameterGroup, ...]
    norms: Mapping[str, int | None]

    @property
    def structure(self) -> "Adaptation":
        """The part that members of one stack share; rates and pulls may differ."""
        return replace(self, groups=tuple(replace(group, rate=1.0, pull=0.0) for group in self.groups))

    def still_norms(self, epoch: int) -> frozenset[str]:
        """Give the batch norms whose running statistics are not updated in this epoch."""
        return frozenset(name for name, first in self.norms.items() if first is None or epoch < first)

    def begin_epoch(self, model: nn.Module, epoch: int) -> None:
        """Set which parameters of a network in training mode take gradients and which batch norms update statistics."""
        starts = {name: group.first_epoch for group in self.groups for name in group.names}
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in starts and epoch >= starts[name])
        for name in self.still_norms(epoch):
            model.get_submodule(name).eval()
