"""Databases that a ledger may be kept in."""

import sqlalchemy as sql

from torchlane.core.scoring.failures import CouldNotStartError

DATABASES = ("sqlite", "postgresql")  # as SQLAlchemy names them


def require_database(url: sql.URL) -> str:
    """Give the name of the database, which is one whose keys, locks and clock the ledger was proven with.

    Others differ where it matters: MySQL and MariaDB take no key as long as a file's name, and their `now()` is
    the local time, without saying so.

    Raises:
        CouldNotStartError: it is another one.
    """
    name = url.get_backend_name()
    if name not in DATABASES:
        raise CouldNotStartError(
            f"a ledger is kept in SQLite or PostgreSQL, not in {name}; in the catalog's entry of the ledger set path, "
            f"for one machine, or a url such as postgresql+psycopg://user@host/name"
        )
    return name
