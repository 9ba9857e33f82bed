"""The tensors of stacked members, and a step that changes them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from torchlane.core.layers.coded import LARGE_TABLE
from torchlane.core.stacks.layout import MOVED, Program, pieces_of, stack_members, unstack_member, views_of
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.adaptation import ParameterGroup
from torchlane.core.training.members import Member, Weights
from torchlane.core.training.stacked.lazy import LazyRows
from torchlane.core.training.stacked.optimizers import KERNELS, MemberSettings, StackedSteps

BUFFER = "buffer."  # prefix of a buffer's name in the network
PULL, START = "pull", "start"  # the strength of the pull on each number, and its target
Tensors = dict[str, Tensor]


def first_tensors(members: Sequence[Member], program: Program) -> Tensors:
    """Give the tensors of a stack before the first step: networks, state of the optimizer, and pulls."""
    numbers, buffers = stack_members(program, [member.model for member in members])
    n_moments = KERNELS[members[0].options.optimizer.name].n_moments
    steps = numbers.new_zeros(len(members), len(groups_of(members[0], program)), dtype=torch.float32)
    tensors = {"numbers": numbers, "steps": steps}
    tensors |= {f"moment.{number}": torch.zeros_like(numbers) for number in range(n_moments)}
    tensors |= _pulls_of(members, program, numbers)
    return tensors | {BUFFER + name: buffer for name, buffer in buffers.items()}


def weights_of(member: Member, program: Program, tensors: Tensors) -> Weights:
    """Make the `state_dict` of a member from its own tensors of a stack, without the member axis."""
    buffers = {name.removeprefix(BUFFER): tensor for name, tensor in tensors.items() if name.startswith(BUFFER)}
    return unstack_member(program, member.model, tensors["numbers"], buffers)


class Stack:
    """The tensors of some members, (members, …) each, and the steps that change them in place.

    A single member is stored twice, since a stack of one would use other matrix kernels. Only the
    parameters of `groups` whose first epoch has come take gradients.
    """

    def __init__(
        self,
        program: Program,
        tensors: Tensors,
        optimizer: str,
        settings: list[MemberSettings],
        groups: Sequence[ParameterGroup],
        epoch: int,
        clip_norm: float | None,
    ):
        self._clip_norm = clip_norm
        self._n_members = len(settings)
        self._optimizer_name = optimizer
        self._settings = settings
        self._epoch = epoch
        twins = 2 if self._n_members == 1 else 1
        self._program = program
        self._all = {name: torch.cat([tensor] * twins) if twins > 1 else tensor for name, tensor in tensors.items()}
        views = views_of(program, self._all["numbers"])
        self._parameters = {name: view.detach() for name, view in views.items()}
        self._buffers = {name.removeprefix(BUFFER): self._all[name] for name in tensors if name.startswith(BUFFER)}
        self._groups = groups
        moments = [name for name in tensors if name.startswith("moment.")]
        self._lazy = self._make_lazy([self._all["numbers"], *(self._all[name] for name in moments)], settings * twins)
        lazy = {program.table} if self._lazy is not None else set()
        self._gradients = _zeros_like(self._all["numbers"])
        self._into_gradients = views_of(program, self._gradients)
        pieces = [
            (member, group, piece)
            for group, each in enumerate(groups)
            for piece in pieces_of(program, {*each.names} - lazy, self._gradients.shape[1])
            for member in range(len(settings) * twins)
        ]
        owners = [(member, group) for member, group, _ in pieces]
        owners += [(member, 0) for member in range(len(settings) * twins) if lazy]
        self._rows = (
            _cut_out(self._all["numbers"], pieces),
            _cut_out(self._gradients, pieces),
            [_cut_out(self._all[name], pieces) for name in moments],
            [self._all["steps"][member, group] for member, group in owners],
        )
        self._active = self._active_in(epoch)
        self.optimizer = StackedSteps(optimizer, settings * twins, owners, self._active)
        self._take_gradients()

    def _make_lazy(self, tensors: Sequence[Tensor], settings: Sequence[MemberSettings]) -> LazyRows | None:
        """Step only on the rows of the table that a batch looks up, where that is worth it and gives the same."""
        table = self._program.table
        alike = len(self._groups) == 1 and PULL not in self._all and self._clip_norm is None
        if table is None or not alike or table not in self._groups[0].names:
            return None
        tables = [views_of(self._program, each)[table] for each in tensors]
        if tables[0].shape[1] < LARGE_TABLE or not LazyRows.can_step(self._optimizer_name, settings):
            return None
        return LazyRows(tables, settings, self._program.n_taken)

    def begin_epoch(self, epoch: int) -> None:
        """Start to train the groups whose first epoch has come."""
        self._epoch = epoch
        if self._active_in(epoch) != self._active:
            self._active = self._active_in(epoch)
            self._take_gradients()
            self.regroup()

    def regroup(self) -> None:
        """Apply settings that have changed."""
        self.optimizer.regroup(self._active)

    def _active_in(self, epoch: int) -> frozenset[int]:
        return frozenset(number for number, group in enumerate(self._groups) if epoch >= group.first_epoch)

    def _take_gradients(self) -> None:
        trained = {name for number in self._active for name in self._groups[number].names}
        if self._lazy is not None:
            trained -= {self._program.table}
        for name, parameter in self._parameters.items():
            parameter.requires_grad_(name in trained)
        self._trained = [parameter for name, parameter in self._parameters.items() if name in trained]
        self._gradients_of_trained = [view for name, view in self._into_gradients.items() if name in trained]
        self._counted = torch.zeros_like(self._all["steps"])
        self._counted[:, list(self._active)] = 1
        if PULL in self._all:
            self._pulling = torch.zeros_like(self._gradients)
            for piece in pieces_of(self._program, trained, self._gradients.shape[1]):
                self._pulling[:, piece] = self._all[PULL][:, piece]

    @property
    def tensors(self) -> Tensors:
        """The tensors of the members by name, without the twin."""
        if self._lazy is not None:
            self._lazy.flush()
        return {name: tensor[: self._n_members] for name, tensor in self._all.items()}

    def part(self, positions: list[int]) -> "Stack":
        """Give the members at `positions`: this stack if they are all of them, else a copy."""
        if len(positions) == self._n_members:
            return self
        tensors = {name: tensor[positions] for name, tensor in self.tensors.items()}
        settings = [self._settings[position] for position in positions]
        return Stack(self._program, tensors, self._optimizer_name, settings, self._groups, self._epoch, self._clip_norm)

    def narrowed(self, positions: list[int]) -> "Stack":
        """Give the members at `positions` and give up this stack, so that two of them hardly take memory together."""
        tensors, settings = self.tensors, [self._settings[position] for position in positions]
        others = self._program, self._optimizer_name, self._groups, self._epoch, self._clip_norm
        vars(self).clear()
        kept = {name: tensors.pop(name)[positions] for name in list(tensors)}
        program, optimizer, groups, epoch, clip_norm = others
        return Stack(program, kept, optimizer, settings, groups, epoch, clip_norm)

    def copy_networks(self) -> Tensors:
        """Copy the parameters and buffers, without the state of the optimizer."""
        kept = {name: tensor for name, tensor in self.tensors.items() if name == "numbers" or name.startswith(BUFFER)}
        return {name: tensor.clone() for name, tensor in kept.items()}

    def put(self, positions: list[int], part: "Stack") -> None:
        """Copy the members of a part back to `positions`."""
        for name, tensor in part.tensors.items():
            self._all[name][positions] = tensor

    def step(
        self, features: Tensor, targets: Tensor, weights: Tensor | None, noise: list[Tensor], objective: Objective
    ) -> tuple[Tensor, Tensor]:
        """Take a step on features (members, n_rows, …); give outputs (members, n_rows, width) and losses (members,)."""
        features, targets, *noise = map(self._with_twin, (features, targets, *noise))
        weights = None if weights is None else self._with_twin(weights)
        few = None if self._lazy is None else self._lazy.look_up(self._program.places_in(self._buffers, features))
        parameters, buffers, trained = self._parameters, self._buffers, self._trained
        if few is not None:
            assert self._program.table is not None
            parameters = {**parameters, self._program.table: few.weights.requires_grad_()}
            buffers, trained = {**buffers, MOVED: few.moved}, [*trained, few.weights]
        outputs = self._program.forward(parameters, buffers, features, noise)
        losses = objective.member_losses(outputs, targets, weights)
        gradients = torch.autograd.grad(losses.sum(), trained)
        torch._foreach_copy_(self._gradients_of_trained, gradients[: len(self._trained)])
        self._pull_and_clip()
        self._all["steps"].add_(self._counted)
        if few is None:
            self.optimizer(*self._rows)
        else:
            assert self._lazy is not None
            of_few = few.weights.detach(), gradients[-1], *few.moments
            numbers, along, first, second = ([*each.flatten(1)] for each in of_few)
            moments = [[*rows, *own] for rows, own in zip(self._rows[2], (first, second), strict=True)]
            self.optimizer([*self._rows[0], *numbers], [*self._rows[1], *along], moments, self._rows[3])
            self._lazy.put(few, self._all["steps"][:, 0])
        return outputs.detach()[: self._n_members], losses.detach()[: self._n_members]

    def _pull_and_clip(self) -> None:
        if PULL in self._all:
            self._gradients.addcmul_(self._pulling, self._all["numbers"] - self._all[START])
        if self._clip_norm is not None:
            norms = self._gradients.norm(dim=1, keepdim=True)
            self._gradients.mul_((self._clip_norm / (norms + 1e-6)).clamp_max(1))  # as torch.nn.utils.clip_grad_norm_

    def evaluate(self, features: Tensor) -> Tensor:
        """Map features (members, n_rows, …) to outputs (members, n_rows, width), in evaluation mode."""
        if self._lazy is not None:
            self._lazy.flush()
        with torch.inference_mode():
            of_all = self._with_twin(features)
            return self._program.forward(self._parameters, self._buffers, of_all, None)[: self._n_members]

    def _with_twin(self, tensor: Tensor) -> Tensor:
        return tensor if self._n_members > 1 else torch.cat([tensor, tensor])


def groups_of(member: Member, program: Program) -> Sequence[ParameterGroup]:
    """Give the groups of a member's adaptation; without one, all parameters that take gradients form one group."""
    if member.adaptation is None:
        trained = dict(member.model.named_parameters())
        return [ParameterGroup(tuple(slot.name for slot in program.slots if trained[slot.name].requires_grad))]
    return member.adaptation.groups


def _pulls_of(members: Sequence[Member], program: Program, numbers: Tensor) -> Tensors:
    """Give the strength of the pull on each number and the number's present value; empty if nothing is pulled."""
    if not any(group.pull for member in members for group in groups_of(member, program)):
        return {}
    pulls = torch.zeros_like(numbers)
    for row, member in zip(pulls, members, strict=True):
        for group in groups_of(member, program):
            for piece in pieces_of(program, group.names, len(row)):
                row[piece] = group.pull
    return {PULL: pulls, START: numbers.clone()}


def _zeros_like(tensor: Tensor) -> Tensor:
    """Make zeros that take memory only where they are written, which those of rows looked up never are."""
    if tensor.device.type != "cpu":
        return torch.zeros_like(tensor)
    return torch.from_numpy(np.zeros(tensor.shape, dtype=str(tensor.dtype).removeprefix("torch.")))


def _cut_out(tensor: Tensor, pieces: list[tuple[int, int, slice]]) -> list[Tensor]:
    return [tensor[member, piece] for member, _, piece in pieces]
