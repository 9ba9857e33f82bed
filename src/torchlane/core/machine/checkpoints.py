"""What a training asks of the place where it keeps its state."""

from typing import Any, Protocol

State = dict[str, Any]


class Checkpoints(Protocol):
    """Where one training keeps its state while it runs."""

    def load(self) -> State | None:
        """Give the last state saved whole, or None."""

    def save(self, state: State) -> None:
        """Keep a state: nested dicts, lists and tuples of tensors, numbers, text and None."""

    def retire(self) -> None:
        """Drop all states of a training that is finished."""


class CheckpointStore(Protocol):
    """Where trainings keep their states; `torchlane.datasets.checkpoints` keeps them in a folder."""

    def of_run(self, identity: str) -> Checkpoints:
        """Open the states of the training that `identity` names; those of another are not taken up."""


class NoCheckpoints:
    """A store that keeps nothing."""

    def of_run(self, identity: str) -> "NoCheckpoints":
        return self

    def load(self) -> State | None:
        return None

    def save(self, state: State) -> None:
        pass

    def retire(self) -> None:
        pass
