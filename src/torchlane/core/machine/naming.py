"""Names for parts of a longer work, which the log puts before each line."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_names: ContextVar[tuple[str, ...]] = ContextVar("names", default=())


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Name what the block does, such as "repeat 2 of 3"."""
    token = _names.set((*_names.get(), name))
    try:
        yield
    finally:
        _names.reset(token)


def prefix() -> tuple[str, ...]:
    """Return the names of the blocks that the caller is in, the outer one first."""
    return _names.get()
