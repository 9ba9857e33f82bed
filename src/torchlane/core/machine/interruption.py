"""SIGTERM and Ctrl-C, which may wait until work in progress is saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked the process to end; `exit_status` is 128 plus the number of the signal, as in a shell."""

    def __init__(self, number: int):
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_status = 128 + number


class _State:
    """State of the process; signals belong to the process as a whole."""

    pending: int | None = None
    deferring = 0


@contextmanager
def handled() -> Iterator[None]:
    """Raise `Interrupted` on a signal within the block; in a thread other than the main one this does nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _handle) for number in SIGNALS}
    try:
        yield
    finally:
        _State.pending = None
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred() -> Iterator[None]:
    """Delay a signal until `check`; a second signal is not delayed."""
    _State.deferring += 1
    try:
        yield
    finally:
        _State.deferring -= 1


def check() -> None:
    """Raise `Interrupted` if a signal was delayed."""
    if _State.pending is not None:
        number, _State.pending = _State.pending, None
        raise Interrupted(number)


def _handle(number: int, frame: FrameType | None) -> None:
    if _State.deferring and _State.pending is None:
        _State.pending = number
    else:
        raise Interrupted(number)
