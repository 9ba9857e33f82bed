"""Names for parts of a longer work, which the log puts before each line."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_owner: ContextVar[str | None] = ContextVar("owner", default=None)
_names: ContextVar[tuple[str, ...]] = ContextVar("names", default=())


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Name what the block does, such as "repeat 2 of 3"."""
    token = _names.set((*_names.get(), name))
    try:
        yield
    finally:
        _names.reset(token)


def own(owner: str | None) -> None:
    """Name whose work this thread does from now on, such as a use case; None if the log need not say it."""
    _owner.set(owner)


def prefix() -> tuple[str, ...]:
    """Return whose work it is, and the names of the blocks that the caller is in, the outer one first."""
    owner = _owner.get()
    return ((owner,) if owner else ()) + _names.get()
