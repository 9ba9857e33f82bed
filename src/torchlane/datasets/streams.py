"""A stream that counts the bytes and lines that are read from a file."""

import zlib
from typing import Any

MAX_EXPANSION = 200  # how many times larger than the compressed file content above FREE_BYTES may be
FREE_BYTES = 1 << 30


class Counted:
    """A stream that counts line ends, and raises an error if a compressed file expands too much.

    `last_line` is appended as a line of its own; None appends nothing. If it is given, no block ends between CR
    and LF, because pyarrow would then lose the LF of a value.
    """

    closed = False

    def __init__(self, stream: Any, name: str, compressed_size: int | None, last_line: bytes | None = None):
        self._stream, self._name, self._last_line = stream, name, last_line
        self._most = None if compressed_size is None else max(FREE_BYTES, MAX_EXPANSION * compressed_size)
        self._keeps_pairs, self._kept = last_line is not None, b""
        self._n_bytes = 0
        self._end = b"\n"  # the last byte so far
        self.n_lines = 0

    def read(self, n_bytes: int) -> bytes:
        """Read the next bytes.

        Raises:
            ValueError: the file is cut off or damaged, or expands too much.
        """
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
                f"{self._name} expands to more than {self._most >> 20} MiB, {MAX_EXPANSION} times its size; "
                f"unpack it if that is intended"
            )
        self.n_lines += count_lines(block) - (self._end == b"\r" and block.startswith(b"\n"))
        self._end = block[-1:] or self._end
        return block

    def readable(self) -> bool:
        """Return True, as pyarrow asks."""
        return True

    def close(self) -> None:
        """Leave the file open; whoever opened it closes it."""


def count_lines(block: bytes) -> int:
    """Count line ends: LF, CR or CRLF."""
    n_lines = block.count(b"\n")
    return n_lines + block.count(b"\r") - block.count(b"\r\n") if b"\r" in block else n_lines
