"""One run that trains several members together."""

import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import torch
from torch import Tensor, nn

from torchlane.core.machine import interruption
from torchlane.core.machine.checkpoints import State
from torchlane.core.stacks.layout import Program
from torchlane.core.training.history import mean_line
from torchlane.core.training.members import Line, Member, Outcome, Stop, loss_fault
from torchlane.core.training.stacked.looks import Looks, Walked, pick
from torchlane.core.training.stacked.optimizers import MemberSettings
from torchlane.core.training.stacked.randomness import MemberRandom, draw_noise
from torchlane.core.training.stacked.rows import JoinedRows
from torchlane.core.training.stacked.stack import Stack, Tensors, first_tensors, groups_of, weights_of
from torchlane.core.training.stepping import process_settings


class StackedRun:
    """Members of one structure, each trained by the steps that it would take alone.

    A member draws its random numbers in the order of the plain loop, and stops by its own patience. A
    member that has ended leaves the computation.
    """

    def __init__(self, members: Sequence[Member], program: Program, stop: Stop | None, keep_going: bool):
        self._members = members
        self._program = program
        self._stop = stop
        self._keep_going = keep_going
        self._shared = members[0].options  # the same for all members, except for `OWN` in grouping
        self._threads = members[0].threads(len(members))
        self._rows = JoinedRows(members, program)
        self._looks = Looks(members, self._rows)
        self._random = [MemberRandom(member, program) for member in members]
        self._settings = [
            MemberSettings(each.options, len(each.batch_sizes), groups_of(each, program)) for each in members
        ]
        self._active = list(range(len(members)))
        self.epoch = 0
        self._stack = self._make_stack(first_tensors(members, program))
        self._best = self._stack.copy_networks()
        self._outcomes: dict[int, Outcome] = {}
        self.last_state: State = {}

    def epochs(self) -> Iterator[Line]:
        """Train epoch after epoch; yield the mean line of history of all members.

        A member that has ended counts with its last line, and one that has failed does not count.

        Raises:
            ValueError: a loss is not finite, and the other members are not to continue.
        """
        with process_settings(self._shared, self._threads):
            if self.epoch == 0 and not self._looks.have_begun and self._members[0].adaptation is not None:
                self._looks.look_at_start(self._stack, self._active, self._rates())
            self._remember()
            while self._active:
                lines = self._train_epoch()
                self._part_with_finished(lines)
                self._remember()
                yield self._mean_line()

    def _mean_line(self) -> Line:
        failed = {member for member, outcome in self._outcomes.items() if outcome["error"]}
        counted = [member for member in range(len(self._members)) if member not in failed]
        lines = [self._looks.last_line(member) for member in counted or sorted(failed)]
        return {**mean_line(lines), "epoch": self.epoch}

    def first_network(self) -> nn.Module | None:
        """Give the first member as it is now, or None if it has ended."""
        if 0 not in self._active:
            return None
        network = self._members[0].model
        tensors = {name: tensor[0] for name, tensor in self._stack.tensors.items()}
        network.load_state_dict(weights_of(self._members[0], self._program, tensors))
        return network

    def outcomes(self) -> list[Outcome]:
        """Give the outcome of each member, in order."""
        return [self._outcomes[member] for member in range(len(self._members))]

    def _remember(self) -> None:
        self.last_state = {}  # so that two large states never take memory together
        self.last_state = self.state_dict()

    def _train_epoch(self) -> dict[int, Line]:
        started = time.perf_counter()
        rates = self._rates()
        self._begin_epoch()
        walked = self._walk_train()
        self.epoch += 1
        lines, improved = self._looks.after_epoch(self.epoch, self._stack, self._active, rates, walked)
        self._keep_best(improved)
        seconds = time.perf_counter() - started
        for line in lines.values():
            line["seconds"] = seconds / len(lines)
        return lines

    def _rates(self) -> dict[int, float]:
        return {member: self._settings[member].schedule.learning_rate for member in self._active}

    def _begin_epoch(self) -> None:
        """Start to train the groups and batch norms whose first epoch has come."""
        adaptation = self._members[0].adaptation
        if adaptation is not None:
            self._program.still_norms = adaptation.still_norms(self.epoch + 1)
            self._stack.begin_epoch(self.epoch + 1)

    def _walk_train(self) -> Walked:
        """Take the steps of an epoch."""
        lengths = [len(self._members[member].train) for member in self._active]
        sizes = [self._members[member].batch_sizes for member in self._active]
        order = self._rows.orders([(member, self._random[member].draw_order()) for member in self._active])
        losses = torch.zeros(len(self._active), dtype=torch.float64, device=order.device)
        outputs: Tensor | None = None
        for number, of_members in enumerate(zip_longest(*sizes, fillvalue=0)):
            interruption.check()
            start = number * self._shared.batch_size
            for n_rows, positions in _alike(of_members):
                rows = pick(order[:, start : start + n_rows], positions)
                batch_outputs, batch_losses = self._step(positions, rows)
                if outputs is None:
                    outputs = batch_outputs.new_zeros(*order.shape, *batch_outputs.shape[2:])
                outputs[positions, start : start + n_rows] = batch_outputs
                losses[positions] += batch_losses.double() * n_rows
                self._after_batch(positions)
        assert outputs is not None
        means = (losses.cpu() / torch.tensor(lengths)).tolist()
        return Walked(means, outputs, self._rows.targets[order], self._rows.weights_of(order))

    def _step(self, positions: list[int], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Take one step of the members at `positions`, on their `rows` (positions, n_rows)."""
        features, targets = self._rows.gather(rows)
        weights = self._rows.weights_of(rows)
        members = [self._active[position] for position in positions]
        first = self._members[members[0]]
        randoms, shapes = [self._random[member] for member in members], self._program.noise_shapes
        dtype = next(self._members[0].model.parameters()).dtype  # features may be uint8
        noise = draw_noise(randoms, shapes, rows.shape[1], dtype, self._rows.features.device)
        part = self._stack.part(positions)
        result = part.step(features, targets, weights, noise, first.objective)
        if part is not self._stack:
            self._stack.put(positions, part)
        return result

    def _after_batch(self, positions: list[int]) -> None:
        settings = [self._settings[self._active[position]] for position in positions]
        for each in settings:
            each.schedule.after_batch()
        if any(each.change_within_epoch for each in settings):
            self._stack.regroup()

    def _keep_best(self, positions: list[int]) -> None:
        if not positions:
            return
        self.last_state = {}  # it shares these tensors; the next one follows before anyone asks for it
        tensors = self._stack.tensors
        for name, best in self._best.items():
            if len(positions) == len(best):
                best.copy_(tensors[name])
            else:
                best[positions] = tensors[name][positions]

    def _part_with_finished(self, lines: dict[int, Line]) -> None:
        """Step the schedules; drop the members whose epochs or patience are used up or whose loss is not finite."""
        stopped = self._stop(self.epoch, {each: self._looks.best_line(each) for each in lines}) if self._stop else set()
        remaining = []
        for position, member in enumerate(self._active):
            options, line, has_valid = self._members[member].options, lines[member], self._looks.has_valid(member)
            self._settings[member].schedule.after_epoch(line["valid_loss"] if has_valid else line["train_loss"])
            waited = self._looks.epochs_since_best(member, self.epoch)
            out_of_patience = has_valid and options.patience_epochs is not None and waited >= options.patience_epochs
            fault = loss_fault(line, has_valid)
            if fault and not self._keep_going:
                raise ValueError(fault)
            if fault or out_of_patience or self.epoch >= options.epochs or member in stopped:
                self._outcomes[member] = self._outcome(position, member, fault)
            else:
                remaining.append(position)
        if len(remaining) < len(self._active):
            self.last_state = {}  # it would take memory beside the two stacks
            if remaining:
                self._stack = self._stack.narrowed(remaining)
            self._best = {name: best[remaining] for name, best in self._best.items()}
            self._active = [self._active[position] for position in remaining]
        elif self._shared.scheduler is not None:
            self._stack.regroup()

    def _outcome(self, position: int, member: int, fault: str) -> Outcome:
        best = {name: best[position] for name, best in self._best.items()}
        return Outcome(
            weights=weights_of(self._members[member], self._program, best),
            history=self._looks.history_of(member),
            kept=self._looks.best_line(member),
            held_out=self._looks.held_out.rows_of(member),
            threads=self._threads,
            error=fault,
        )

    def _make_stack(self, tensors: Tensors) -> Stack:
        settings = [self._settings[member] for member in self._active]
        groups = groups_of(self._members[0], self._program)
        optimizer, clip_norm = self._shared.optimizer.name, self._shared.clip_norm
        return Stack(self._program, tensors, optimizer, settings, groups, self.epoch + 1, clip_norm)

    def state_dict(self) -> State:
        """Everything the next epoch depends on, as copies."""
        return {
            "epoch": self.epoch,
            "active": list(self._active),
            "stack": {name: tensor.cpu().clone() for name, tensor in self._stack.tensors.items()},
            "best": dict(self._best),
            "outcomes": dict(self._outcomes),
            "settings": [each.state_dict() for each in self._settings],
            "random": [each.state_dict() for each in self._random],
            **self._looks.state_dict(),
        }

    def load_state_dict(self, state: State) -> None:
        """Return to the state that `state_dict` gave."""
        device = self._rows.device
        self.epoch, self._active, self._outcomes = state["epoch"], state["active"], state["outcomes"]
        self._best = {name: tensor.to(device) for name, tensor in state["best"].items()}
        self._looks.load_state_dict(state)
        for each, of_member in zip(self._settings, state["settings"], strict=True):
            each.load_state_dict(of_member)
        for random, of_member in zip(self._random, state["random"], strict=True):
            random.load_state_dict(of_member)
        self._stack = self._make_stack({name: tensor.to(device) for name, tensor in state["stack"].items()})


def _alike(sizes: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Group positions by the size of their batch, and leave out those whose batch is empty."""
    together: dict[int, list[int]] = {}
    for position, size in enumerate(sizes):
        if size > 0:
            together.setdefault(size, []).append(position)
    return list(together.items())
