"""Several members on their way together: one pass trains them all."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import zip_longest
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import TensorDataset

from torchlane.core.machine import interruption
from torchlane.core.machine.checkpoints import State
from torchlane.core.machine.devices import place
from torchlane.core.stacks.layout import (
    Program,
    pad_columns,
    pieces_of,
    stack_members,
    unstack_member,
    views_of,
)
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.adaptation import ParameterGroup
from torchlane.core.training.batches import draw_order
from torchlane.core.training.held_out import HeldOut
from torchlane.core.training.members import Line, Member, Outcome, Stop, Weights, fault_of, line_of
from torchlane.core.training.stacked_optimizers import KERNELS, MemberSettings, StackedSteps
from torchlane.core.training.stepping import process_settings

VALID_ROWS = 2048  # looked at together, by all members
BUFFER = "buffer."  # before a network's own name of a buffer
PULL, START = "pull", "start"  # how strongly each number is pulled, and where to
Tensors = dict[str, Tensor]


class StackedRun:
    """Members of one structure, each trained by the steps that it would take alone.

    A member draws its random numbers in the order of the plain loop, from a generator that goes on
    where its seeding and initialisation ended. It stops by its own patience and leaves the computation.
    """

    def __init__(self, members: Sequence[Member], program: Program, stop: Stop | None, keep_going: bool):
        self._members = members
        self._program = program
        self._stop = stop
        self._keep_going = keep_going
        self._shared = members[0].options  # but for what `training.OWN` names
        self._rows = _JoinedRows(members, program)
        self._random = [_MemberRandom(member, program) for member in members]
        self._groups = _groups_of(members[0], program)
        self._settings = [
            MemberSettings(each.options, len(each.batch_sizes), _groups_of(each, program)) for each in members
        ]
        self._active = list(range(len(members)))
        numbers, buffers = stack_members(program, [member.model for member in members])
        n_moments = KERNELS[self._shared.optimizer.name].n_moments
        steps = numbers.new_zeros(len(members), len(self._groups), dtype=torch.float32)
        tensors = {"numbers": numbers, "steps": steps}
        tensors |= {f"moment.{number}": torch.zeros_like(numbers) for number in range(n_moments)}
        tensors |= _pulls_of(members, program, numbers)
        tensors |= {BUFFER + name: buffer for name, buffer in buffers.items()}
        self.epoch = 0
        self._stack = self._make_stack(tensors)
        self._best = self._stack.copy_networks()
        self._best_epochs = [0] * len(members)
        self._best_losses = [math.inf] * len(members)
        self._held_out = HeldOut(members)
        self._starts: dict[int, Line] = {}  # epoch 0 of members that have learned before
        self._lines: list[dict[int, Line]] = []  # an epoch each, by member
        self._outcomes: dict[int, Outcome] = {}
        self.last_state: State = {}

    def epochs(self) -> Iterator[Line]:
        """Train epoch after epoch, yielding the mean line of history of the members still training.

        Raises:
            ValueError: a loss is no longer a finite number, unless the others shall keep going.
        """
        with process_settings(self._shared):
            if self.epoch == 0 and not self._starts and self._members[0].adaptation is not None:
                self._look_at_start()
            self.last_state = self.state_dict()
            while self._active:
                lines = self._train_epoch()
                self._part_with_finished(lines)
                self.last_state = self.state_dict()
                yield {name: sum(each[name] for each in lines.values()) / len(lines) for name in _any(lines)}

    def first_network(self) -> nn.Module | None:
        """The first member as it stands, or None once it has ended."""
        if 0 not in self._active:
            return None
        network = self._members[0].model
        tensors = {name: tensor[0] for name, tensor in self._stack.tensors.items()}
        network.load_state_dict(self._weights_of(0, tensors))
        return network

    def outcomes(self) -> list[Outcome]:
        """What became of each member, in order."""
        return [self._outcomes[member] for member in range(len(self._members))]

    def _train_epoch(self) -> dict[int, Line]:
        started = time.perf_counter()
        rates = {member: self._settings[member].schedule.learning_rate for member in self._active}
        self._begin_epoch()
        losses, outputs, targets = self._walk_train()
        self.epoch += 1
        lines: dict[int, Line] = {}
        improved: list[int] = []
        for positions in self._cohorts():
            first = self._members[self._active[positions[0]]]
            metric = first.objective.task.primary_metric
            n_rows = len(first.train)
            train_scores = first.objective.scores(
                _pick(outputs, positions)[:, :n_rows], _pick(targets, positions)[:, :n_rows]
            )
            valid_losses, valid_scores = self._look_at_valid(positions, first)
            for number, position in enumerate(positions):
                member = self._active[position]
                lines[member] = {
                    "epoch": self.epoch,
                    "train_loss": losses[position],
                    "valid_loss": valid_losses[number],
                    f"train_{metric}": train_scores[number],
                    f"valid_{metric}": valid_scores[number],
                    "learning_rate": rates[member],
                }
                if self._note_best(member, lines[member], has_valid=len(first.valid) > 0):
                    improved.append(position)
        self._keep_best(improved)
        self._lines.append(lines)
        seconds = time.perf_counter() - started
        for line in lines.values():
            line["seconds"] = seconds / len(lines)
        return lines

    def _look_at_start(self) -> None:
        """Let the weights that members with a valid part start with be the best so far."""
        for positions in self._cohorts():
            first = self._members[positions[0]]
            if not len(first.valid):
                continue
            metric, n_rows = first.objective.task.primary_metric, len(first.train)
            order = self._rows.orders([(member, torch.arange(n_rows)) for member in positions])
            stack = self._stack if len(positions) == len(self._active) else self._take(positions)
            pieces = [stack.evaluate(self._rows.gather(rows)[0]) for rows in order.split(VALID_ROWS, dim=1)]
            outputs, targets = torch.cat(pieces, dim=1), self._rows.targets[order].to(self._rows.device)
            scores = first.objective.scores(outputs, targets)
            valid_losses, valid_scores = self._look_at_valid(positions, first)
            for number, member in enumerate(positions):
                self._starts[member] = {
                    "epoch": 0,
                    "train_loss": self._members[member].objective.loss(outputs[number], targets[number]),
                    "valid_loss": valid_losses[number],
                    f"train_{metric}": scores[number],
                    f"valid_{metric}": valid_scores[number],
                    "learning_rate": self._settings[member].schedule.learning_rate,
                    "seconds": 0.0,
                }
                self._best_losses[member] = valid_losses[number]

    def _begin_epoch(self) -> None:
        """Let the groups and batch norms join in whose epoch has come."""
        adaptation = self._members[0].adaptation
        if adaptation is not None:
            self._program.still_norms = adaptation.still_norms(self.epoch + 1)
            self._stack.begin_epoch(self.epoch + 1)

    def _walk_train(self) -> tuple[list[float], Tensor, Tensor]:
        """Take the steps of an epoch: mean losses, outputs and targets (active, n_rows, …) in the order seen."""
        lengths = [len(self._members[member].train) for member in self._active]
        sizes = [self._members[member].batch_sizes for member in self._active]
        order = self._rows.orders([(member, self._random[member].draw_order()) for member in self._active])
        losses = torch.zeros(len(self._active), dtype=torch.float64, device=order.device)
        outputs: Tensor | None = None
        for number, of_members in enumerate(zip_longest(*sizes, fillvalue=0)):
            interruption.check()
            start = number * self._shared.batch_size
            for n_rows, positions in _alike(of_members):
                rows = _pick(order[:, start : start + n_rows], positions)
                batch_outputs, batch_losses = self._step(positions, rows)
                if outputs is None:
                    outputs = batch_outputs.new_zeros(*order.shape, *batch_outputs.shape[2:])
                outputs[positions, start : start + n_rows] = batch_outputs
                losses[positions] += batch_losses.double() * n_rows
                self._after_batch(positions)
        assert outputs is not None
        means = (losses.cpu() / torch.tensor(lengths)).tolist()
        return means, outputs, self._rows.targets[order]

    def _step(self, positions: list[int], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step of the members at `positions`, on their `rows` (positions, n_rows)."""
        features, targets = self._rows.gather(rows)
        dtype = next(self._members[0].model.parameters()).dtype  # features may be uint8
        noise = self._draw_noise([self._active[position] for position in positions], rows.shape[1], dtype)
        objective = self._members[self._active[positions[0]]].objective
        if len(positions) == len(self._active):
            return self._stack.step(features, targets, noise, objective, self._shared.clip_norm)
        part = self._take(positions)
        result = part.step(features, targets, noise, objective, self._shared.clip_norm)
        self._stack.put(positions, part)
        return result

    def _draw_noise(self, members: list[int], n_rows: int, dtype: torch.dtype) -> list[Tensor]:
        """Draw the dropout masks of a batch: (members, n_rows, …) a layer, 0 or 1 / (1 - rate)."""
        shapes = [(n_rows, *shape) for shape in self._program.noise_shapes]
        sizes = [math.prod(shape) for shape in shapes]
        uniform = torch.empty(len(members), sum(sizes), dtype=torch.float64, device=self._rows.features.device)
        for row, member in zip(uniform, members, strict=True):
            self._random[member].fill(row, sizes, dtype)
        keep = torch.tensor([self._random[member].keep for member in members], dtype=torch.float64).to(uniform.device)
        masks = []
        for layer, piece in enumerate(uniform.split(sizes, dim=1) if sizes else ()):
            share = keep[:, layer, None]
            mask = (piece < share).to(dtype).div_(share.to(dtype))
            masks.append(mask.view(len(members), *shapes[layer]))
        return masks

    def _after_batch(self, positions: list[int]) -> None:
        settings = [self._settings[self._active[position]] for position in positions]
        for each in settings:
            each.schedule.after_batch()
        if any(each.change_within_epoch for each in settings):
            self._stack.regroup()

    def _look_at_valid(self, positions: list[int], member: Member) -> tuple[list[float], list[float]]:
        """Losses and scores of the members at `positions`, whose rows of valid are the same, or as many."""
        if not len(member.valid):
            return [math.nan] * len(positions), [math.nan] * len(positions)
        members = [self._members[self._active[position]] for position in positions]
        features, targets = self._rows.valid_of(members)
        stack = self._stack if len(positions) == len(self._active) else self._take(positions)
        outputs = torch.cat([stack.evaluate(rows) for rows in features.split(VALID_ROWS, dim=1)], dim=1)
        losses = [
            each.objective.loss(of_member, of_rows)
            for each, of_member, of_rows in zip(members, outputs, targets, strict=True)
        ]
        self._held_out.update([self._active[position] for position in positions], member.objective, outputs, targets)
        return losses, member.objective.scores(outputs, targets)

    def _note_best(self, member: int, line: Line, has_valid: bool) -> bool:
        none_yet = self._best_epochs[member] == 0 and member not in self._starts
        better = not has_valid or none_yet or line["valid_loss"] < self._best_losses[member]
        if better:
            self._best_losses[member] = line["valid_loss"]
            self._best_epochs[member] = self.epoch
        return better

    def _keep_best(self, positions: list[int]) -> None:
        if positions:
            index = torch.tensor(positions)
            self._best = {
                name: best.index_copy(0, index.to(best.device), self._stack.tensors[name][positions])
                for name, best in self._best.items()
            }

    def _part_with_finished(self, lines: dict[int, Line]) -> None:
        """Step the schedules, and let the members go that have no epoch left, no patience or no finite loss."""
        stopped = (
            self._stop(self.epoch, {each: line_of(self._history_of(each), self._best_epochs[each]) for each in lines})
            if self._stop
            else set()
        )
        remaining = []
        for position, member in enumerate(self._active):
            options, line = self._members[member].options, lines[member]
            has_valid = len(self._members[member].valid) > 0
            self._settings[member].schedule.after_epoch(line["valid_loss"] if has_valid else line["train_loss"])
            waited = self.epoch - self._best_epochs[member]
            out_of_patience = has_valid and options.patience_epochs is not None and waited >= options.patience_epochs
            fault = fault_of(line, has_valid)
            if fault and not self._keep_going:
                raise ValueError(fault)
            if fault or out_of_patience or self.epoch >= options.epochs or member in stopped:
                self._outcomes[member] = self._outcome(position, member, fault)
            else:
                remaining.append(position)
        if len(remaining) < len(self._active):
            stack = self._take(remaining) if remaining else None
            self._best = {name: best[remaining] for name, best in self._best.items()}
            self._active = [self._active[position] for position in remaining]
            if stack is not None:
                self._stack = stack
        elif self._shared.scheduler is not None:
            self._stack.regroup()

    def _outcome(self, position: int, member: int, fault: str) -> Outcome:
        history = self._history_of(member)
        weights = self._weights_of(member, {name: best[position] for name, best in self._best.items()})
        kept, held_out = line_of(history, self._best_epochs[member]), self._held_out.rows_of(member)
        return Outcome(weights=weights, history=history, kept=kept, held_out=held_out, error=fault)

    def _history_of(self, member: int) -> list[Line]:
        before = [self._starts[member]] if member in self._starts else []
        return before + [lines[member] for lines in self._lines if member in lines]

    def _weights_of(self, member: int, tensors: Tensors) -> Weights:
        buffers = {name.removeprefix(BUFFER): tensor for name, tensor in tensors.items() if name.startswith(BUFFER)}
        return unstack_member(self._program, self._members[member].model, tensors["numbers"], buffers)

    def _cohorts(self) -> list[list[int]]:
        """The active members' positions, those together that learn from as many rows and are judged by as many."""
        sharing: dict[tuple[int, int], list[int]] = {}
        for position, member in enumerate(self._active):
            each = self._members[member]
            sharing.setdefault((len(each.train), len(each.valid)), []).append(position)
        return list(sharing.values())

    def _take(self, positions: list[int]) -> "_Stack":
        tensors = {name: tensor[positions] for name, tensor in self._stack.tensors.items()}
        return self._make_stack(tensors, [self._active[position] for position in positions])

    def _make_stack(self, tensors: Tensors, members: list[int] | None = None) -> "_Stack":
        settings = [self._settings[member] for member in (self._active if members is None else members)]
        return _Stack(self._program, tensors, self._shared.optimizer.name, settings, self._groups, self.epoch + 1)

    def state_dict(self) -> State:
        """Everything the next epoch depends on, as copies."""
        return {
            "epoch": self.epoch,
            "active": list(self._active),
            "stack": {name: tensor.cpu().clone() for name, tensor in self._stack.tensors.items()},
            "best": dict(self._best),
            "best_epochs": list(self._best_epochs),
            "best_losses": list(self._best_losses),
            "held_out": self._held_out.state_dict(),
            "lines": list(self._lines),
            "starts": dict(self._starts),
            "outcomes": dict(self._outcomes),
            "settings": [each.state_dict() for each in self._settings],
            "random": [each.state_dict() for each in self._random],
        }

    def load_state_dict(self, state: State) -> None:
        """Go back to where `state_dict` was taken."""
        device = self._rows.device
        self.epoch, self._active = state["epoch"], state["active"]
        self._best = {name: tensor.to(device) for name, tensor in state["best"].items()}
        self._best_epochs, self._lines, self._outcomes = state["best_epochs"], state["lines"], state["outcomes"]
        self._best_losses, self._starts = state["best_losses"], state["starts"]
        self._held_out.load_state_dict(state["held_out"])
        for each, of_member in zip(self._settings, state["settings"], strict=True):
            each.load_state_dict(of_member)
        for random, of_member in zip(self._random, state["random"], strict=True):
            random.load_state_dict(of_member)
        self._stack = self._make_stack({name: tensor.to(device) for name, tensor in state["stack"].items()})


