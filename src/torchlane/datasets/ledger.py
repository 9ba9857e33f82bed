"""What became of each file of an inbox, in SQLite or PostgreSQL."""

import socket
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import sqlalchemy as sql
from kedro.io import AbstractDataset, DatasetError
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from torchlane.core.options import PredictionOptions
from torchlane.core.scoring.contracts import Claim, ClaimLostError, InboxFile, Result, Sighting
from torchlane.core.scoring.failures import CouldNotStartError
from torchlane.datasets.databases import require_database

BUSY_SECONDS = 60  # how long a job waits while another one writes
MOST_CHARACTERS = 2000  # of a reason or note
LATEST = 50  # files in `drift.json`
TABLES = sql.MetaData()
CONTENTS = sql.Table(
    "contents",
    TABLES,
    sql.Column("key", sql.Integer, primary_key=True),
    sql.Column("use_case", sql.String(200), nullable=False),
    sql.Column("checksum", sql.String(64), nullable=False),  # SHA-256; the identity of a file is its content
    sql.Column("name", sql.Text, nullable=False),  # under which it was, or will be, scored
    sql.Column(
        "first_name", sql.Text, nullable=False
    ),  # which its output is named after, whatever name it is read under
    sql.Column("size", sql.BigInteger, nullable=False),
    sql.Column("state", sql.String(10), nullable=False),  # waiting, claimed, done, failed
    sql.Column("arrived", sql.DateTime, nullable=False),  # this and all times are UTC
    sql.Column("attempts", sql.Integer, nullable=False),
    sql.Column("owner", sql.Text),  # the job that has or had it last
    sql.Column("lease_until", sql.DateTime),
    sql.Column("lease_seconds", sql.Float),  # the owner's own; absent in ledgers of earlier versions
    sql.Column("rows_read", sql.BigInteger),
    sql.Column("rows_scored", sql.BigInteger),
    sql.Column("rows_rejected", sql.BigInteger),
    sql.Column("model", sql.String(64)),  # SHA-256 of its file
    sql.Column("started", sql.DateTime),
    sql.Column("ended", sql.DateTime),
    sql.Column("seconds", sql.Float),
    sql.Column("output", sql.Text),
    sql.Column("note", sql.Text),
    sql.Column("error", sql.Text),
    sql.Column("drift", sql.JSON),
    sql.UniqueConstraint("use_case", "checksum"),
)
FILES = sql.Table(
    "files",
    TABLES,
    sql.Column("use_case", sql.String(200), primary_key=True),
    sql.Column("name", sql.String(1000), primary_key=True),
    sql.Column("size", sql.BigInteger, nullable=False),
    sql.Column("stamp", sql.Text, nullable=False),  # changes when the content may have changed
    sql.Column("seen", sql.DateTime, nullable=False),  # first, as it is now
    sql.Column("checksum", sql.String(64), nullable=False),  # "" before it has settled
    sql.Column("error", sql.Text),  # why it is not even opened
)


NOTES = sql.Table(
    "notes",
    TABLES,
    sql.Column("use_case", sql.String(200), primary_key=True),
    sql.Column("name", sql.String(100), primary_key=True),
    sql.Column("content", sql.Text, nullable=False),
)


