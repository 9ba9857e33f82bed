"""SHA-256 digests of files, computed once in a process."""

import hashlib
from functools import lru_cache
from pathlib import Path

Stamp = tuple[int, int, int, int]  # of a file: size, inode, modification time and status change time


def stamp_of(path: Path) -> Stamp:
    """Give a value that changes whenever a file is written, replaced or copied."""
    status = path.stat()
    return status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def content_digest(path: Path) -> str:
    """Give the SHA-256 of a file; a process computes it again only if the file has changed."""
    return _digest(path, stamp_of(path))


@lru_cache(maxsize=1024)
def _digest(path: Path, stamp: Stamp) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
