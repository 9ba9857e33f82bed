"""Which files of an inbox are ready to be scored: settled, readable, and not scored before."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from torchlane.core.options import PredictionOptions
from torchlane.core.scoring.archiving import archive
from torchlane.core.scoring.contracts import Inbox, InboxFile, Ledger, Sighting
from torchlane.core.scoring.failures import FilesFailedError
from torchlane.core.scoring.run_report import RunReport

logger = logging.getLogger(__name__)


def settled_files(
    inbox: Inbox, ledger: Ledger, listed: list[InboxFile], options: PredictionOptions, report: RunReport
) -> Iterator[tuple[str, str]]:
    """Yield checksum and name of each file that may be scored, and record the others in the ledger."""
    ledger.forget(file.name for file in listed)
    sightings = ledger.sightings()
    for file in listed:
        known = sightings.get(file.name)
        known = known if known is not None and known.stamp == file.stamp else None
        if file.refusal:
            if known is None:
                ledger.refuse(file)
                logger.error("%s is not opened: %s", file.name, file.refusal)
                report.errors.append(FilesFailedError(f"{file.name}: {file.refusal}"))
            continue
        if known is None or not known.checksum:
            registered = _register(inbox, ledger, file, known, options.settle_seconds, report)
            if registered is None:
                continue
            checksum, state = registered
        else:
            checksum, state = known.checksum, known.state
        if state in ("done", "copy"):
            archive(inbox, file, checksum, options)
        else:
            yield checksum, file.name


def _register(
    inbox: Inbox, ledger: Ledger, file: InboxFile, known: Sighting | None, settle_seconds: float, report: RunReport
) -> tuple[str, str] | None:
    """Return checksum and state of a file that has settled; None if it has to wait or cannot be read."""
    if not _has_settled(file, known, ledger.now(), settle_seconds):
        ledger.wait(file)
        report.waiting += 1
        return None
    try:
        checksum = inbox.checksum(file)
    except FileNotFoundError:  # another job may have moved it to its archive
        return None
    except OSError as error:
        ledger.refuse(replace(file, refusal=f"cannot be read: {error}"))
        report.errors.append(FilesFailedError(f"{file.name} cannot be read: {error}"))
        return None
    if not inbox.unchanged(file):
        ledger.wait(file)
        report.waiting += 1
        return None
    state = ledger.register(file, checksum)
    if state == "copy":
        report.copies += 1
        logger.info("%s has the content of another file and is not scored again", file.name)
    return checksum, state


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
