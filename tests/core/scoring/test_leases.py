import threading
import time
from datetime import timedelta
from typing import Any

import sqlalchemy as sql

from torchlane.core.options import PredictionOptions
from torchlane.datasets.inbox import InboxDataset
from torchlane.datasets.ledger import SQLLedger
from torchlane.datasets.ledger_database import LedgerDatabase
from torchlane.datasets.ledger_tables import CONTENTS


def test_claim_of_a_living_job_is_respected_and_that_of_a_dead_one_taken_up(place, monkeypatch):
    place.put("a.csv")
    options = PredictionOptions(settle_seconds=0, lease_seconds=100)
    checksum = (
        InboxDataset(path=str(place.inbox)).load().checksum(InboxDataset(path=str(place.inbox)).load().files()[0])
    )
    place.ledger().register([(InboxDataset(path=str(place.inbox)).load().files()[0], checksum)])
    other = place.ledger()
    (claim,) = other.claim({checksum: ["a.csv"]}, options)
    assert place.score(lease_seconds=100)["files"] == []
    plain = LedgerDatabase.now
    monkeypatch.setattr(
        LedgerDatabase, "now", lambda self, connection: plain(self, connection) + timedelta(seconds=101)
    )
    assert [file["state"] for file in place.score(lease_seconds=100)["files"]] == ["done"]
    assert place.entry("a.csv")["attempts"] == 2
    assert not other.renew(claim)
    other.fail(claim, "too late")
    assert place.states() == {"a.csv": "done"}


def test_claim_given_before_the_clock_was_set_back_does_not_last(place, monkeypatch):
    place.put("a.csv")
    file = InboxDataset(path=str(place.inbox)).load().files()[0]
    plain = LedgerDatabase.now
    monkeypatch.setattr(LedgerDatabase, "now", lambda self, connection: plain(self, connection) + timedelta(days=365))
    ahead = place.ledger()
    ahead.register([(file, "c" * 64)])
    assert ahead.claim({"c" * 64: ["a.csv"]}, PredictionOptions())
    monkeypatch.undo()
    options = PredictionOptions(lease_seconds=7)
    assert not place.ledger().claim({"c" * 64: ["a.csv"]}, options)  # its owner may be alive: from now on it counts
    for seconds, is_free in ((110, False), (130, True)):
        shift = timedelta(seconds=seconds)
        monkeypatch.setattr(
            LedgerDatabase, "now", lambda self, connection, shift=shift: plain(self, connection) + shift
        )
        assert bool(place.ledger().claim({"c" * 64: ["a.csv"]}, options)) is is_free


def test_job_that_was_silent_too_long_does_not_put_its_output_in_place(place, monkeypatch, caplog):
    place.put("a.csv")
    plain = SQLLedger.finish

    def steal(self, files):
        with self._database.transaction() as connection:
            connection.execute(sql.update(CONTENTS).values(owner="another job"))
        return plain(self, files)

    monkeypatch.setattr(SQLLedger, "finish", steal)
    assert place.score()["files"] == []
    assert "was taken over by another job" in caplog.text
    assert place.files() == []


def test_lease_is_renewed_while_a_file_takes_long(place, monkeypatch):
    place.put("a.csv")
    renewed = threading.Event()
    plain = SQLLedger.renew
    monkeypatch.setattr(SQLLedger, "renew", lambda self, claim: plain(self, claim) and (renewed.set() or True))
    slow = place.store.writer
    monkeypatch.setattr(place.store, "writer", lambda *names: renewed.wait(30) and slow(*names))
    assert [file["state"] for file in place.score(lease_seconds=0.3)["files"]] == ["done"]
    assert renewed.is_set()


def test_file_that_kills_its_job_again_and_again_fails_in_the_end(place):
    place.put("a.csv")
    options = PredictionOptions(settle_seconds=0, lease_seconds=0.01, max_attempts=2)
    place.put("b.csv", place.rows.head(1))
    file = next(file for file in InboxDataset(path=str(place.inbox)).load().files() if file.name == "a.csv")
    checksum = InboxDataset(path=str(place.inbox)).load().checksum(file)
    place.ledger().register([(file, checksum)])
    for _ in range(2):
        assert place.ledger().claim({checksum: ["a.csv"]}, options)
        time.sleep(0.02)
    assert not place.ledger().claim({checksum: ["a.csv"]}, options)
    assert place.entry("a.csv")["error"] == "the job died 2 times while it scored this file"
    place.score(max_attempts=2)
    assert place.states() == {"a.csv": "failed", "b.csv": "done"}


def test_two_jobs_at_once_share_the_files(place):
    for number in range(12):
        place.put(f"{number}.csv", place.rows.head(number + 1))
    done: list[dict[str, Any]] = []
    jobs = [threading.Thread(target=lambda: done.append(place.score())) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    names = [file["file"] for scored in done for file in scored["files"]]
    assert sorted(names) == sorted(f"{number}.csv" for number in range(12))
    assert set(place.states().values()) == {"done"}
    assert len(place.files()) == 12
