"""Every good row of every file in an inbox, scored exactly once.

A ledger says what became of each file; a job claims one, scores it chunk by chunk, and only while
the claim is still its own do the predictions take their place.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from queue import Empty, Full, Queue
from typing import Any, Protocol

import pyarrow as pa
import torch

from torchlane.core.model.trained import COVERAGE, TrainedModel
from torchlane.core.options import PredictionOptions
from torchlane.core.rows.raw_rows import Chunk
from torchlane.core.scoring import drift
from torchlane.core.scoring.chunks import ChunkScorer, Scored
from torchlane.core.scoring.failures import (
    CouldNotStartError,
    DriftError,
    FilesFailedError,
    ScoringError,
    TooManyRejectedError,
)

logger = logging.getLogger(__name__)

AHEAD = 2  # chunks that may wait before scoring, and before writing
MOST_WORKERS = 4  # threads that score; each holds a chunk


class ClaimLostError(Exception):
    """Another job has taken the file up, since this one did not renew its claim in time."""


class FileChangedError(Exception):
    """The file is not the one that was claimed any more."""


@dataclass(frozen=True)
class InboxFile:
    """A file in the inbox: `name` is relative to it, `stamp` changes when the content may have."""

    name: str
    size: int
    modified: float | None  # seconds since 1970, where the file system knows
    stamp: str
    refusal: str = ""  # why it is not even opened


@dataclass(frozen=True)
class Sighting:
    """What the ledger knows of a name: when it was first seen as it is now, and what it holds."""

    stamp: str
    seen: datetime
    checksum: str  # "" while it waits to settle
    state: str


@dataclass(frozen=True)
class Claim:
    """A content that this job alone may score, as long as it renews its lease.

    It is read under `name`, but its output is named after the `first_name` it had, so that every attempt
    writes to the same place.
    """

    key: int
    name: str
    first_name: str
    checksum: str
    attempts: int


@dataclass(frozen=True)
class Result:
    """What became of a file that was read to its end."""

    rows_read: int
    rows_scored: int
    rows_rejected: int
    model: str
    output: str
    seconds: float
    note: str = ""
    drift: dict[str, Any] = field(default_factory=dict)


class Table(Protocol):
    """An open file: its columns, and its rows chunk by chunk."""

    names: list[str]

    def chunks(self, features: Iterable[str], keys: Iterable[str]) -> Iterator[Chunk]:
        """Read the features and keys of all rows."""


class Inbox(Protocol):
    """A folder that files arrive in."""

    place: str

    def files(self) -> list[InboxFile]:
        """List what is there now."""

    def checksum(self, file: InboxFile) -> str:
        """Give the SHA-256 of the content."""

    def open(self, file: InboxFile) -> AbstractContextManager[Table]:
        """Open a file; raises ValueError or OSError where it cannot be read as a table."""

    def unchanged(self, file: InboxFile) -> bool:
        """Say whether the file is still as it was listed."""

    def move(self, file: InboxFile, checksum: str, folder: str) -> None:
        """Move a file out of the inbox."""


class Ledger(Protocol):
    """What became of each file, in a database that several jobs share."""

    def now(self) -> datetime:
        """Give the time of the clock that all jobs go by (UTC)."""

    def sightings(self) -> dict[str, Sighting]:
        """Give what is known of each name."""

    def wait(self, file: InboxFile) -> None:
        """Note a file that has not settled."""

    def refuse(self, file: InboxFile) -> None:
        """Note a file that is never opened."""

    def register(self, file: InboxFile, checksum: str) -> str:
        """Note a content under a name; give its state, or `copy` where another name has it."""

    def forget(self, present: Iterable[str]) -> None:
        """Drop what waited to settle and is gone."""

    def claim(self, present: Mapping[str, list[str]], options: PredictionOptions) -> Claim | None:
        """Claim one of the contents present (by checksum, with the names it has), if one is free."""

    def renew(self, claim: Claim) -> bool:
        """Extend the lease; False where the claim is lost."""

    def finish(self, claim: Claim, result: Result, publish: Callable[[], None]) -> None:
        """Put the outputs in place and record it, in one transaction that only the claim's owner can make."""

    def fail(self, claim: Claim, error: str, *, counts: bool = True) -> None:
        """Set a file aside with the reason; where it does not count, the attempt was not the file's fault."""

    def claimed(self) -> list[tuple[str, str]]:
        """List first name and checksum of the contents that jobs are at work on."""

    def entries(self) -> list[dict[str, Any]]:
        """List what became of each file."""

    def note(self, name: str) -> str | None:
        """Give what an earlier run has noted."""

    def write_note(self, name: str, content: str) -> None:
        """Note something for later runs."""

    def latest_drift(self) -> list[dict[str, Any]]:
        """List what was measured for the files that were scored last, oldest first."""