class _Stack:
    """The tensors of some members, (members, …) each, and the steps that change them in place.

    One member alone has a twin, since a stack of one would take other matrix kernels. Parameters in none
    of the `groups`, or in one whose epoch has not come, take no gradient.
    """

    def __init__(
        self,
        program: Program,
        tensors: Tensors,
        optimizer: str,
        settings: list[MemberSettings],
        groups: Sequence[ParameterGroup],
        epoch: int,
    ):
        self._n_members = len(settings)
        twins = 2 if self._n_members == 1 else 1
        self._program = program
        self._all = {name: torch.cat([tensor] * twins) if twins > 1 else tensor for name, tensor in tensors.items()}
        self._gradients = torch.zeros_like(self._all["numbers"])
        self._into_gradients = views_of(program, self._gradients)
        views = views_of(program, self._all["numbers"])
        self._parameters = {name: view.detach() for name, view in views.items()}
        self._buffers = {name.removeprefix(BUFFER): self._all[name] for name in tensors if name.startswith(BUFFER)}
        self._groups = groups
        pieces = [
            (member, group, piece)
            for group, each in enumerate(groups)
            for piece in pieces_of(program, each.names, self._gradients.shape[1])
            for member in range(len(settings) * twins)
        ]
        owners = [(member, group) for member, group, _ in pieces]
        moments = [name for name in tensors if name.startswith("moment.")]
        self._rows = (
            _cut_out(self._all["numbers"], pieces),
            _cut_out(self._gradients, pieces),
            [_cut_out(self._all[name], pieces) for name in moments],
            [self._all["steps"][member, group] for member, group in owners],
        )
        self._active = self._active_in(epoch)
        self.optimizer = StackedSteps(optimizer, settings * twins, owners, self._active)
        self._take_gradients()

    def begin_epoch(self, epoch: int) -> None:
        """Let the groups join in whose epoch has come."""
        if self._active_in(epoch) != self._active:
            self._active = self._active_in(epoch)
            self._take_gradients()
            self.regroup()

    def regroup(self) -> None:
        """Take up settings that have changed."""
        self.optimizer.regroup(self._active)

    def _active_in(self, epoch: int) -> frozenset[int]:
        return frozenset(number for number, group in enumerate(self._groups) if epoch >= group.first_epoch)

    def _take_gradients(self) -> None:
        trained = {name for number in self._active for name in self._groups[number].names}
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
        return {name: tensor[: self._n_members] for name, tensor in self._all.items()}

    def copy_networks(self) -> Tensors:
        """The numbers and buffers alone."""
        kept = {name: tensor for name, tensor in self.tensors.items() if name == "numbers" or name.startswith(BUFFER)}
        return {name: tensor.clone() for name, tensor in kept.items()}

    def put(self, positions: list[int], part: "_Stack") -> None:
        """Take over what has become of some members."""
        for name, tensor in part.tensors.items():
            self._all[name][positions] = tensor

    def step(
        self, features: Tensor, targets: Tensor, noise: list[Tensor], objective: Objective, clip_norm: float | None
    ) -> tuple[Tensor, Tensor]:
        """Step on features (members, n_rows, …): the outputs (members, n_rows, width) and losses (members,)."""
        features, targets, *noise = map(self._with_twin, (features, targets, *noise))
        outputs = self._program.forward(self._parameters, self._buffers, features, noise)
        losses = objective.member_losses(outputs, targets)
        torch._foreach_copy_(self._gradients_of_trained, torch.autograd.grad(losses.sum(), self._trained))
        if PULL in self._all:
            self._gradients.addcmul_(self._pulling, self._all["numbers"] - self._all[START])
        if clip_norm is not None:
            norms = self._gradients.norm(dim=1, keepdim=True)
            self._gradients.mul_((clip_norm / (norms + 1e-6)).clamp_max(1))  # as torch.nn.utils.clip_grad_norm_
        self._all["steps"].add_(self._counted)
        self.optimizer(*self._rows)
        return outputs.detach()[: self._n_members], losses.detach()[: self._n_members]

    def evaluate(self, features: Tensor) -> Tensor:
        """Look at features (members, n_rows, …) with every member: (members, n_rows, width)."""
        with torch.inference_mode():
            of_all = self._with_twin(features)
            return self._program.forward(self._parameters, self._buffers, of_all, None)[: self._n_members]

    def _with_twin(self, tensor: Tensor) -> Tensor:
        return tensor if self._n_members > 1 else torch.cat([tensor, tensor])