class LedgerDataset(AbstractDataset[NoReturn, "SQLLedger"]):
    """A database; loading it gives a ledger that the scoring writes to.

    Args:
        use_case: whose files; several may share a database.
        path: of an SQLite file, which needs no server but serves one machine.
        url: of SQLAlchemy, for SQLite or PostgreSQL; no other database has been proven to score each row once.
        credentials: its `url` takes the place of `url`, and stands in no catalog.
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
            raise DatasetError(f"the ledger of {use_case} has either path or url; leave one out")
        self._url: str | sql.URL = sql.URL.create("sqlite", database=path) if path else url
        self.metadata = metadata

    def load(self) -> "SQLLedger":
        try:
            return SQLLedger(self._url, self._use_case)
        except (CouldNotStartError, SQLAlchemyError, ImportError, OSError) as error:
            place = self._describe()["url"]
            raise DatasetError(f"the ledger {place} cannot be opened: {_in_one_line(error)}") from error

    def save(self, data: NoReturn) -> None:
        raise DatasetError("the ledger is written by the scoring itself, through the store that load() gives")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        try:
            shown = sql.make_url(self._url).render_as_string(hide_password=True)
        except SQLAlchemyError:
            shown = "(no URL of SQLAlchemy)"
        return {"url": shown, "use_case": self._use_case}


class SQLLedger:
    """The ledger of one use case, for one job: every change is one transaction."""

    def __init__(self, url: str | sql.URL, use_case: str):
        self._use_case = use_case
        self.job = f"{socket.gethostname()} {uuid.uuid4().hex[:12]}"
        parsed = sql.make_url(url)
        self._is_sqlite = require_database(parsed) == "sqlite"
        if self._is_sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        self._engine = sql.create_engine(
            parsed, connect_args={"timeout": BUSY_SECONDS} if self._is_sqlite else {}, pool_pre_ping=not self._is_sqlite
        )
        if self._is_sqlite:
            sql.event.listen(self._engine, "connect", _leave_transactions_to_us)
            sql.event.listen(self._engine, "begin", _begin_with_the_write_lock)
        self._lease = timedelta()
        self._create_tables()

    def now(self) -> datetime:
        """Give the database's time, so that jobs on several machines go by one clock."""
        with self._transaction() as connection:
            return self._now(connection)

    def sightings(self) -> dict[str, Sighting]:
        """Give what is known of each name; `state` is that of its content, or `copy`."""
        same = (CONTENTS.c.use_case == FILES.c.use_case) & (CONTENTS.c.checksum == FILES.c.checksum)
        query = (
            sql.select(FILES, CONTENTS.c.state)
            .select_from(FILES.outerjoin(CONTENTS, same))
            .where(FILES.c.use_case == self._use_case)
        )
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return {row.name: Sighting(row.stamp, row.seen, row.checksum, row.state or "") for row in rows}

    def wait(self, file: InboxFile) -> None:
        """Note a file that has not settled; the time of the first sight of it as it is stays."""
        with self._transaction() as connection:
            self._see(connection, file, "")

    def refuse(self, file: InboxFile) -> None:
        """Note a file that is never opened, with the reason."""
        with self._transaction() as connection:
            self._see(connection, file, "", file.refusal)

    def register(self, file: InboxFile, checksum: str) -> str:
        """Note a content under a name; give its state, or `copy` where it was done under another name."""
        with self._transaction() as connection:
            self._see(connection, file, checksum)
            mine = (CONTENTS.c.use_case == self._use_case) & (CONTENTS.c.checksum == checksum)
            found = connection.execute(sql.select(CONTENTS.c.state, CONTENTS.c.name).where(mine)).one_or_none()
            if found is None:
                new = {
                    "use_case": self._use_case,
                    "checksum": checksum,
                    "name": file.name,
                    "first_name": file.name,
                    "size": file.size,
                    "state": "waiting",
                    "arrived": self._now(connection),
                    "attempts": 0,
                }
                try:
                    with connection.begin_nested():
                        connection.execute(sql.insert(CONTENTS).values(new))
                except IntegrityError:  # another job was faster
                    return "waiting"
                return "waiting"
            return "copy" if found.state == "done" and found.name != file.name else str(found.state)

    def forget(self, present: Iterable[str]) -> None:
        """Drop what waited to settle, or was refused, and is gone."""
        here = set(present)
        unsettled = (FILES.c.use_case == self._use_case) & (FILES.c.checksum == "")
        with self._transaction() as connection:
            for (name,) in connection.execute(sql.select(FILES.c.name).where(unsettled)).all():
                if name not in here:
                    connection.execute(sql.delete(FILES).where(unsettled, FILES.c.name == name))

    def claim(self, present: Mapping[str, list[str]], options: PredictionOptions) -> Claim | None:
        """Claim the content that was tried least and arrived first of those present, if one is free.

        Free is what waits, what failed fewer than `max_attempts` times, but not in this run, and
        what a job claimed whose own lease, not that of this job, has ended. Each attempt takes another
        name, where a content has several: its ending may be what is wrong.
        """
        lease = timedelta(seconds=options.lease_seconds)
        with self._transaction() as connection:
            now = self._now(connection)
            self._shorten_leases(connection, now, options.lease_seconds)
            free = (
                (CONTENTS.c.use_case == self._use_case)
                & (sql.func.coalesce(CONTENTS.c.owner, "") != self.job)
                & (
                    (CONTENTS.c.state == "waiting")
                    | ((CONTENTS.c.state == "failed") & (CONTENTS.c.attempts < options.max_attempts))
                    | ((CONTENTS.c.state == "claimed") & (CONTENTS.c.lease_until < now))
                )
            )
            columns = (
                CONTENTS.c[name]
                for name in ("key", "checksum", "first_name", "state", "attempts", "owner", "lease_until")
            )
            query = sql.select(*columns).where(free).order_by(CONTENTS.c.attempts, CONTENTS.c.arrived, CONTENTS.c.key)
            for row in connection.execute(query):
                if row.checksum not in present:
                    continue
                names = present[row.checksum]
                name = names[row.attempts % len(names)]
                unchanged = (
                    (CONTENTS.c.key == row.key)
                    & (CONTENTS.c.state == row.state)
                    & (CONTENTS.c.attempts == row.attempts)
                    & (sql.func.coalesce(CONTENTS.c.owner, "") == (row.owner or ""))
                    & (CONTENTS.c.lease_until.is_not_distinct_from(row.lease_until))
                )
                if row.state == "claimed" and row.attempts >= options.max_attempts:
                    error = f"the job died {row.attempts} times while it scored this file"
                    self._update(connection, unchanged, state="failed", error=error, ended=now)
                    continue
                claimed = self._update(
                    connection,
                    unchanged,
                    state="claimed",
                    name=name,
                    owner=self.job,
                    attempts=row.attempts + 1,
                    started=now,
                    lease_until=now + lease,
                    lease_seconds=options.lease_seconds,
                )
                if claimed:
                    self._lease = lease
                    return Claim(row.key, name, row.first_name, row.checksum, row.attempts + 1)
        return None

    def renew(self, claim: Claim) -> bool:
        """Extend the lease; False where the claim is lost."""
        with self._transaction() as connection:
            return self._update(connection, self._own(claim), lease_until=self._now(connection) + self._lease)

    def finish(self, claim: Claim, result: Result, publish: Callable[[], None]) -> None:
        """Put the outputs in place and record it; a kill in between leaves the file to be scored again.

        Raises:
            ClaimLostError: another job has the file.
        """
        with self._transaction() as connection:
            facts = {**asdict(result), "note": _storable(result.note), "error": None, "lease_until": None}
            if not self._update(connection, self._own(claim), state="done", ended=self._now(connection), **facts):
                raise ClaimLostError
            publish()

    def fail(self, claim: Claim, error: str, *, counts: bool = True) -> None:
        """Set a file aside with the reason; where it does not count, it waits for another run."""
        state, attempts = ("failed", claim.attempts) if counts else ("waiting", claim.attempts - 1)
        with self._transaction() as connection:
            now = self._now(connection)
            facts = {"attempts": attempts, "error": _storable(error), "ended": now, "lease_until": None}
            self._update(connection, self._own(claim), state=state, **facts)

    def latest_drift(self) -> list[dict[str, Any]]:
        """List what was measured for the files that were scored last, oldest first."""
        done = (CONTENTS.c.use_case == self._use_case) & (CONTENTS.c.state == "done")
        query = sql.select(CONTENTS).where(done).order_by(CONTENTS.c.ended.desc(), CONTENTS.c.key.desc()).limit(LATEST)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        return [
            {"file": row.name, "ended": row.ended.isoformat(timespec="seconds"), "model": row.model, **row.drift}
            for row in reversed(rows)
        ]

    def claimed(self) -> list[tuple[str, str]]:
        """List first name and checksum of the contents that jobs are at work on."""
        mine = (CONTENTS.c.use_case == self._use_case) & (CONTENTS.c.state == "claimed")
        with self._transaction() as connection:
            return [(row.first_name, row.checksum) for row in connection.execute(sql.select(CONTENTS).where(mine))]

    def entries(self) -> list[dict[str, Any]]:
        """List the contents, oldest first, then names that are copies, wait to settle or are refused.

        The former have `names` too: those whose content they were when last seen.
        """
        with self._transaction() as connection:
            contents = connection.execute(
                sql.select(CONTENTS).where(CONTENTS.c.use_case == self._use_case).order_by(CONTENTS.c.key)
            ).mappings()
            listed = [dict(row) for row in contents]
            names = {row["checksum"]: row["name"] for row in listed}
            files = (
                connection.execute(sql.select(FILES).where(FILES.c.use_case == self._use_case).order_by(FILES.c.name))
                .mappings()
                .all()
            )
            names_of = defaultdict(list)
            for file in files:
                names_of[file["checksum"]].append(file["name"])
            listed = [{**row, "names": names_of[row["checksum"]]} for row in listed]
            for file in files:
                if file["error"]:
                    listed.append({**file, "state": "refused"})
                elif not file["checksum"]:
                    listed.append({**file, "state": "settling"})
                elif names.get(file["checksum"], file["name"]) != file["name"]:
                    listed.append({**file, "state": "copy", "copy_of": names[file["checksum"]]})
            return listed

    def retry(self) -> int:
        """Give files that failed too often all their attempts again; say how many."""
        with self._transaction() as connection:
            failed = (CONTENTS.c.use_case == self._use_case) & (CONTENTS.c.state == "failed")
            changed = connection.execute(sql.update(CONTENTS).where(failed).values(attempts=0, owner=None))
            return int(changed.rowcount)

    def note(self, name: str) -> str | None:
        """Give what was noted last under a name."""
        mine = (NOTES.c.use_case == self._use_case) & (NOTES.c.name == name)
        with self._transaction() as connection:
            return connection.scalar(sql.select(NOTES.c.content).where(mine))

    def write_note(self, name: str, content: str) -> None:
        """Note something for later runs."""
        mine = (NOTES.c.use_case == self._use_case) & (NOTES.c.name == name)
        with self._transaction() as connection:
            connection.execute(sql.delete(NOTES).where(mine))
            connection.execute(sql.insert(NOTES).values(use_case=self._use_case, name=name, content=content))

    def _see(self, connection: sql.Connection, file: InboxFile, checksum: str, error: str | None = None) -> None:
        mine = (FILES.c.use_case == self._use_case) & (FILES.c.name == file.name)
        found = connection.execute(sql.select(FILES.c.stamp).where(mine)).one_or_none()
        facts = {"size": file.size, "stamp": file.stamp, "checksum": checksum, "error": error}
        if found is None or found.stamp != file.stamp:
            facts["seen"] = self._now(connection)
        if found is None:
            try:
                with connection.begin_nested():
                    connection.execute(sql.insert(FILES).values(use_case=self._use_case, name=file.name, **facts))
                return
            except IntegrityError:  # another job was faster
                pass
        connection.execute(sql.update(FILES).where(mine).values(**facts))

    def _shorten_leases(self, connection: sql.Connection, now: datetime, default_seconds: float) -> None:
        """Let leases that were given before the clock was set back run from now on.

        They end later than their owner could have made them end by this clock. It may be alive: then it
        renews its lease within a third of it.
        """
        claimed = (CONTENTS.c.use_case == self._use_case) & (CONTENTS.c.state == "claimed")
        columns = (CONTENTS.c.key, CONTENTS.c.owner, CONTENTS.c.lease_until, CONTENTS.c.lease_seconds)
        for row in connection.execute(sql.select(*columns).where(claimed)).all():
            seconds = default_seconds if row.lease_seconds is None else row.lease_seconds
            latest = now + timedelta(seconds=seconds)
            if row.lease_until > latest:
                same = (CONTENTS.c.owner == row.owner) & (CONTENTS.c.lease_until == row.lease_until)
                self._update(connection, claimed & (CONTENTS.c.key == row.key) & same, lease_until=latest)

    def _own(self, claim: Claim) -> sql.ColumnElement[bool]:
        return (CONTENTS.c.key == claim.key) & (CONTENTS.c.state == "claimed") & (CONTENTS.c.owner == self.job)

    @staticmethod
    def _update(connection: sql.Connection, which: sql.ColumnElement[bool], **values: Any) -> bool:
        return connection.execute(sql.update(CONTENTS).where(which).values(**values)).rowcount == 1

    def _now(self, connection: sql.Connection) -> datetime:
        if self._is_sqlite:
            return datetime.now(UTC).replace(tzinfo=None)
        now = connection.scalar(sql.select(sql.func.now()))
        assert now is not None
        return now.astimezone(UTC).replace(tzinfo=None) if now.tzinfo else now

    @contextmanager
    def _transaction(self) -> Iterator[sql.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise CouldNotStartError(f"the ledger cannot be used: {_in_one_line(error)}") from error

    def _create_tables(self) -> None:
        try:
            self._create_missing()
        except CouldNotStartError:  # another job may have made them in the meantime
            self._create_missing()

    def _create_missing(self) -> None:
        with self._transaction() as connection:
            TABLES.create_all(connection)
            known = {column["name"] for column in sql.inspect(connection).get_columns(CONTENTS.name)}
            if "lease_seconds" not in known:  # a ledger of an earlier version
                kind = CONTENTS.c.lease_seconds.type.compile(connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {CONTENTS.name} ADD COLUMN lease_seconds {kind}")


def _leave_transactions_to_us(connection: Any, _: object) -> None:
    connection.isolation_level = None


def _begin_with_the_write_lock(connection: sql.Connection) -> None:
    """Wait for other jobs at the start, where that is harmless, instead of in the midst of a transaction."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _storable(text: str) -> str:
    """Make a text short, and free of what some database does not take: NUL and half characters."""
    plain = text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
    return plain if len(plain) <= MOST_CHARACTERS else f"{plain[:MOST_CHARACTERS]} …"


def _in_one_line(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())
