"""Refit: networks are trained once more, on train and valid, for as many epochs as early stopping kept."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import TensorDataset

from torchlane.core.encoding.tensors import join_rows
from torchlane.core.machine.checkpoints import Checkpoints, State
from torchlane.core.machine.naming import naming
from torchlane.core.training.fit import fit
from torchlane.core.training.members import Line, Member, Outcome
from torchlane.core.training.observation import Observer

logger = logging.getLogger(__name__)


def why_not_again(train: TensorDataset, valid: TensorDataset) -> str:
    """Say why encoded rows give nothing to train on once more; empty if they do."""
    if not len(valid):
        return "valid has no rows"
    pairs = list(zip(train.tensors, valid.tensors, strict=True))
    if all(torch.equal(first, second) for first, second in pairs):
        return "valid has the rows of train"
    return ""


def rows_of_refit(train: TensorDataset, valid: TensorDataset) -> tuple[TensorDataset, TensorDataset]:
    """Give the encoded rows that a refit trains on, those of train and then those of valid, and an empty valid."""
    return join_rows(train, valid), TensorDataset(*(tensor[:0] for tensor in valid.tensors))


def fit_twice(
    members: Sequence[Member],
    chosen: Sequence[int],
    again: Callable[[], Sequence[Member]],
    checkpoints: Checkpoints,
    observer: Observer | None = None,
) -> tuple[list[Outcome], list[Outcome]]:
    """Train every member, and the `chosen` ones once more.

    `again` builds these anew, on the rows of a refit. Each trains for the number of epochs that its first training
    kept, on schedules as long as those of the first. The results are the outcomes of all members and those of the
    chosen ones. `observer` watches the first training only.

    A checkpoint of the second training holds the outcomes of the first, so both go on where they were cut off.

    Raises:
        ValueError: a loss is not finite, or a batch would be too small for a network.
    """
    state = checkpoints.load() or {}
    first: State | None = state.get("first")
    if first is None:
        outcomes = fit(members, _First(checkpoints, state or None), observer=observer)
        first = {"outcomes": outcomes, "observed": [] if observer is None else observer.state_dict()}
    elif observer is not None:
        observer.load_state_dict(first["observed"])
    kept = [kept_epoch(first["outcomes"][index]) for index in chosen]

    def stop(epoch: int, lines: dict[int, Line]) -> set[int]:
        return {member for member in lines if epoch >= kept[member]}

    anew = again()
    logger.info(
        "refit: %d %s once more on train and valid, %d rows, for %s",
        len(anew),
        "network" if len(anew) == 1 else "members",
        len(anew[0].train),
        shown_epochs(kept),
    )
    with naming("refit"):
        return first["outcomes"], fit(anew, _Second(checkpoints, first, state.get("second")), stop=stop)


def kept_epoch(outcome: Outcome) -> int:
    """Give the epoch whose weights a member keeps."""
    return int(outcome["kept"]["epoch"])


def shown_epochs(epochs: Sequence[int]) -> str:
    """Write the numbers of epochs of several members.

    >>> shown_epochs([43, 31, 43]), shown_epochs([1, 1])
    ('31 to 43 epochs', '1 epoch')
    """
    low, high = min(epochs), max(epochs)
    return f"{high} epoch{'s' * (high > 1)}" if low == high else f"{low} to {high} epochs"


@dataclass
class _First:
    """The checkpoints of the first training. Its last state stays until the second training saves one."""

    checkpoints: Checkpoints
    state: State | None

    def load(self) -> State | None:
        return self.state

    def save(self, state: State) -> None:
        self.checkpoints.save(state)

    def retire(self) -> None:
        pass


@dataclass
class _Second:
    """The checkpoints of the second training, which hold what the first one gave."""

    checkpoints: Checkpoints
    first: State
    state: State | None

    def load(self) -> State | None:
        return self.state

    def save(self, state: State) -> None:
        self.checkpoints.save({"first": self.first, "second": state})

    def retire(self) -> None:
        self.checkpoints.retire()