class _JoinedRows:
    """The rows that the members train on, one data set under the other, and those that judge them."""

    def __init__(self, members: Sequence[Member], program: Program):
        self.device = next(members[0].model.parameters()).device
        parts = {id(member.train): member.train for member in members}
        self._starts = dict(zip(parts, _running_sum([len(part) for part in parts.values()]), strict=True))
        self._parts = [id(member.train) for member in members]
        features = _joined([pad_columns(part.tensors[0], program.n_columns) for part in parts.values()])
        joined = place(TensorDataset(features, _joined([part.tensors[1] for part in parts.values()])), self.device)
        self.features, self.targets = joined.tensors
        self._valid = {
            id(each): (pad_columns(each.tensors[0], program.n_columns).to(self.device), each.tensors[1].to(self.device))
            for each in {id(member.valid): member.valid for member in members}.values()
            if len(each)
        }

    def valid_of(self, members: Sequence[Member]) -> tuple[Tensor, Tensor]:
        """The rows that judge some members, as many for each: features and targets (members, n_rows, …)."""
        parts = [self._valid[id(member.valid)] for member in members]
        if len({id(member.valid) for member in members}) == 1:
            features, targets = (each.expand(len(members), *each.shape) for each in parts[0])
            return features, targets
        return torch.stack([features for features, _ in parts]), torch.stack([targets for _, targets in parts])

    def orders(self, drawn: list[tuple[int, Tensor]]) -> Tensor:
        """Turn orders within own data sets into rows of the joined ones: (members, n_rows), 0 where shorter."""
        rows = torch.zeros(len(drawn), max(len(order) for _, order in drawn), dtype=torch.int64)
        for row, (member, order) in zip(rows, drawn, strict=True):
            row[: len(order)] = order + self._starts[self._parts[member]]
        return rows.to(self.features.device)

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Bring features and targets of rows (members, n_rows) to the members' device."""
        flat = rows.flatten()
        features, targets = (each.index_select(0, flat).to(self.device) for each in (self.features, self.targets))
        return features.unflatten(0, rows.shape), targets.unflatten(0, rows.shape)