class Writer(Protocol):
    """The outputs of one file on their way."""

    def write(self, predictions: pa.Table, rejected: pa.Table) -> None:
        """Append a chunk."""

    def close(self) -> None:
        """Write all to the disk, still beside its place."""

    def publish(self) -> None:
        """Put it in place."""


class PredictionStore(Protocol):
    """The folder that predictions are written to."""

    def writer(self, name: str, checksum: str) -> AbstractContextManager[Writer]:
        """Open the outputs of a file; what is not published is dropped."""

    def output_name(self, name: str, checksum: str) -> str:
        """Name the predictions of a file."""

    def sweep(self, at_work: Callable[[], set[str]]) -> None:
        """Remove what killed jobs left half-written, but for the outputs that jobs are at work on."""

    def read(self, output: str) -> Iterator[pa.Table]:
        """Read predictions by their name, chunk by chunk; raises OSError where they are gone."""


@dataclass
class _Outcome:
    """What a run did; `errors` hold what a scheduler must hear of."""

    files: list[dict[str, Any]] = field(default_factory=list)
    waiting: int = 0
    copies: int = 0
    errors: list[ScoringError] = field(default_factory=list)


def score_inbox(
    inbox: Inbox,
    ledger: Ledger,
    predictions: PredictionStore,
    model: TrainedModel,
    options: PredictionOptions,
    coverage: float = COVERAGE,
) -> dict[str, Any]:
    """Score each file that has settled, is no copy and is claimed by no other job.

    Intervals are made to cover `coverage` of new rows.
    The result has `files` (each with `state`, and `rows` or `error`), how many are `copies` or
    `waiting` to settle, and `errors`: exit status and message of each.

    Raises:
        CouldNotStartError: the inbox cannot be listed, or the ledger not be read or written.
    """
    outcome = _Outcome()
    predictions.sweep(lambda: {predictions.output_name(*claimed) for claimed in ledger.claimed()})
    try:
        listed = inbox.files()
    except OSError as error:
        raise CouldNotStartError(f"the inbox cannot be listed: {error}") from error
    files = {file.name: file for file in listed}
    present: dict[str, list[str]] = {}
    for checksum, name in _settled(inbox, ledger, listed, options, outcome):
        present.setdefault(checksum, []).append(name)
    outcome.copies += sum(len(names) - 1 for names in present.values())
    scorer = ChunkScorer(model, options.keys, coverage)
    while (claim := ledger.claim(present, options)) is not None:
        job = _Job(inbox, ledger, predictions, scorer, options, claim, files[claim.name])
        job.run(outcome)
        if any(isinstance(error, DriftError) for error in outcome.errors):
            break
    _log(outcome, inbox)
    errors = [{"exit_status": error.exit_status, "message": str(error)} for error in outcome.errors]
    return {"files": outcome.files, "waiting": outcome.waiting, "copies": outcome.copies, "errors": errors}


