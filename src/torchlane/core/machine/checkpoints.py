"""The interface to a store of checkpoints."""

from typing import Any, Protocol

State = dict[str, Any]


class Checkpoints(Protocol):
    """The checkpoints of one training."""

    def load(self) -> State | None:
        """Give the last state that was saved completely, or None."""

    def save(self, state: State) -> None:
        """Save a state: nested dicts, lists and tuples of tensors, numbers, text and None."""

    def retire(self) -> None:
        """Delete the states of a finished training."""


class CheckpointStore(Protocol):
    """The checkpoints of several trainings; `torchlane.datasets.checkpoints` stores them in a folder."""

    def of_run(self, identity: str) -> Checkpoints:
        """Open the checkpoints of the training with this `identity`; those of other trainings are not used."""


class NoCheckpoints:
    """A store that saves nothing."""

    def of_run(self, identity: str) -> "NoCheckpoints":
        return self

    def load(self) -> State | None:
        return None

    def save(self, state: State) -> None:
        pass

    def retire(self) -> None:
        pass
