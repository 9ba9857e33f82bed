"""Paths in messages."""

from pathlib import Path


def shown(path: Path) -> Path:
    """Return a path as a user would write it: relative to the working folder if it is inside."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