def _settled(
    inbox: Inbox, ledger: Ledger, listed: list[InboxFile], options: PredictionOptions, outcome: _Outcome
) -> Iterator[tuple[str, str]]:
    """Give checksum and name of each content that may be scored, and note the rest in the ledger."""
    ledger.forget(file.name for file in listed)
    sightings = ledger.sightings()
    for file in listed:
        known = sightings.get(file.name)
        known = known if known is not None and known.stamp == file.stamp else None
        if file.refusal:
            if known is None:
                ledger.refuse(file)
                logger.error("%s is not opened: %s", file.name, file.refusal)
                outcome.errors.append(FilesFailedError(f"{file.name}: {file.refusal}"))
            continue
        if known is None or not known.checksum:
            if not _has_settled(file, known, ledger.now(), options.settle_seconds):
                ledger.wait(file)
                outcome.waiting += 1
                continue
            try:
                checksum = inbox.checksum(file)
            except FileNotFoundError:  # gone, perhaps into the archive of another job
                continue
            except OSError as error:
                ledger.refuse(replace(file, refusal=f"cannot be read: {error}"))
                outcome.errors.append(FilesFailedError(f"{file.name} cannot be read: {error}"))
                continue
            if not inbox.unchanged(file):
                ledger.wait(file)
                outcome.waiting += 1
                continue
            state = ledger.register(file, checksum)
            if state == "copy":
                outcome.copies += 1
                logger.info("%s has the content of another file and is not scored again", file.name)
        else:
            checksum, state = known.checksum, known.state
        if state in ("done", "copy"):
            _archive(inbox, file, checksum, options)
        else:
            yield checksum, file.name


def _has_settled(file: InboxFile, known: Sighting | None, now: datetime, settle_seconds: float) -> bool:
    """Say whether nobody writes the file any more, by its age or by how long it was seen unchanged.

    A clock that was set back must not keep a file waiting: a time that lies ahead says nothing, and
    a sighting counts by its distance.
    """
    if settle_seconds <= 0:
        return True
    age = now.replace(tzinfo=UTC).timestamp() - file.modified if file.modified is not None else -1.0
    seen = abs((now - known.seen).total_seconds()) if known is not None else 0.0
    return age >= settle_seconds or seen >= settle_seconds


def _archive(inbox: Inbox, file: InboxFile, checksum: str, options: PredictionOptions) -> None:
    if options.archive is None or not inbox.unchanged(file):
        return
    try:
        inbox.move(file, checksum, options.archive)
    except OSError as error:  # it is scored all the same; the next run tries again
        logger.warning("%s cannot be moved to %s: %s", file.name, options.archive, error)


