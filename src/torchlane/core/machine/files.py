"""Files that are whole or not there."""

import hashlib
import os
import re
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

BEAT_SECONDS = 3600  # between two marks of life on a file that is written to
LEFTOVER_SECONDS = 7 * 24 * 3600  # without one, before a file that another machine began counts as left
UNKNOWN = "0" * 12
PARTIAL = re.compile(
    r"\.partial-(?:(?P<system>[0-9a-f]{12})-(?P<process>\d{1,9})-(?P<started>\d+)|\d+)-[0-9a-f]{8}-(?P<target>.+)",
    re.DOTALL,
)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a path beside `path` to write to; what was written there takes its place in one step.

    After an error, or a kill at any instant, `path` holds what it held before. The ending of the
    name stays, for writers that go by it. With `durable` that holds for a loss of power too, at the cost
    of waiting for the disk.

    What killed processes left in the folder is removed by the next write: at once where the process was
    one of this system, and is seen to be gone; else, since a process of another machine or container
    cannot be seen, after a week without a sign of life, by the clock of the storage.

    Raises:
        OSError: what was written is gone; `path` holds what it held before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{_writer()}-{uuid.uuid4().hex[:8]}-{path.name}")
    _remove_leftovers(partial)
    try:
        with _beating(partial):
            yield partial
        try:
            if durable:
                with partial.open("rb") as written:
                    os.fsync(written.fileno())
            partial.replace(path)
        except FileNotFoundError as error:
            raise OSError(
                f"{path} stays as it was, since {partial.name}, written to take its place, was removed by another "
                f"program; run this again"
            ) from error
    finally:
        partial.unlink(missing_ok=True)


def target_name(partial: Path) -> str | None:
    """Give the name of the file that a partial one is to become; None where it is no partial file."""
    found = PARTIAL.fullmatch(partial.name)
    return found["target"] if found else None


@contextmanager
def _beating(partial: Path) -> Iterator[None]:
    """Give a file the storage's time now and then, so that nobody takes it for left while its writer computes."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            with suppress(OSError):
                os.utime(partial)

    threading.Thread(target=beat, name="beat", daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _remove_leftovers(partial: Path) -> None:
    """Remove what is left in the folder of a file that is not begun yet."""
    now: float | None = None
    for other in partial.parent.iterdir():
        found = PARTIAL.fullmatch(other.name)
        if found is None:
            continue
        with suppress(OSError):  # such as gone in the meantime, or of another user
            if found["system"] == _system() != UNKNOWN:
                is_left = _started(int(found["process"])) not in (found["started"], "")
            else:
                now = _storage_time(partial) if now is None else now
                is_left = other.stat().st_mtime < now - LEFTOVER_SECONDS
            if is_left:
                other.unlink()


def _storage_time(probe: Path) -> float:
    """Read the clock of the storage, which may be another machine's, from a file that is made for it."""
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _writer() -> str:
    return f"{_system()}-{os.getpid()}-{_started(os.getpid()) or 0}"


@cache
def _system() -> str:
    """Identify the space of process numbers: host, boot and container; `UNKNOWN` where Linux does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        numbers = Path("/proc/self/ns/pid").readlink()
        if Path("/proc/self").readlink().name != str(os.getpid()):
            return UNKNOWN  # /proc is that of another container
    except OSError:
        return UNKNOWN
    return hashlib.sha256(f"{socket.gethostname()} {boot} {numbers}".encode()).hexdigest()[:12]


def _started(process: int) -> str | None:
    """Say when a process of this system began, since its number may be given again; "" where that is hidden.

    None where there is no such process. The unit is the kernel's (proc(5), `starttime` of `stat`).
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
