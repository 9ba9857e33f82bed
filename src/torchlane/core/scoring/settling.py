"""Which files of an inbox are ready to be scored: settled, readable, and not scored before."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

from torchlane.core.options import PredictionOptions
from torchlane.core.scoring.archiving import archive
from torchlane.core.scoring.contracts import Inbox, InboxFile, Ledger, Sighting
from torchlane.core.scoring.failures import FilesFailedError
from torchlane.core.scoring.run_report import RunReport

logger = logging.getLogger(__name__)

TOGETHER = 256  # files that are recorded at once, at most


def settled_files(
    inbox: Inbox, ledger: Ledger, listed: list[InboxFile], options: PredictionOptions, report: RunReport
) -> Iterator[tuple[str, str]]:
    """Yield checksum and name of each file that may be scored, and record the others in the ledger."""
    ledger.forget(file.name for file in listed)
    sightings = ledger.sightings()
    contents: dict[str, tuple[str, str]] = {}  # checksum and state by name
    new: list[tuple[InboxFile, Sighting | None]] = []
    for file in listed:
        known = sightings.get(file.name)
        known = known if known is not None and known.stamp == file.stamp else None
        if file.refusal:
            if known is None:
                ledger.refuse(file)
                logger.error("%s is not opened: %s", file.name, file.refusal)
                report.errors.append(FilesFailedError(f"{file.name}: {file.refusal}"))
        elif known is None or not known.checksum:
            new.append((file, known))
        else:
            contents[file.name] = known.checksum, known.state
    for start in range(0, len(new), TOGETHER):
        contents |= _register(inbox, ledger, new[start : start + TOGETHER], options.settle_seconds, report)
    for file in listed:
        if file.name not in contents:
            continue
        checksum, state = contents[file.name]
        if state in ("done", "copy"):
            archive(inbox, file, checksum, options)
        else:
            yield checksum, file.name


def _register(
    inbox: Inbox,
    ledger: Ledger,
    files: Iterable[tuple[InboxFile, Sighting | None]],
    settle_seconds: float,
    report: RunReport,
) -> dict[str, tuple[str, str]]:
    """Give checksum and state, by name, of the files that have settled and can be read."""
    now = ledger.now()
    waiting: list[InboxFile] = []
    settled: list[tuple[InboxFile, str]] = []
    for file, known in files:
        if not _has_settled(file, known, now, settle_seconds):
            waiting.append(file)
            continue
        try:
            checksum = inbox.checksum(file)
        except FileNotFoundError:  # another job may have moved it to its archive
            continue
        except OSError as error:
            ledger.refuse(replace(file, refusal=f"cannot be read: {error}"))
            report.errors.append(FilesFailedError(f"{file.name} cannot be read: {error}"))
            continue
        if inbox.unchanged(file):
            settled.append((file, checksum))
        else:
            waiting.append(file)
    if waiting:
        ledger.wait(waiting)
        report.waiting += len(waiting)
    states = ledger.register(settled) if settled else []
    for (file, _), state in zip(settled, states, strict=True):
        if state == "copy":
            report.copies += 1
            logger.info("%s has the content of another file and is not scored again", file.name)
    return {file.name: (checksum, state) for (file, checksum), state in zip(settled, states, strict=True)}


def _has_settled(file: InboxFile, known: Sighting | None, now: datetime, settle_seconds: float) -> bool:
    """Say whether the file is old enough, or was seen unchanged for long enough, to be complete.

    A clock that was set back must not keep a file waiting. A modification time in the future is therefore
    ignored, and the time since a sighting is taken without its sign.
    """
    if settle_seconds <= 0:
        return True
    age = now.replace(tzinfo=UTC).timestamp() - file.modified if file.modified is not None else -1.0
    seen = abs((now - known.seen).total_seconds()) if known is not None else 0.0
    return age >= settle_seconds or seen >= settle_seconds