class _Job:
    """The scoring of one claimed file."""

    def __init__(
        self,
        inbox: Inbox,
        ledger: Ledger,
        predictions: PredictionStore,
        scorer: ChunkScorer,
        options: PredictionOptions,
        claim: Claim,
        file: InboxFile,
    ):
        self._inbox, self._ledger, self._predictions = inbox, ledger, predictions
        self._scorer, self._options, self._claim, self._file = scorer, options, claim, file

    def run(self, outcome: _Outcome) -> None:
        """Score the file, or set it aside with the reason; the others go on."""
        name = self._file.name
        try:
            with _renewed(self._ledger, self._claim, self._options.lease_seconds) as require_claim:
                result = self._score(require_claim)
        except ClaimLostError:
            logger.warning("%s was taken up by another job, since this one was silent for too long", name)
        except (FileChangedError, FileNotFoundError):
            self._ledger.fail(self._claim, "it changed or was gone while it was read", counts=False)
            outcome.waiting += 1
        except DriftError as error:
            self._fail(outcome, str(error), error)
        except _WritingError as error:
            reason = f"its predictions cannot be written: {error}"
            self._fail(outcome, reason, FilesFailedError(f"{name}: {reason}"), counts=False)
        except ScoringError:
            raise
        except Exception as error:  # one file never keeps the others from being scored
            reason = _explain(error)
            logger.debug("%s", name, exc_info=error)
            self._fail(outcome, reason, FilesFailedError(f"{name}: {reason}"))
        except BaseException as error:  # such as a signal; the next run takes the file up at once
            with suppress(ScoringError):
                self._ledger.fail(self._claim, str(error) or type(error).__name__, counts=False)
            raise
        else:
            self._succeed(outcome, result)

    def _score(self, require_claim: Callable[[], None]) -> Result:
        started = time.perf_counter()
        scorer, claim = self._scorer, self._claim
        scored_at = self._ledger.now()
        profile = drift.Counts(scorer.profile)
        read = rejected = 0
        with (
            self._inbox.open(self._file) as table,
            self._predictions.writer(claim.first_name, claim.checksum) as writer,
            _writing(writer) as write,
        ):
            unknown = scorer.check_columns(table.names)
            is_empty = True
            for scored in _scored(scorer, _ahead(table.chunks(scorer.features, self._options.keys))):
                require_claim()
                read += scored.rows_read
                rejected += scored.rows_rejected
                profile.add(scored.counts)
                write(*_tables(scored, scorer.model.fingerprint, scored_at))
                is_empty = False
            if is_empty:  # its predictions have a header too
                write(*_tables(scorer.nothing, scorer.model.fingerprint, scored_at))
            write.wait()
            if not self._inbox.unchanged(self._file):
                raise FileChangedError
            measured = profile.measure(self._options.drift)
            if measured["beyond"] and self._options.drift.action == "stop":
                raise DriftError(f"{self._file.name} has drifted: {'; '.join(measured['beyond'])}")
            result = Result(
                rows_read=read,
                rows_scored=read - rejected,
                rows_rejected=rejected,
                model=scorer.model.fingerprint,
                output=self._predictions.output_name(claim.first_name, claim.checksum),
                seconds=time.perf_counter() - started,
                note=f"ignored, since not declared: {', '.join(unknown)}" if unknown else "",
                drift=measured,
            )
            require_claim()
            self._ledger.finish(claim, result, lambda: _publish(writer))
        return result

    def _succeed(self, outcome: _Outcome, result: Result) -> None:
        name = self._file.name
        logger.info(
            "%s: %d rows scored, %d rejected, %.0f rows/s, in %s%s",
            name,
            result.rows_scored,
            result.rows_rejected,
            result.rows_read / max(result.seconds, 1e-9),
            result.output,
            f"; {result.note}" if result.note else "",
        )
        for finding in result.drift["beyond"]:
            logger.warning("%s has drifted: %s", name, finding)
        outcome.files.append({"file": name, "output": result.output, "state": "done", "rows": result.rows_scored})
        if result.rows_rejected > self._options.max_rejected_fraction * result.rows_read:
            outcome.errors.append(
                TooManyRejectedError(
                    f"{result.rows_rejected} of {result.rows_read} rows of {name} are rejected, more than "
                    f"prediction.max_rejected_fraction {self._options.max_rejected_fraction:g} allows; "
                    f"the others are scored"
                )
            )
        _archive(self._inbox, self._file, self._claim.checksum, self._options)

    def _fail(self, outcome: _Outcome, reason: str, error: ScoringError, *, counts: bool = True) -> None:
        self._ledger.fail(self._claim, reason, counts=counts)
        attempts = f"attempt {self._claim.attempts} of {self._options.max_attempts}" if counts else "to be tried again"
        logger.error("%s is set aside, %s: %s", self._file.name, attempts, reason)
        outcome.files.append({"file": self._file.name, "state": "failed", "error": reason})
        outcome.errors.append(error)


class _WritingError(Exception):
    """The outputs cannot be written, which is no fault of the file."""


def _explain(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, OSError, pa.ArrowException)) and text:
        return text
    return f"{type(error).__name__}: {text} (--debug shows where)"


def _publish(writer: Writer) -> None:
    try:
        writer.publish()
    except OSError as error:
        raise _WritingError(str(error)) from error


