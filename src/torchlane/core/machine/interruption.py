"""SIGTERM and Ctrl-C: what works on something that can be saved saves it first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked the process to end; `exit_status` is the shell's for it, 128 + its number."""

    def __init__(self, number: int):
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_status = 128 + number


class _State:
    """One a process, as signals are."""

    pending: int | None = None
    deferring = 0


@contextmanager
def handled() -> Iterator[None]:
    """Turn the signals into `Interrupted` while this lasts; only the main thread can ask for that."""
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
    """Let a signal wait for `check`; a second one does not wait."""
    _State.deferring += 1
    try:
        yield
    finally:
        _State.deferring -= 1


def check() -> None:
    """Raise `Interrupted` if a signal is waiting."""
    if _State.pending is not None:
        number, _State.pending = _State.pending, None
        raise Interrupted(number)


def _handle(number: int, frame: FrameType | None) -> None:
    if _State.deferring and _State.pending is None:
        _State.pending = number
    else:
        raise Interrupted(number)
