import os
import time
from datetime import timedelta

from torchlane.datasets.inbox import LocalInbox
from torchlane.datasets.ledger_database import LedgerDatabase


def test_copy_is_recorded_and_not_scored_again(place):
    place.put("a.csv")
    place.put("b.csv")
    scored = place.score()
    assert len(scored["files"]) == 1
    assert len(place.files()) == 1
    place.put("later.csv")
    assert place.score()["copies"] == 1
    assert place.states() == {"a.csv": "done", "b.csv": "copy", "later.csv": "copy"}
    assert place.score()["copies"] == 0  # said once


def test_changed_content_under_a_done_name_is_a_new_file_and_both_outputs_stay(place):
    place.put("a.csv")
    place.score()
    place.put("a.csv", place.rows.head(5))
    place.score()
    assert len(place.files()) == 2
    assert [entry["rows_scored"] for entry in place.ledger().entries()] == [60, 5]


def test_late_file_with_an_old_date_is_scored(place):
    place.put("b.csv")
    place.score()
    late = place.put("a.csv", place.rows.head(3))
    os.utime(late, (0, 0))
    assert len(place.score()["files"]) == 1


def test_young_file_waits_until_it_has_settled(place):
    path = place.put("a.csv")
    assert place.score(settle_seconds=60)["waiting"] == 1
    assert place.states() == {"a.csv": "settling"}
    os.utime(path, (time.time() - 61,) * 2)
    assert place.score(settle_seconds=60)["waiting"] == 0
    assert place.states() == {"a.csv": "done"}


def test_waiting_file_that_is_gone_is_forgotten(place):
    place.put("a.csv").touch()
    place.score(settle_seconds=60)
    place.inbox.joinpath("a.csv").unlink()
    place.score(settle_seconds=60)
    assert place.states() == {}


def test_file_from_the_future_is_scored_once_it_was_seen_unchanged_for_long_enough(place, monkeypatch):
    """As after the clock was set back."""
    path = place.put("a.csv")
    os.utime(path, (time.time() + 1e6,) * 2)
    assert place.score(settle_seconds=60)["waiting"] == 1
    plain = LedgerDatabase.now
    monkeypatch.setattr(LedgerDatabase, "now", lambda self, connection: plain(self, connection) + timedelta(seconds=61))
    assert len(place.score(settle_seconds=60)["files"]) == 1


def test_file_that_another_job_archives_in_the_meantime_is_no_failure(place, monkeypatch):
    gone = place.put("a.csv")
    place.put("b.csv", place.rows.head(2))
    plain = LocalInbox.files
    monkeypatch.setattr(LocalInbox, "files", lambda self: [plain(self), gone.unlink()][0])
    scored = place.score()
    assert scored["errors"] == []
    assert [file["file"] for file in scored["files"]] == ["b.csv"]