def _tables(scored: Scored, model: str, scored_at: datetime) -> tuple[pa.Table, pa.Table]:
    """Add model and time to the predictions of a chunk."""
    n_rows = scored.predictions.num_rows
    when = f"{scored_at.isoformat(timespec='seconds')}Z"
    predictions = scored.predictions.append_column("model", pa.repeat(model[:12], n_rows))
    return predictions.append_column("scored_at", pa.repeat(when, n_rows)), scored.rejected


@contextmanager
def _renewed(ledger: Ledger, claim: Claim, lease_seconds: float) -> Iterator[Callable[[], None]]:
    """Renew the lease in a thread; what it gives raises `ClaimLostError` once that failed."""
    ended, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not ended.wait(lease_seconds / 3):
            try:
                if not ledger.renew(claim):
                    lost.set()
                    return
            except Exception as error:  # the database may be back in time for the next try
                logger.warning("the claim on %s could not be renewed: %s", claim.name, error)

    def require_claim() -> None:
        if lost.is_set():
            raise ClaimLostError

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield require_claim
    finally:
        ended.set()
        thread.join()


def _ahead(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Read in a thread, at most `AHEAD` chunks before they are scored."""
    queue: Queue[Any] = Queue(AHEAD)
    ended = threading.Event()

    def read() -> None:
        try:
            for chunk in chunks:
                if not _put(queue, chunk, ended):
                    return
            _put(queue, None, ended)
        except BaseException as error:
            _put(queue, error, ended)

    thread = threading.Thread(target=read, name="read", daemon=True)
    thread.start()
    try:
        while (item := queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        ended.set()
        thread.join()


def _scored(scorer: ChunkScorer, chunks: Iterator[Chunk]) -> Iterator[Scored]:
    """Score in threads, in order; torch itself uses one each, which disturbs reading and writing least."""
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    pending: deque[Future[Scored]] = deque()
    with _one_thread_for_torch(), ThreadPoolExecutor(workers, "score") as pool:
        try:
            for chunk in chunks:
                pending.append(pool.submit(scorer.score, chunk))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def _one_thread_for_torch() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _put(queue: "Queue[Any]", item: Any, ended: threading.Event) -> bool:
    while not ended.is_set():
        try:
            queue.put(item, timeout=0.1)
            return True
        except Full:
            continue
    return False


class _BackgroundWriter:
    """Writes in a thread, at most `AHEAD` chunks behind the scoring."""

    def __init__(self, writer: Writer):
        self._writer = writer
        self._queue: Queue[tuple[pa.Table, pa.Table] | None] = Queue(AHEAD)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="write", daemon=True)
        self._thread.start()

    def __call__(self, predictions: pa.Table, rejected: pa.Table) -> None:
        self._raise()
        self._queue.put((predictions, rejected))

    def wait(self) -> None:
        """Wait until all is on the disk."""
        self.stop()
        self._raise()

    def stop(self) -> None:
        """End the thread after what it has."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def discard(self) -> None:
        """Drop what is not written yet."""
        try:
            while True:
                self._queue.get_nowait()
        except Empty:
            self.stop()

    def _run(self) -> None:
        while (tables := self._queue.get()) is not None:
            if self._error is None:
                self._attempt(lambda tables=tables: self._writer.write(*tables))  # type: ignore[misc]
        if self._error is None:
            self._attempt(self._writer.close)

    def _attempt(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException as error:
            self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise _WritingError(str(self._error)) from self._error


@contextmanager
def _writing(writer: Writer) -> Iterator[_BackgroundWriter]:
    write = _BackgroundWriter(writer)
    try:
        yield write
    finally:
        write.discard()


def _log(outcome: _Outcome, inbox: Inbox) -> None:
    done = [file for file in outcome.files if file["state"] == "done"]
    logger.info(
        "%s: %d files scored with %d rows, %d set aside, %d copies, %d waiting to settle",
        inbox.place,
        len(done),
        sum(file["rows"] for file in done),
        len(outcome.files) - len(done),
        outcome.copies,
        outcome.waiting,
    )
