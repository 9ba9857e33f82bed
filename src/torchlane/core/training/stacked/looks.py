"""What is measured of stacked members after each epoch, and which epoch of each is the best."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchlane.core.layers.coded import rows_at_once
from torchlane.core.machine.checkpoints import State
from torchlane.core.training.held_out import HeldOut
from torchlane.core.training.members import Line, Member, line_of
from torchlane.core.training.stacked.rows import JoinedRows
from torchlane.core.training.stacked.stack import Stack

VALID_ROWS = 2048  # evaluated at a time, by all members


class Walked(NamedTuple):
    """An epoch of a stack: mean losses (active,), and outputs, targets and weights of train (active, n_rows, …)."""

    losses: list[float]
    outputs: Tensor
    targets: Tensor
    weights: Tensor | None


class Looks:
    """The lines of history, best epochs and held-out outputs of all members.

    `active` has the members that a stack holds, in the order of their positions there.
    """

    def __init__(self, members: Sequence[Member], rows: JoinedRows):
        self._members = members
        self._rows = rows
        self._starts: dict[int, Line] = {}  # epoch 0 of members that were trained before
        self._lines: list[dict[int, Line]] = []  # for each epoch, by member
        self._best_epochs = [0] * len(members)
        self._best_losses = [math.inf] * len(members)
        self.held_out = HeldOut(members)

    @property
    def have_begun(self) -> bool:
        """Whether the weights before the first epoch were measured."""
        return bool(self._starts)

    def look_at_start(self, stack: Stack, active: Sequence[int], rates: Mapping[int, float]) -> None:
        """Measure epoch 0 of members with a valid part, which makes it their best epoch so far."""
        for positions in self._cohorts(active):
            cohort = [active[position] for position in positions]
            first = self._members[cohort[0]]
            if not len(first.valid):
                continue
            metric, n_rows = first.objective.task.primary_metric, len(first.train)
            order = self._rows.orders([(member, torch.arange(n_rows)) for member in cohort])
            part = stack.part(positions)
            pieces = [
                part.evaluate(self._rows.gather(rows)[0]) for rows in order.split(self._rows_at_once(cohort), dim=1)
            ]
            outputs, targets = torch.cat(pieces, dim=1), self._rows.targets[order].to(self._rows.device)
            weights = self._rows.weights_of(order)
            scores = first.objective.scores(outputs, targets, weights)
            valid_losses, valid_scores = self._look_at_valid(part, cohort)
            for number, member in enumerate(cohort):
                self._starts[member] = {
                    "epoch": 0,
                    "train_loss": self._members[member].objective.loss(
                        outputs[number], targets[number], None if weights is None else weights[number].double()
                    ),
                    "valid_loss": valid_losses[number],
                    f"train_{metric}": scores[number],
                    f"valid_{metric}": valid_scores[number],
                    "learning_rate": rates[member],
                    "seconds": 0.0,
                }
                self._best_losses[member] = valid_losses[number]

    def after_epoch(
        self,
        epoch: int,
        stack: Stack,
        active: Sequence[int],
        rates: Mapping[int, float],
        walked: Walked,
    ) -> tuple[dict[int, Line], list[int]]:
        """Measure an epoch; give the line of each member without `seconds`, and the positions that improved."""
        lines: dict[int, Line] = {}
        improved: list[int] = []
        for positions in self._cohorts(active):
            cohort = [active[position] for position in positions]
            first = self._members[cohort[0]]
            metric, n_rows = first.objective.task.primary_metric, len(first.train)
            seen = [each for each in walked[1:] if each is not None]
            train_scores = first.objective.scores(*(pick(each, positions)[:, :n_rows] for each in seen))
            valid_losses, valid_scores = self._look_at_valid(stack.part(positions), cohort)
            for number, (position, member) in enumerate(zip(positions, cohort, strict=True)):
                lines[member] = {
                    "epoch": epoch,
                    "train_loss": walked.losses[position],
                    "valid_loss": valid_losses[number],
                    f"train_{metric}": train_scores[number],
                    f"valid_{metric}": valid_scores[number],
                    "learning_rate": rates[member],
                }
                if self._note_best(member, lines[member]):
                    improved.append(position)
        self._lines.append(lines)
        return lines, improved

    def has_valid(self, member: int) -> bool:
        return len(self._members[member].valid) > 0

    def history_of(self, member: int) -> list[Line]:
        """Give the lines of a member, in order."""
        before = [self._starts[member]] if member in self._starts else []
        return before + [lines[member] for lines in self._lines if member in lines]

    def last_line(self, member: int) -> Line:
        """Give the line of the last epoch that a member trained."""
        return next(lines[member] for lines in reversed(self._lines) if member in lines)

    def best_line(self, member: int) -> Line:
        """Give the line of a member's best epoch."""
        return line_of(self.history_of(member), self._best_epochs[member])

    def epochs_since_best(self, member: int, epoch: int) -> int:
        return epoch - self._best_epochs[member]

    def _rows_at_once(self, cohort: Sequence[int]) -> int:
        return rows_at_once(self._members[cohort[0]].model, VALID_ROWS, len(cohort))

    def _look_at_valid(self, part: Stack, cohort: list[int]) -> tuple[list[float], list[float]]:
        """Give losses and scores on valid of a cohort; NaN without a valid part."""
        members = [self._members[member] for member in cohort]
        if not len(members[0].valid):
            return [math.nan] * len(cohort), [math.nan] * len(cohort)
        features, targets, weights = self._rows.valid_of(members)
        outputs = torch.cat([part.evaluate(rows) for rows in features.split(self._rows_at_once(cohort), dim=1)], dim=1)
        losses = [
            each.objective.loss(outputs[number], targets[number], None if weights is None else weights[number])
            for number, each in enumerate(members)
        ]
        objective = members[0].objective
        self.held_out.update(cohort, objective, outputs, targets, weights)
        return losses, objective.scores(outputs, targets, weights)

    def _note_best(self, member: int, line: Line) -> bool:
        none_yet = self._best_epochs[member] == 0 and member not in self._starts
        better = not self.has_valid(member) or none_yet or line["valid_loss"] < self._best_losses[member]
        if better:
            self._best_losses[member] = line["valid_loss"]
            self._best_epochs[member] = int(line["epoch"])
        return better

    def _cohorts(self, active: Sequence[int]) -> list[list[int]]:
        """Group positions by the numbers of rows of train and valid, so that a group can be measured at once."""
        sharing: dict[tuple[int, int], list[int]] = {}
        for position, member in enumerate(active):
            each = self._members[member]
            sharing.setdefault((len(each.train), len(each.valid)), []).append(position)
        return list(sharing.values())

    def state_dict(self) -> State:
        """Everything the next epoch depends on, as copies."""
        return {
            "best_epochs": list(self._best_epochs),
            "best_losses": list(self._best_losses),
            "held_out": self.held_out.state_dict(),
            "lines": list(self._lines),
            "starts": dict(self._starts),
        }

    def load_state_dict(self, state: State) -> None:
        """Return to the state that `state_dict` gave."""
        self._best_epochs, self._best_losses = state["best_epochs"], state["best_losses"]
        self._lines, self._starts = state["lines"], state["starts"]
        self.held_out.load_state_dict(state["held_out"])


def pick(tensor: Tensor, positions: list[int]) -> Tensor:
    """Index the first dimension; without a copy if `positions` are all of it."""
    return tensor if len(positions) == len(tensor) else tensor[positions]
