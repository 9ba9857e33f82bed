"""Outputs for each row of valid in the epoch that would be kept without that row."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchlane.core.machine.checkpoints import State
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.members import Member


class HeldOut:
    """The outputs of members for each row of valid, in the epoch that the other rows of valid would choose.

    The kept epoch fits valid better than new rows, because it was chosen on valid. The error of a row that
    is left out of the choice is like that of a new row, so it can be used for intervals. This is
    leave-one-out cross-validation of the choice of the epoch; it costs no rows and no extra training. A row
    that counts as several is left out with all of its weight.
    Outputs are kept for regression only.
    """

    def __init__(self, members: Sequence[Member]):
        self._n_rows = [len(each.valid) if each.objective.target.task == "regression" else 0 for each in members]
        shape = (len(members), max(self._n_rows))
        self._outputs = torch.zeros(shape, dtype=torch.float64)
        self._losses = torch.full(shape, math.inf, dtype=torch.float64)  # the lowest sum over the other rows

    def update(
        self,
        members: list[int],
        objective: Objective,
        outputs: Tensor,
        targets: Tensor,
        weights: Tensor | None = None,
        judged: Tensor | None = None,
    ) -> None:
        """Take in an epoch of members with equally many rows: outputs and targets (members, n_rows, 1).

        The weights of rows are (members, n_rows). The epoch is chosen by the outputs `judged` (members, n_rows, 1),
        which are those of each member unless they are given.
        """
        n_rows = self._n_rows[members[0]]
        if not n_rows:
            return
        losses = sums_of_others(objective.row_losses(outputs if judged is None else judged, targets, weights).cpu())
        lowest = self._losses[members, :n_rows]
        better = losses < lowest
        self._losses[members, :n_rows] = torch.where(better, losses, lowest)
        known = self._outputs[members, :n_rows]
        self._outputs[members, :n_rows] = torch.where(better, outputs.squeeze(-1).double().cpu(), known)

    def rows_of(self, member: int) -> Tensor:
        """Give the outputs of a member for its rows: float64 (n_rows,)."""
        return self._outputs[member, : self._n_rows[member]].clone()

    def state_dict(self) -> State:
        """Everything the next epoch depends on, as copies."""
        return {"outputs": self._outputs.clone(), "losses": self._losses.clone()}

    def load_state_dict(self, state: State) -> None:
        """Return to the state that `state_dict` gave."""
        self._outputs, self._losses = state["outputs"].clone(), state["losses"].clone()


def sums_of_others(values: Tensor) -> Tensor:
    """Sum the values of all other rows, for each of (…, n_rows), without cancellation.

    The sum is not computed as the total minus one value, which would lose small values beside a large one.

    >>> sums_of_others(torch.tensor([1.0, 1e20, 4.0], dtype=torch.float64)).tolist()
    [1e+20, 5.0, 1e+20]
    """
    before, after = values.cumsum(-1), values.flip(-1).cumsum(-1).flip(-1)
    nothing = values.new_zeros(*values.shape[:-1], 1)
    return torch.cat([nothing, before[..., :-1]], dim=-1) + torch.cat([after[..., 1:], nothing], dim=-1)
