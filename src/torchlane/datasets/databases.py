"""The databases that can hold a ledger, and the files of SQLite."""

from pathlib import Path

import sqlalchemy as sql

from torchlane.core.scoring.failures import CouldNotStartError

DATABASES = ("sqlite", "postgresql")  # as SQLAlchemy names them


def require_database(url: sql.URL) -> str:
    """Return the name of the database if the ledger was tested with its keys, locks and clock.

    Others differ in what matters here: MySQL and MariaDB do not accept keys as long as a file name, and their
    `now()` is local time without a zone.

    Raises:
        CouldNotStartError: it is another database.
    """
    name = url.get_backend_name()
    if name not in DATABASES:
        raise CouldNotStartError(
            f"a ledger is kept in SQLite or PostgreSQL, not in {name}; in the ledger's catalog entry, set path "
            f"(for one machine) or a url such as postgresql+psycopg://user@host/name"
        )
    return name


def make_empty(database: str | None) -> None:
    """Make an empty file, which is an empty SQLite database, unless there is one or it is kept in memory.

    SQLite itself makes files of mode 0644, so that no group could write to them whatever the umask.
    """
    if not database or database == ":memory:" or database.startswith("file:"):
        return
    path = Path(database)
    if path.parent.is_dir() and not path.exists():
        path.touch()
