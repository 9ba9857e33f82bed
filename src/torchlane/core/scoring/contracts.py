"""What scoring needs from an inbox, a ledger and a store of predictions, and the records they exchange."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import pyarrow as pa

from torchlane.core.options import PredictionOptions
from torchlane.core.rows.raw_rows import Chunk


class ClaimLostError(Exception):
    """Another job has taken over the file, because this one did not renew its lease in time."""


class WritingError(Exception):
    """The outputs cannot be written; the file that is scored is not to blame."""


@dataclass(frozen=True)
class InboxFile:
    """A file in the inbox; its name is relative to the folder."""

    name: str
    size: int
    modified: float | None  # seconds since 1970; None if the file system does not record it
    stamp: str  # changes whenever the content may have changed
    refusal: str = ""  # why the file is never opened; "" if it may be


@dataclass(frozen=True)
class Sighting:
    """What the ledger knows about a file name."""

    stamp: str
    seen: datetime  # when the file was first seen with this stamp
    checksum: str  # of the content; "" while the file is settling
    state: str


@dataclass(frozen=True)
class Claim:
    """The right to score a content, which belongs to one job as long as that job renews its lease.

    The content is read under `name`. Its output is named after `first_name`, the first name the content
    had, so that every attempt writes to the same place.
    """

    key: int
    name: str
    first_name: str
    checksum: str
    attempts: int
    started: datetime  # when it was claimed, by the clock that all jobs share


@dataclass(frozen=True)
class Result:
    """What a job found out about a file that was scored; the ledger keeps it, with the warnings in the note."""

    rows_read: int
    rows_scored: int
    rows_rejected: int
    model: str
    output: str
    seconds: float
    note: str = ""
    warnings: tuple[str, ...] = ()
    reason: str = ""  # why a row was rejected, the first one
    drift: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """A claimed file that is scored: its result, and how its outputs get to their final place."""

    claim: Claim
    result: Result
    publish: Callable[[], None]  # raises WritingError


@dataclass(frozen=True)
class Predictions:
    """The predictions of a chunk: columns that each row has of its own, and those that equal rows share.

    `index` has the place of each row's prediction in `shared`, int64 (n_rows,).
    """

    own: pa.Table
    shared: pa.Table
    index: pa.Array

    def with_constants(self, **texts: str) -> "Predictions":
        """Add columns that have the same text in every row."""
        shared = self.shared
        for name, text in texts.items():
            shared = shared.append_column(name, pa.repeat(text, len(shared)))
        return Predictions(self.own, shared, self.index)

    def table(self) -> pa.Table:
        """Give all columns of all rows."""
        taken = self.shared.take(self.index)
        return pa.table([*self.own.columns, *taken.columns], names=[*self.own.column_names, *taken.column_names])


class Table(Protocol):
    """An open file: its column names, a remark on why columns may be missing, and its rows in chunks."""

    names: list[str]
    remark: str

    def chunks(self, features: Iterable[str], keys: Iterable[str]) -> Iterator[Chunk]:
        """Read the features and keys of all rows."""


class Inbox(Protocol):
    """A folder that files arrive in."""

    place: str

    def files(self) -> list[InboxFile]:
        """List the files that are in the folder now; raises OSError if that fails."""

    def checksum(self, file: InboxFile) -> str:
        """Return the SHA-256 of the content."""

    def open(self, file: InboxFile) -> AbstractContextManager[Table]:
        """Open a file; raises ValueError or OSError if it cannot be read as a table."""

    def unchanged(self, file: InboxFile) -> bool:
        """Say whether the file is still as it was listed."""

    def move(self, file: InboxFile, checksum: str, folder: str) -> None:
        """Move a file out of the inbox."""


class Ledger(Protocol):
    """The state of each file, in a database that several jobs share."""

    def now(self) -> datetime:
        """Return the time (UTC) of the clock that all jobs share."""

    def sightings(self) -> dict[str, Sighting]:
        """Return what is known about each file name."""

    def wait(self, files: Sequence[InboxFile]) -> None:
        """Record that files have not settled yet."""

    def refuse(self, file: InboxFile) -> None:
        """Record that a file is never opened, with the reason."""

    def register(self, files: Sequence[tuple[InboxFile, str]]) -> list[str]:
        """Record files with their checksums; give the state of each content, or `copy` if it has another name."""

    def forget(self, present: Iterable[str]) -> None:
        """Delete the records of unsettled and refused files that are no longer present."""

    def claim(self, present: Mapping[str, list[str]], options: PredictionOptions) -> list[Claim]:
        """Claim one of the contents present (checksum to names), or several small ones; none if none is free."""

    def renew(self, claim: Claim) -> bool:
        """Extend the lease; return False if the claim is lost."""

    def finish(self, files: Sequence[Finished]) -> list[ClaimLostError | WritingError | None]:
        """Publish the outputs of files and record their results, in one transaction.

        The result has the reason for each file that is not recorded, as if it had not been among them.
        """

    def fail(self, claim: Claim, error: str, *, counts: bool = True) -> None:
        """Set a file aside with the reason; `counts=False` if the file itself is not to blame."""

    def claimed(self) -> list[tuple[str, str]]:
        """List first name and checksum of the contents that are being scored."""

    def entries(self) -> list[dict[str, Any]]:
        """List the record of each file."""

    def note(self, name: str) -> str | None:
        """Return the note that an earlier run left under a name."""

    def write_note(self, name: str, content: str) -> None:
        """Leave a note for later runs."""

    def latest_drift(self) -> list[dict[str, Any]]:
        """List the drift of the files that were scored last, oldest first."""


class Writer(Protocol):
    """The outputs of one file while they are written."""

    def write(self, predictions: Predictions, rejected: pa.Table) -> None:
        """Append a chunk."""

    def close(self) -> None:
        """Write everything to the disk, under a temporary name."""

    def publish(self) -> None:
        """Move the outputs to their final place."""


class PredictionStore(Protocol):
    """The folder that predictions are written to."""

    def writer(self, name: str, checksum: str) -> AbstractContextManager[Writer]:
        """Open the outputs of a file; on exit, outputs that were not published are deleted."""

    def output_name(self, name: str, checksum: str) -> str:
        """Return the name of the predictions of a file."""

    def sweep(self, at_work: Callable[[], set[str]]) -> None:
        """Delete what killed jobs left half-written, except the outputs `at_work()` of running jobs."""

    def read(self, output: str) -> Iterator[pa.Table]:
        """Read predictions by their name, in chunks; raises OSError if they no longer exist."""
