"""Which job may score which content, and for how long."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sql

from torchlane.core.options import PredictionOptions
from torchlane.core.scoring.contracts import Claim
from torchlane.datasets.ledger_tables import CONTENTS

TOGETHER = 64  # contents that are claimed at once, at most
TOGETHER_BYTES = 4 << 20  # of these contents


class Claims:
    """The claims of one job on the contents of one use case."""

    def __init__(self, use_case: str, job: str):
        self._use_case = use_case
        self._job = job
        self._lease = timedelta()

    def take(
        self, connection: sql.Connection, now: datetime, present: Mapping[str, list[str]], options: PredictionOptions
    ) -> list[Claim]:
        """Claim the first free content among those present, and the small ones behind it; none if none is free.

        The content with the fewest attempts comes first, then the one that arrived first. If a content has several
        names, each attempt reads it under another one, because the ending of a name may be what is wrong. Contents
        are claimed together only if none of them was tried before: if one of them kills the job, each is then tried
        alone, and only that one kills it again.
        """
        self._shorten_leases(connection, now, options.lease_seconds)
        claims: list[Claim] = []
        n_bytes = 0
        for row in connection.execute(self._select_free(now, options.max_attempts)).all():
            if row.checksum not in present:
                continue
            n_bytes += row.size
            if claims and (row.attempts or len(claims) == TOGETHER or n_bytes > TOGETHER_BYTES):
                break
            if row.state == "claimed" and row.attempts >= options.max_attempts:
                error = f"the job died {row.attempts} times while it scored this file"
                self._update(connection, _unchanged(row), state="failed", error=error, ended=now)
                continue
            names = present[row.checksum]
            name = names[row.attempts % len(names)]
            claim = Claim(row.key, name, row.first_name, row.checksum, row.attempts + 1, now)
            lease = timedelta(seconds=options.lease_seconds)
            claimed = self._update(
                connection,
                _unchanged(row),
                state="claimed",
                name=name,
                owner=self._job,
                attempts=claim.attempts,
                started=now,
                lease_until=now + lease,
                lease_seconds=options.lease_seconds,
            )
            if claimed:
                self._lease = lease
                claims.append(claim)
        return claims

    def renew(self, connection: sql.Connection, now: datetime, claim: Claim) -> bool:
        """Extend the lease; return False if the claim is lost."""
        return self.update(connection, claim, lease_until=now + self._lease)

    def update(self, connection: sql.Connection, claim: Claim, **values: Any) -> bool:
        """Change what is recorded about a claimed content; return False if the claim is lost."""
        own = (CONTENTS.c.key == claim.key) & (CONTENTS.c.state == "claimed") & (CONTENTS.c.owner == self._job)
        return self._update(connection, own, **values)

    def _select_free(self, now: datetime, max_attempts: int) -> sql.Select[Any]:
        """Select what waits, what failed in another run and may be tried again, and claims whose lease has ended."""
        free = (
            (CONTENTS.c.use_case == self._use_case)
            & (sql.func.coalesce(CONTENTS.c.owner, "") != self._job)
            & (
                (CONTENTS.c.state == "waiting")
                | ((CONTENTS.c.state == "failed") & (CONTENTS.c.attempts < max_attempts))
                | ((CONTENTS.c.state == "claimed") & (CONTENTS.c.lease_until < now))
            )
        )
        names = ("key", "checksum", "first_name", "size", "state", "attempts", "owner", "lease_until")
        order = (CONTENTS.c.attempts, CONTENTS.c.arrived, CONTENTS.c.key)
        return sql.select(*(CONTENTS.c[name] for name in names)).where(free).order_by(*order)

    def _shorten_leases(self, connection: sql.Connection, now: datetime, default_seconds: float) -> None:
        """Let leases that were given before the clock was set back run from now on.

        By this clock they end later than their owner could have made them end. The owner may be alive: then it
        renews its lease before a third of it has passed.
        """
        claimed = (CONTENTS.c.use_case == self._use_case) & (CONTENTS.c.state == "claimed")
        columns = (CONTENTS.c.key, CONTENTS.c.owner, CONTENTS.c.lease_until, CONTENTS.c.lease_seconds)
        for row in connection.execute(sql.select(*columns).where(claimed)).all():
            seconds = default_seconds if row.lease_seconds is None else row.lease_seconds
            latest = now + timedelta(seconds=seconds)
            if row.lease_until > latest:
                same = (CONTENTS.c.owner == row.owner) & (CONTENTS.c.lease_until == row.lease_until)
                self._update(connection, claimed & (CONTENTS.c.key == row.key) & same, lease_until=latest)

    @staticmethod
    def _update(connection: sql.Connection, which: sql.ColumnElement[bool], **values: Any) -> bool:
        return connection.execute(sql.update(CONTENTS).where(which).values(**values)).rowcount == 1


def _unchanged(row: sql.Row[Any]) -> sql.ColumnElement[bool]:
    """Select the content only if no other job has changed it since it was read."""
    return (
        (CONTENTS.c.key == row.key)
        & (CONTENTS.c.state == row.state)
        & (CONTENTS.c.attempts == row.attempts)
        & (sql.func.coalesce(CONTENTS.c.owner, "") == (row.owner or ""))
        & (CONTENTS.c.lease_until.is_not_distinct_from(row.lease_until))
    )
