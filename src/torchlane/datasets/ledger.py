"""The state of each file of an inbox, in SQLite or PostgreSQL."""

import socket
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import sqlalchemy as sql
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview
from sqlalchemy.exc import SQLAlchemyError

from torchlane.core.options import PredictionOptions
from torchlane.core.scoring.contracts import Claim, ClaimLostError, Finished, InboxFile, Sighting, WritingError
from torchlane.core.scoring.failures import CouldNotStartError
from torchlane.datasets.in_words import preview_entries
from torchlane.datasets.ledger_claims import Claims
from torchlane.datasets.ledger_database import LedgerDatabase, in_one_line, storable
from torchlane.datasets.ledger_tables import CONTENTS, FILES, NOTES, insert

LATEST = 50  # files in `drift.json`
SHOWN = 100  # entries in a preview
COLUMNS = ("name", "state", "rows_read", "rows_scored", "rows_rejected", "arrived", "ended", "output", "error")


class LedgerDataset(AbstractDataset[NoReturn, "SQLLedger"]):
    """A database; loading it returns a ledger that the scoring writes to.

    Args:
        use_case: whose files the ledger is about; several use cases may share a database.
        path: of an SQLite file, which needs no server but serves one machine only.
        url: for SQLAlchemy, to SQLite or PostgreSQL; no other database is known to score each row once.
        credentials: a dict whose `url` replaces `url`, so that no password is in the catalog.
        metadata: for other tools, such as Kedro-Viz.
    """

    def __init__(
        self,
        *,
        use_case: str,
        path: str = "",
        url: str = "",
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        self._use_case = use_case
        url = (credentials or {}).get("url", url)
        if path and url:
            raise DatasetError(
                f"the ledger of {use_case} has both path and url; set either path or url in its catalog entry"
            )
        self._url: str | sql.URL = sql.URL.create("sqlite", database=path) if path else url
        self.metadata = metadata

    def load(self) -> "SQLLedger":
        try:
            return SQLLedger(self._url, self._use_case)
        except (CouldNotStartError, SQLAlchemyError, ImportError, OSError) as error:
            place = self._describe()["url"]
            raise DatasetError(f"the ledger {place} cannot be opened: {in_one_line(error)}") from error

    def save(self, data: NoReturn) -> None:
        raise DatasetError("the ledger is written during scoring, through the object that load() returns")

    def preview(self) -> TablePreview:
        """Show the latest files in an SQLite ledger that exists; a server is not asked."""
        url = sql.make_url(self._url)
        there = url.get_backend_name() == "sqlite" and url.database is not None and Path(url.database).exists()
        entries = self.load().entries()[-SHOWN:][::-1] if there else []
        return preview_entries(entries, COLUMNS, "no file is recorded")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        try:
            shown = sql.make_url(self._url).render_as_string(hide_password=True)
        except SQLAlchemyError:
            shown = "(not a URL that SQLAlchemy can read)"
        return {"url": shown, "use_case": self._use_case}


class SQLLedger:
    """The ledger of one use case, for one job; every change is one transaction."""

    def __init__(self, url: str | sql.URL, use_case: str):
        self._use_case = use_case
        self.job = f"{socket.gethostname()} {uuid.uuid4().hex[:12]}"
        self._database = LedgerDatabase(url)
        self._claims = Claims(use_case, self.job)

    def now(self) -> datetime:
        """Return the database's time, so that jobs on several machines share one clock."""
        with self._database.transaction() as connection:
            return self._database.now(connection)

    def sightings(self) -> dict[str, Sighting]:
        """Return what is known about each name; `state` is that of its content, or "" if there is none yet."""
        same = (CONTENTS.c.use_case == FILES.c.use_case) & (CONTENTS.c.checksum == FILES.c.checksum)
        query = (
            sql.select(FILES, CONTENTS.c.state)
            .select_from(FILES.outerjoin(CONTENTS, same))
            .where(FILES.c.use_case == self._use_case)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return {row.name: Sighting(row.stamp, row.seen, row.checksum, row.state or "") for row in rows}

    def wait(self, files: Sequence[InboxFile]) -> None:
        """Record files that have not settled; the time at which one was first seen as it is now is kept."""
        with self._database.transaction() as connection:
            self._see(connection, [(file, "") for file in files])

    def refuse(self, file: InboxFile) -> None:
        """Record a file that is never opened, with the reason."""
        with self._database.transaction() as connection:
            self._see(connection, [(file, "")], file.refusal)

    def register(self, files: Sequence[tuple[InboxFile, str]]) -> list[str]:
        """Record contents under names; give the state of each, or `copy` if it was scored under another name.

        Contents arrive in the order of `files`, a microsecond apart. Every job writes contents first, in the order of
        checksums, and then names, so that no two jobs wait for each other.
        """
        checksums = sorted({checksum for _, checksum in files})
        mine = (CONTENTS.c.use_case == self._use_case) & CONTENTS.c.checksum.in_(checksums)
        query = sql.select(CONTENTS.c.checksum, CONTENTS.c.state, CONTENTS.c.name).where(mine)
        with self._database.transaction() as connection:
            now = self._database.now(connection)
            known = {row.checksum: row for row in connection.execute(query)}
            new: dict[str, dict[str, Any]] = {}
            for place, (file, checksum) in enumerate(files):
                if checksum not in known and checksum not in new:
                    new[checksum] = {
                        "use_case": self._use_case,
                        "checksum": checksum,
                        "name": file.name,
                        "first_name": file.name,
                        "size": file.size,
                        "state": "waiting",
                        "arrived": now + timedelta(microseconds=place),
                        "attempts": 0,
                    }
            insert(connection, CONTENTS, [new[checksum] for checksum in checksums if checksum in new])
            self._see(connection, files)
        return [
            "waiting"
            if (found := known.get(checksum)) is None
            else "copy"
            if found.state == "done" and found.name != file.name
            else str(found.state)
            for file, checksum in files
        ]

    def forget(self, present: Iterable[str]) -> None:
        """Delete the records of unsettled and refused files that are no longer present."""
        here = set(present)
        unsettled = (FILES.c.use_case == self._use_case) & (FILES.c.checksum == "")
        with self._database.transaction() as connection:
            for (name,) in connection.execute(sql.select(FILES.c.name).where(unsettled)).all():
                if name not in here:
                    connection.execute(sql.delete(FILES).where(unsettled, FILES.c.name == name))

    def claim(self, present: Mapping[str, list[str]], options: PredictionOptions) -> list[Claim]:
        """Claim the content that was tried least and arrived first among those present; none if none is free.

        Small contents that were never tried are claimed together, up to 64 of them.

        A content is free if it waits, if it failed fewer than `max_attempts` times and not in this run, or if the
        lease of the job that claimed it has ended. Each lease has the length that its own job set.
        """
        with self._database.transaction() as connection:
            return self._claims.take(connection, self._database.now(connection), present, options)

    def renew(self, claim: Claim) -> bool:
        """Extend the lease; return False if the claim is lost."""
        with self._database.transaction() as connection:
            return self._claims.renew(connection, self._database.now(connection), claim)

    def finish(self, files: Sequence[Finished]) -> list[ClaimLostError | WritingError | None]:
        """Publish the outputs and record the results; after a kill in between, the files are scored again.

        A file whose claim is lost, or whose outputs cannot be published, is left as it was; its place in the result
        has the reason.
        """
        reasons: list[ClaimLostError | WritingError | None] = []
        with self._database.transaction() as connection:
            ended = self._database.now(connection)
            for each in files:
                try:
                    with connection.begin_nested():
                        self._finish(connection, each, ended)
                except (ClaimLostError, WritingError) as error:
                    reasons.append(error)
                else:
                    reasons.append(None)
        return reasons

    def _finish(self, connection: sql.Connection, file: Finished, ended: datetime) -> None:
        result = file.result
        facts = {name: value for name, value in asdict(result).items() if name not in ("warnings", "reason")}
        note = "; ".join(filter(None, [result.note, *result.warnings]))
        facts |= {"note": storable(note), "error": None, "lease_until": None}
        if not self._claims.update(connection, file.claim, state="done", ended=ended, **facts):
            raise ClaimLostError
        file.publish()

    def fail(self, claim: Claim, error: str, *, counts: bool = True) -> None:
        """Set a file aside with the reason; with `counts=False` it waits for another run as if never tried."""
        state, attempts = ("failed", claim.attempts) if counts else ("waiting", claim.attempts - 1)
        with self._database.transaction() as connection:
            now = self._database.now(connection)
            facts = {"attempts": attempts, "error": storable(error), "ended": now, "lease_until": None}
            self._claims.update(connection, claim, state=state, **facts)

    def latest_drift(self) -> list[dict[str, Any]]:
        """List the drift of the files that were scored last, oldest first."""
        done = (CONTENTS.c.use_case == self._use_case) & (CONTENTS.c.state == "done")
        query = sql.select(CONTENTS).where(done).order_by(CONTENTS.c.ended.desc(), CONTENTS.c.key.desc()).limit(LATEST)
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        return [
            {"file": row.name, "ended": row.ended.isoformat(timespec="seconds"), "model": row.model, **row.drift}
            for row in reversed(rows)
        ]

    def claimed(self) -> list[tuple[str, str]]:
        """List first name and checksum of the contents that jobs are scoring."""
        mine = (CONTENTS.c.use_case == self._use_case) & (CONTENTS.c.state == "claimed")
        with self._database.transaction() as connection:
            return [(row.first_name, row.checksum) for row in connection.execute(sql.select(CONTENTS).where(mine))]

    def entries(self) -> list[dict[str, Any]]:
        """List the contents, oldest first, then the names that are copies, wait to settle or are refused.

        A content also has `names`: the files that had this content when they were last seen.
        """
        contents = sql.select(CONTENTS).where(CONTENTS.c.use_case == self._use_case)
        contents = contents.order_by(CONTENTS.c.arrived, CONTENTS.c.key)
        names = sql.select(FILES).where(FILES.c.use_case == self._use_case).order_by(FILES.c.name)
        with self._database.transaction() as connection:
            listed = [dict(row) for row in connection.execute(contents).mappings()]
            files = [dict(row) for row in connection.execute(names).mappings()]
        scored_as = {row["checksum"]: row["name"] for row in listed}
        names_of = defaultdict(list)
        for file in files:
            names_of[file["checksum"]].append(file["name"])
        listed = [{**row, "names": names_of[row["checksum"]]} for row in listed]
        for file in files:
            if file["error"]:
                listed.append({**file, "state": "refused"})
            elif not file["checksum"]:
                listed.append({**file, "state": "settling"})
            elif scored_as.get(file["checksum"], file["name"]) != file["name"]:
                listed.append({**file, "state": "copy", "copy_of": scored_as[file["checksum"]]})
        return listed

    def retry(self) -> int:
        """Allow all attempts again for the files that failed; return how many there are."""
        with self._database.transaction() as connection:
            failed = (CONTENTS.c.use_case == self._use_case) & (CONTENTS.c.state == "failed")
            changed = connection.execute(sql.update(CONTENTS).where(failed).values(attempts=0, owner=None))
            return int(changed.rowcount)

    def note(self, name: str) -> str | None:
        """Return the last note under a name."""
        mine = (NOTES.c.use_case == self._use_case) & (NOTES.c.name == name)
        with self._database.transaction() as connection:
            return connection.scalar(sql.select(NOTES.c.content).where(mine))

    def write_note(self, name: str, content: str) -> None:
        """Leave a note for later runs."""
        mine = (NOTES.c.use_case == self._use_case) & (NOTES.c.name == name)
        with self._database.transaction() as connection:
            connection.execute(sql.delete(NOTES).where(mine))
            connection.execute(sql.insert(NOTES).values(use_case=self._use_case, name=name, content=content))

    def _see(
        self, connection: sql.Connection, files: Sequence[tuple[InboxFile, str]], error: str | None = None
    ) -> None:
        """Record names, with their checksums or with "" while they settle."""
        mine = FILES.c.use_case == self._use_case
        names = [file.name for file, _ in files]
        query = sql.select(FILES.c.name, FILES.c.stamp).where(mine, FILES.c.name.in_(names))
        stamps = {row.name: row.stamp for row in connection.execute(query)}
        new: list[dict[str, Any]] = []
        changed: list[dict[str, Any]] = []
        for file, checksum in sorted(files, key=lambda each: each[0].name):
            facts: dict[str, Any] = {"size": file.size, "stamp": file.stamp, "checksum": checksum, "error": error}
            if stamps.get(file.name) != file.stamp:
                facts["seen"] = self._database.now(connection)
            (changed if file.name in stamps else new).append({"name": file.name, **facts})
        changed += insert(connection, FILES, [{"use_case": self._use_case, **each} for each in new])
        for each in changed:
            connection.execute(sql.update(FILES).where(mine, FILES.c.name == each["name"]).values(**each))
