"""Checkpoints of a training in progress."""

import logging
import time

from torchlane.core.machine.checkpoints import Checkpoints, State
from torchlane.core.options import FittedTraining
from torchlane.core.training.members import Outcome
from torchlane.core.training.observation import Observer

logger = logging.getLogger(__name__)

STATE = 4  # the form of what a checkpoint holds; checkpoints of another form are not resumed


class Saver:
    """Writes checkpoints when they are due; the training goes on if one cannot be written."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        finished: dict[int, Outcome],
        options: FittedTraining,
        observer: Observer | None,
    ):
        self._checkpoints = checkpoints
        self._observer = observer
        self._finished = finished
        self._options = options
        self._saved_at = time.monotonic()
        self._epochs = 0

    def after_epoch(self, state: State) -> None:
        """Save the state after an epoch if enough epochs or minutes have passed."""
        self._epochs += 1
        minutes = (time.monotonic() - self._saved_at) / 60
        every = self._options.checkpoint_epochs
        if minutes >= self._options.checkpoint_minutes or (every is not None and self._epochs >= every):
            self.save(state)

    def save(self, state: State) -> None:
        """Save the state of the run in progress, with the finished members and what was observed."""
        try:
            observed = [] if self._observer is None else self._observer.state_dict()
            self._checkpoints.save({"finished": self._finished, "running": state, "observed": observed})
        except OSError as error:
            logger.warning(
                "the checkpoint could not be written (%s); the training goes on, and the last one is kept",
                error,
            )
        self._saved_at, self._epochs = time.monotonic(), 0
