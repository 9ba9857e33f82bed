"""Adam's steps on a table of weights of which each batch looks up few rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from torchlane.core.layers.coded import rows_of
from torchlane.core.stacks.layout import padded_length
from torchlane.core.training.stacked.optimizers import MemberSettings

MOST_STEPS = 4096  # after which all rows are brought up to date
FLUSHED_ROWS = 16_384  # brought up to date together
MOMENTUM_STEPS = 400  # after which the push that is left of a gradient is too small to move a weight
LEAST_KEPT = 1e-30  # of a weight that a step draws to zero
MOST_RATIO = 0.96  # of a push to the one before, for that to be true


@dataclass(frozen=True)
class Few:
    """The rows that a batch looks up: weights and moments (members, n_few, n_out), padded with zeros.

    Row `rows[i]` of the table of member `members[i]` is row `places[i]`. `moved` (members, n_rows) has the place of
    each row of the table; it holds for the rows looked up.
    """

    weights: Tensor
    moments: tuple[Tensor, Tensor]
    members: Tensor
    rows: Tensor
    places: Tensor
    moved: Tensor


class LazyRows:
    """The rows of the tables of some members (members, n_rows, n_out), with the two moments of Adam or AdamW.

    A row without a gradient still moves: its moments decay, and push its weights less and less, and AdamW draws
    weights towards zero. `look_up` does all these steps at once for the rows that are looked up, by sums that are the
    same for all rows of a member that were last up to date at the same step. So they are as after each step on all
    rows, to rounding. Only where a gradient is so small that `eps` counts beside it is the result an estimate: `eps`
    then is that of the mean push.
    """

    def __init__(self, tensors: Sequence[Tensor], settings: Sequence[MemberSettings], n_columns: int):
        self._shape = tensors[0].shape
        (self._table, self._step), *moments = map(rows_of, tensors)
        self._moments = [moment for moment, _ in moments]
        self._n_columns = n_columns  # rows that every batch needs, the first ones
        self._settings = settings
        members, n_rows, _ = self._shape
        self._moved = torch.zeros(members, n_rows, dtype=torch.int64, device=self._table.device)
        self._at = torch.zeros_like(self._moved)  # the step at which each row was last up to date
        self._now = 0  # steps since all rows were up to date
        self._present: tuple[list[Any], Tensor] | None = None
        self._take_betas()
        # By step: the product of all decays of weights, and the sums of the pushes that a row at that step has missed,
        # and of pushes times the unit of eps.
        self._decay = torch.ones(members, MOST_STEPS + 1, dtype=torch.float64, device=self._table.device)
        self._push = torch.zeros_like(self._decay)
        self._push_eps = torch.zeros_like(self._decay)

    @staticmethod
    def can_step(optimizer: str, settings: Sequence[MemberSettings]) -> bool:
        """Say whether steps can be caught up with: those of AdamW, and of Adam without weight decay."""
        decays = any(group["weight_decay"] for each in settings for group in each.groups)
        return optimizer == "AdamW" or (optimizer == "Adam" and not decays)

    def look_up(self, looked_up: Tensor) -> Few:
        """Bring the rows `looked_up` (members, n) of the tables up to date, and copy them."""
        if self._present_betas() != self._betas:  # some schedules change them
            self.flush()
            self._take_betas()
        members, n_rows, n_out = self._shape
        always = torch.arange(self._n_columns, device=looked_up.device).expand(members, -1)
        of_members = torch.arange(members, device=looked_up.device)[:, None] * n_rows
        wanted = (torch.cat([always, looked_up], dim=1) + of_members).unique()
        wanted = wanted[wanted % n_rows != n_rows - 1]  # the last row stays 0
        owners, rows = wanted // n_rows, wanted % n_rows
        counts = torch.bincount(owners, minlength=members)
        at = torch.arange(len(wanted), device=looked_up.device) - (counts.cumsum(0) - counts)[owners]
        few = self._table.new_zeros(3, members, padded_length(int(counts.max()) + 1), n_out)
        places = owners * few.shape[2] + at
        for into, caught_up in zip(few.flatten(1, 2), self._caught_up(owners, rows), strict=True):
            into.index_copy_(0, places, caught_up)
        self._moved[owners, rows] = at
        self._moved[:, -1] = few.shape[2] - 1
        return Few(few[0], (few[1], few[2]), owners, rows, at, self._moved)

    def put(self, few: Few, steps: Tensor) -> None:
        """Take over the rows after a step; `steps` (members,) have been taken since the start of the training."""
        at = few.members * few.weights.shape[1] + few.places
        for tensor, own in zip((self._table, *self._moments), (few.weights.detach(), *few.moments), strict=True):
            tensor.index_copy_(0, few.members * self._step + few.rows, own.flatten(0, 1).index_select(0, at))
        self._count_step(steps.double())
        self._at[few.members, few.rows] = self._now
        if self._now == (MOST_STEPS if self._summable else 1):
            self.flush()

    def flush(self) -> None:
        """Bring all rows up to date."""
        if self._now == 0:
            return
        for member in range(self._shape[0]):
            behind = (self._at[member] < self._now).nonzero()[:, 0]
            for rows in behind.split(FLUSHED_ROWS):
                owners = torch.full_like(rows, member)
                for tensor, own in zip((self._table, *self._moments), self._caught_up(owners, rows), strict=True):
                    tensor.index_copy_(0, owners * self._step + rows, own)
        self._at.zero_()
        self._now = 0
        self._push.zero_()
        self._push_eps.zero_()

    def _count_step(self, steps: Tensor) -> None:
        """Add the push of a step to the sums of all steps before it."""
        (rate, decay, _), (first, second) = self._numbers(), self._decays
        unit = (1 - second**steps).sqrt()
        self._now += 1
        kept = self._decay[:, self._now - 1] * (1 - rate * decay).clamp_min(LEAST_KEPT)
        self._decay[:, self._now] = kept
        push = rate * unit / (1 - first**steps) / kept
        n_steps = min(MOMENTUM_STEPS, self._now)
        since = slice(self._now - n_steps, self._now)
        pushes = self._ratios[:, MOMENTUM_STEPS - n_steps :] * push[:, None]
        self._push[:, since] += pushes
        self._push_eps[:, since] += pushes * unit[:, None] * self._units[:, MOMENTUM_STEPS - n_steps :]

    def _caught_up(self, members: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give weights and moments (n, n_out) of rows as they are now."""
        taken = members * self._step + rows
        weights, first, second = (tensor.index_select(0, taken) for tensor in (self._table, *self._moments))
        at = self._at[members, rows]
        missed = self._now - at
        of_first, of_second = (each[members] ** missed for each in self._decays)
        now = self._decay[members, self._now]
        kept, push = now / self._decay[members, at], self._push[members, at] * now
        unit = (self._push_eps[members, at] / self._push[members, at]).where(missed > 0, 1)
        eps = self._numbers()[2][members] * unit
        kept, push, of_first, of_second, eps = (
            each.to(weights.dtype)[:, None] for each in (kept, push, of_first, of_second, eps)
        )
        weights = weights * kept - push * first / (second.sqrt() + eps)
        return weights, first * of_first, second * of_second

    def _present_betas(self) -> list[tuple[float, float]]:
        return [each.groups[0]["betas"] for each in self._settings]

    def _take_betas(self) -> None:
        """Take over the decays of both moments, and compute what follows from them for each step that has passed."""
        self._betas = self._present_betas()
        device = self._table.device
        self._decays = first, second = torch.tensor(self._betas, dtype=torch.float64, device=device).unbind(1)
        ago = torch.arange(MOMENTUM_STEPS, 0, -1, device=device)
        self._ratios, self._units = ((base[:, None] ** ago) for base in (first / second.sqrt(), 1 / second.sqrt()))
        self._summable = bool((first <= MOST_RATIO * second.sqrt()).all())

    def _numbers(self) -> Tensor:
        """Give the learning rate, weight decay and eps of each member: float64 (3, members)."""
        values = [[each.groups[0][name] for each in self._settings] for name in ("lr", "weight_decay", "eps")]
        if self._present is None or self._present[0] != values:
            self._present = values, torch.tensor(values, dtype=torch.float64, device=self._table.device)
        return self._present[1]
