"""The database of a ledger: its transactions and its clock, in SQLite or PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import SQLAlchemyError

from torchlane.core.scoring.failures import CouldNotStartError
from torchlane.datasets.databases import make_empty, require_database
from torchlane.datasets.ledger_tables import create_missing

BUSY_SECONDS = 60  # how long a job waits while another one writes
MAX_CHARACTERS = 2000  # of a reason or note


class LedgerDatabase:
    """A database with the tables of a ledger, which are created if they are missing.

    Raises:
        CouldNotStartError: the database cannot be used.
    """

    def __init__(self, url: str | sql.URL):
        parsed = sql.make_url(url)
        self._is_sqlite = require_database(parsed) == "sqlite"
        if self._is_sqlite and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            make_empty(parsed.database)
        self._engine = sql.create_engine(
            parsed, connect_args={"timeout": BUSY_SECONDS} if self._is_sqlite else {}, pool_pre_ping=not self._is_sqlite
        )
        if self._is_sqlite:
            sql.event.listen(self._engine, "connect", _leave_transactions_to_us)
            sql.event.listen(self._engine, "begin", _begin_with_the_write_lock)
        try:
            self._create_missing()
        except CouldNotStartError:  # another job may have created them in the meantime
            self._create_missing()

    @contextmanager
    def transaction(self) -> Iterator[sql.Connection]:
        """Open a transaction, which is rolled back if an error is raised in it.

        Raises:
            CouldNotStartError: the database cannot be used.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise CouldNotStartError(f"the ledger cannot be used: {in_one_line(error)}") from error

    def now(self, connection: sql.Connection) -> datetime:
        """Return the time in UTC: that of the server, or of this machine for SQLite."""
        if self._is_sqlite:
            return datetime.now(UTC).replace(tzinfo=None)
        now = connection.scalar(sql.select(sql.func.now()))
        assert now is not None
        return now.astimezone(UTC).replace(tzinfo=None) if now.tzinfo else now

    def _create_missing(self) -> None:
        with self.transaction() as connection:
            create_missing(connection)


def storable(text: str) -> str:
    """Shorten a text, and escape what some databases do not accept: NUL and lone surrogates."""
    plain = text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
    return plain if len(plain) <= MAX_CHARACTERS else f"{plain[:MAX_CHARACTERS]} …"


def in_one_line(error: Exception) -> str:
    """Return the message of an error, or of the driver's error that it wraps, on one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _leave_transactions_to_us(connection: Any, _: object) -> None:
    connection.isolation_level = None


def _begin_with_the_write_lock(connection: sql.Connection) -> None:
    """Wait for other jobs at the start of a transaction, where waiting is harmless, rather than in the middle."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