class _MemberRandom:
    """The random numbers of one member, drawn in the order of the plain loop."""

    def __init__(self, member: Member, program: Program):
        self._n_rows = len(member.train)
        self.keep = [1 - rate for rate in program.dropout_rates(member.model)]
        self._generators = {kind: Generator(kind) for kind in member.random.state}
        self.load_state_dict(member.random.state)

    def draw_order(self) -> Tensor:
        return draw_order(self._n_rows, self._generators["cpu"])

    def fill(self, row: Tensor, sizes: list[int], dtype: torch.dtype) -> None:
        """Fill `row`, float64, such that a number below 1 - rate keeps its unit; `sizes` are those of the layers."""
        generator = self._generators[row.device.type]
        whole = all(keep < 1 for keep in self.keep)
        if whole and (row.device.type != "cpu" or _bernoulli_is_uniform(dtype)):
            row.uniform_(generator=generator)
            return
        row.zero_()
        for piece, keep in zip(row.split(sizes) if sizes else (), self.keep, strict=True):
            if keep < 1:
                kept = torch.empty_like(piece, dtype=dtype).bernoulli_(keep, generator=generator)
                piece.copy_(1 - kept)

    def state_dict(self) -> State:
        return {kind: generator.get_state() for kind, generator in self._generators.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for kind, generator in self._generators.items():
            generator.set_state(state[kind])


@cache
def _bernoulli_is_uniform(dtype: torch.dtype) -> bool:
    """Whether a Bernoulli number is a float64 uniform one compared, as where no vector library draws it.

    Then masks are drawn twice as fast, and all layers at once.
    """
    first, second = Generator().manual_seed(0), Generator().manual_seed(0)
    drawn = torch.empty(1000, dtype=dtype).bernoulli_(0.3, generator=first)
    return torch.equal(drawn == 1, torch.empty(1000, dtype=torch.float64).uniform_(generator=second) < 0.3)


def _groups_of(member: Member, program: Program) -> Sequence[ParameterGroup]:
    """The groups of a member's adaptation; without one, all parameters that take gradients are one."""
    if member.adaptation is None:
        trained = dict(member.model.named_parameters())
        return [ParameterGroup(tuple(slot.name for slot in program.slots if trained[slot.name].requires_grad))]
    return member.adaptation.groups


def _pulls_of(members: Sequence[Member], program: Program, numbers: Tensor) -> Tensors:
    """How strongly each number is pulled towards where it is now, if any is."""
    pulls = torch.zeros_like(numbers)
    for row, member in zip(pulls, members, strict=True):
        for group in _groups_of(member, program):
            for piece in pieces_of(program, group.names, len(row)):
                row[piece] = group.pull
    return {PULL: pulls, START: numbers.clone()} if pulls.any() else {}


def _cut_out(tensor: Tensor, pieces: list[tuple[int, int, slice]]) -> list[Tensor]:
    return [tensor[member, piece] for member, _, piece in pieces]


def _alike(sizes: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Put positions together whose batches are as large; those without rows are left out."""
    together: dict[int, list[int]] = {}
    for position, size in enumerate(sizes):
        if size > 0:
            together.setdefault(size, []).append(position)
    return list(together.items())


def _pick(tensor: Tensor, positions: list[int]) -> Tensor:
    return tensor if len(positions) == len(tensor) else tensor[positions]


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors)


def _running_sum(lengths: list[int]) -> list[int]:
    return [sum(lengths[:number]) for number in range(len(lengths))]


def _any(lines: dict[int, Line]) -> Line:
    return next(iter(lines.values()))
