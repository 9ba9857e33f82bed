"""Files that are replaced in one step, so that no reader sees an incomplete one."""

import hashlib
import os
import re
import socket
import stat
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

BEAT_SECONDS = 3600  # between updates of the time of a file that is being written
LEFTOVER_SECONDS = 7 * 24 * 3600  # without an update, after which another machine's file counts as abandoned
UNKNOWN = "0" * 12
PARTIAL = re.compile(
    r"\.partial-(?:(?P<system>[0-9a-f]{12})-(?P<process>\d{1,9})-(?P<started>\d+)|\d+)-[0-9a-f]{8}-(?P<target>.+)",
    re.DOTALL,
)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a path in the same folder to write to; at the end that file replaces `path` in one step.

    After an error, or if the process is killed at any time, `path` has its previous content. With `durable`
    this holds for a power failure too, at the cost of waiting for the disk. The name to write to has the
    same suffix as `path`, for writers that depend on it.

    The next write removes files that killed processes left in the folder. A file of this system is removed
    as soon as its process is gone. Processes of another machine or container cannot be seen, so their files
    are removed once their time has not been updated for a week by the clock of the storage.

    The new file has the mode that `open` would have left: that of the file that it replaces, otherwise what the
    umask of the process, or the folder's default access list, allows.

    Raises:
        OSError: the file that was written to is gone; `path` has its previous content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{_writer()}-{uuid.uuid4().hex[:8]}-{path.name}")
    _remove_leftovers(partial)
    mode = _mode_of(path, partial)
    try:
        with _beating(partial):
            yield partial
        try:
            with partial.open("rb") as written:
                partial.chmod(mode)  # safetensors makes a file that only its owner may read
                if durable:
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
    """Give the name of the file that a partial file will replace; None if it is not a partial file."""
    found = PARTIAL.fullmatch(partial.name)
    return found["target"] if found else None


@contextmanager
def _beating(partial: Path) -> Iterator[None]:
    """Update the time of a file regularly, so that it does not count as abandoned while its writer computes."""
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
    """Remove abandoned files from the folder of `partial`, which does not exist yet."""
    now: float | None = None
    with os.scandir(partial.parent) as entries:  # to make a Path of each of many thousand would take long
        names = [entry.name for entry in entries if entry.name.startswith(".partial-")]
    own = f".partial-{_writer()}-"
    for name in names:
        found, other = PARTIAL.fullmatch(name), partial.with_name(name)
        if found is None or name.startswith(own):
            continue
        with suppress(OSError):  # it may be gone by now, or belong to another user
            if found["system"] == _system() != UNKNOWN:
                is_left = _started(int(found["process"])) not in (found["started"], "")
            else:
                now = _storage_time(partial) if now is None else now
                is_left = other.stat().st_mtime < now - LEFTOVER_SECONDS
            if is_left:
                other.unlink()


def _storage_time(probe: Path) -> float:
    """Read the clock of the storage, which may be on another machine, from a temporary file."""
    return _stat_of_new(probe).st_mtime


def _mode_of(path: Path, probe: Path) -> int:
    """Return the mode of `path`, or, if it does not exist, that of a new file in its folder."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return stat.S_IMODE(_stat_of_new(probe).st_mode)


def _stat_of_new(probe: Path) -> os.stat_result:
    """Make a file, and remove it."""
    probe.touch()
    try:
        return probe.stat()
    finally:
        probe.unlink()


def _writer() -> str:
    return f"{_system()}-{os.getpid()}-{_started(os.getpid()) or 0}"


@cache
def _system() -> str:
    """Identify the host, boot and container that process numbers belong to; `UNKNOWN` if Linux does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        numbers = Path("/proc/self/ns/pid").readlink()
        if Path("/proc/self").readlink().name != str(os.getpid()):
            return UNKNOWN  # /proc belongs to another container
    except OSError:
        return UNKNOWN
    return hashlib.sha256(f"{socket.gethostname()} {boot} {numbers}".encode()).hexdigest()[:12]


def _started(process: int) -> str | None:
    """Give the start time of a process of this system, which tells apart processes that reuse a number.

    The result is "" if the time cannot be read, and None if there is no such process. The unit is the
    kernel's (proc(5), `starttime` of `stat`).
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
