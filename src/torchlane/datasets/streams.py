"""Bytes on their way from a file, counted."""

import zlib
from typing import Any

MOST_EXPANSION = 200  # times that content may be larger than the compressed file, once above FREE_BYTES
FREE_BYTES = 1 << 30


class Counted:
    """A stream that counts line ends and stops where a compressed file expands beyond all reason.

    `last_line` comes on top, as a line of its own behind the end; None adds nothing. With it, no block ends
    between CR and LF, where pyarrow would lose the LF of a value.
    """

    closed = False

    def __init__(self, stream: Any, name: str, compressed_size: int | None, last_line: bytes | None = None):
        self._stream, self._name, self._last_line = stream, name, last_line
        self._most = None if compressed_size is None else max(FREE_BYTES, MOST_EXPANSION * compressed_size)
        self._keeps_pairs, self._kept = last_line is not None, b""
        self._n_bytes = 0
        self._end = b"\n"  # the last byte so far
        self.n_lines = 0

    def read(self, n_bytes: int) -> bytes:
        """Read on."""
        try:
            read: bytes = self._stream.read(n_bytes - len(self._kept))
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{self._name} is cut off or damaged: {error}") from error
        block = self._kept + read
        self._kept = b"\r" if self._keeps_pairs and read.endswith(b"\r") and len(block) > 1 else b""
        block = block.removesuffix(self._kept)
        if not read and self._last_line is not None:
            block += b"\n" if (block or self._end) not in (b"\r", b"\n") else b""
            block, self._last_line = block + self._last_line + b"\n" * bool(self._last_line), None
        self._n_bytes += len(block)
        if self._most is not None and self._n_bytes > self._most:
            raise ValueError(
                f"{self._name} expands to more than {self._most >> 20} MiB, {MOST_EXPANSION} times its size; "
                f"unpack it if that is meant"
            )
        self.n_lines += count_lines(block) - (self._end == b"\r" and block.startswith(b"\n"))
        self._end = block[-1:] or self._end
        return block

    def readable(self) -> bool:
        """Say so to pyarrow."""
        return True

    def close(self) -> None:
        """Leave the file open for who opened it."""


def count_lines(block: bytes) -> int:
    """Count line ends: LF, CR or both together."""
    n_lines = block.count(b"\n")
    return n_lines + block.count(b"\r") - block.count(b"\r\n") if b"\r" in block else n_lines
