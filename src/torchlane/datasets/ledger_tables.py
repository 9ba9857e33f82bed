"""The tables of the ledger. Several use cases may share a database, so every row names its own."""

from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

TABLES = sql.MetaData()
CONTENTS = sql.Table(
    "contents",
    TABLES,
    sql.Column("key", sql.Integer, primary_key=True),
    sql.Column("use_case", sql.String(200), nullable=False),
    sql.Column("checksum", sql.String(64), nullable=False),  # SHA-256; the content identifies a file, not its name
    sql.Column("name", sql.Text, nullable=False),  # under which the content was, or will be, scored
    sql.Column("first_name", sql.Text, nullable=False),  # the output is named after it, whichever name is read
    sql.Column("size", sql.BigInteger, nullable=False),
    sql.Column("state", sql.String(10), nullable=False),  # waiting, claimed, done, failed
    sql.Column("arrived", sql.DateTime, nullable=False),  # this and all other times are UTC
    sql.Column("attempts", sql.Integer, nullable=False),
    sql.Column("owner", sql.Text),  # the job that holds the claim, or held it last
    sql.Column("lease_until", sql.DateTime),
    sql.Column("lease_seconds", sql.Float),  # of the owner; ledgers of earlier versions lack this column
    sql.Column("rows_read", sql.BigInteger),
    sql.Column("rows_scored", sql.BigInteger),
    sql.Column("rows_rejected", sql.BigInteger),
    sql.Column("model", sql.String(64)),  # SHA-256 of the model file
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
    sql.Column("stamp", sql.Text, nullable=False),  # changes whenever the content may have changed
    sql.Column("seen", sql.DateTime, nullable=False),  # when the file was first seen with this stamp
    sql.Column("checksum", sql.String(64), nullable=False),  # "" until the file has settled
    sql.Column("error", sql.Text),  # why the file is never opened
)
NOTES = sql.Table(
    "notes",
    TABLES,
    sql.Column("use_case", sql.String(200), primary_key=True),
    sql.Column("name", sql.String(100), primary_key=True),
    sql.Column("content", sql.Text, nullable=False),
)


def create_missing(connection: sql.Connection) -> None:
    """Create the tables, and the columns that a ledger of an earlier version lacks."""
    TABLES.create_all(connection)
    known = {column["name"] for column in sql.inspect(connection).get_columns(CONTENTS.name)}
    if "lease_seconds" not in known:
        kind = CONTENTS.c.lease_seconds.type.compile(connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {CONTENTS.name} ADD COLUMN lease_seconds {kind}")


def insert(connection: sql.Connection, table: sql.Table, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Insert rows at once; give those that another job has inserted in the meantime."""
    if not rows:
        return []
    try:
        with connection.begin_nested():
            connection.execute(sql.insert(table), rows)
        return []
    except IntegrityError:
        if len(rows) == 1:
            return rows
    return [row for each in rows for row in insert(connection, table, [each])]
