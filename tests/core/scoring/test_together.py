"""Small files are claimed and recorded together, and each fares as if it had been alone."""

import errno
import time

import pytest
import sqlalchemy as sql

from torchlane.core.scoring.chunks import ChunkScorer
from torchlane.datasets import predictions as outputs
from torchlane.datasets.ledger import SQLLedger
from torchlane.datasets.ledger_database import LedgerDatabase
from torchlane.datasets.ledger_tables import CONTENTS


@pytest.fixture
def few(place) -> list[str]:
    """Names of files with different rows."""
    names = [f"{number}.csv" for number in range(6)]
    for number, name in enumerate(names):
        place.put(name, place.rows.iloc[number : number + 7])
    return names


def assert_all_scored_once(place, names: list[str]) -> None:
    assert place.states() == dict.fromkeys(names, "done")
    assert place.files() == sorted(entry["output"] for entry in place.ledger().entries())
    for number, name in enumerate(names):
        expected = place.model.predict(place.rows.iloc[number : number + 7])["prediction"]
        assert place.predictions(name)["prediction"].tolist() == expected.tolist()


def test_as_many_transactions_are_needed_for_many_small_files_as_for_one(place, monkeypatch):
    counts = []
    plain = LedgerDatabase.transaction
    monkeypatch.setattr(LedgerDatabase, "transaction", lambda self: counts.append(1) or plain(self))
    needed = []
    for n_files in (1, 40):
        for number in range(n_files):
            place.put(f"{n_files}/{number}.csv", place.rows.iloc[number : number + n_files])
        counts.clear()
        place.score()
        needed.append(len(counts))
    assert set(place.states().values()) == {"done"}
    assert needed[0] == needed[1]


def test_large_files_are_claimed_one_by_one(place, few, monkeypatch):
    monkeypatch.setattr("torchlane.datasets.ledger_claims.TOGETHER_BYTES", 10)
    claimed = []
    plain = SQLLedger.claim
    monkeypatch.setattr(SQLLedger, "claim", lambda *given: claimed.append(plain(*given)) or claimed[-1])
    place.score()
    assert [len(claims) for claims in claimed] == [1] * len(few) + [0]
    assert_all_scored_once(place, few)


@pytest.mark.parametrize("method", ["write", "close", "publish"])
def test_file_whose_output_cannot_be_written_takes_no_other_with_it(place, few, monkeypatch, method):
    plain = getattr(outputs.PredictionFiles, method)

    def full(self, *given):
        if self._predictions.name.startswith("2-"):
            raise OSError(errno.ENOSPC, "No space left on device")
        plain(self, *given)

    monkeypatch.setattr(outputs.PredictionFiles, method, full)
    scored = place.score()
    assert [file["state"] for file in scored["files"]] == ["done", "done", "failed", "done", "done", "done"]
    assert place.states() == dict.fromkeys(few, "done") | {"2.csv": "waiting"}
    assert len(place.files()) == 5
    monkeypatch.undo()
    place.score()
    assert_all_scored_once(place, few)


def test_claim_that_is_lost_takes_no_other_with_it(place, few, monkeypatch, caplog):
    plain = SQLLedger.finish

    def steal_one(self, files):
        with self._database.transaction() as connection:
            connection.execute(sql.update(CONTENTS).where(CONTENTS.c.name == "3.csv").values(owner="another job"))
        return plain(self, files)

    monkeypatch.setattr(SQLLedger, "finish", steal_one)
    scored = place.score()
    assert [file["file"] for file in scored["files"]] == [name for name in few if name != "3.csv"]
    assert caplog.text.count("was taken over by another job") == 1
    assert place.states() == dict.fromkeys(few, "done") | {"3.csv": "claimed"}
    assert len(place.files()) == 5


@pytest.mark.parametrize("n_published", [1, 3, 6])
def test_job_killed_between_the_renaming_of_outputs_and_the_commit_leaves_each_row_scored_once(
    place, few, monkeypatch, n_published
):
    published = []
    plain = SQLLedger._finish

    def publish_and_die(self, *given):
        plain(self, *given)
        published.append(given)
        if len(published) == n_published:
            raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(SQLLedger, "_finish", publish_and_die)
        killed.setattr(SQLLedger, "fail", lambda *_, **__: None)  # a killed job says nothing any more
        place.score(lease_seconds=0.01)
    assert place.states() == dict.fromkeys(few, "claimed")
    assert len(place.files()) == n_published
    time.sleep(0.02)
    place.score()
    assert_all_scored_once(place, few)
    assert {entry["attempts"] for entry in place.ledger().entries()} == {2}


def test_file_that_kills_its_job_again_and_again_fails_alone(place, few, monkeypatch):
    place.put("3.csv", text="size,place\n666,sea\n")
    plain = ChunkScorer.score

    def die(self, chunk):
        if "666" in chunk.table["size"].to_pylist():
            raise KeyboardInterrupt
        return plain(self, chunk)

    with monkeypatch.context() as killed:
        killed.setattr(ChunkScorer, "score", die)
        killed.setattr(SQLLedger, "fail", lambda *_, **__: None)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                place.score(lease_seconds=0.01)
            time.sleep(0.02)
    place.score()
    assert place.states() == dict.fromkeys(few, "done") | {"3.csv": "failed"}
    assert place.entry("3.csv")["error"] == "the job died 3 times while it scored this file"


def test_signal_gives_back_all_files_that_were_claimed_with_the_one_that_was_scored(place, few, monkeypatch):
    plain = ChunkScorer.score
    chunks = []

    def interrupt_the_third(self, chunk):
        chunks.append(chunk)
        if len(chunks) == 3:
            raise KeyboardInterrupt
        return plain(self, chunk)

    monkeypatch.setattr(ChunkScorer, "score", interrupt_the_third)
    with pytest.raises(KeyboardInterrupt):
        place.score()
    monkeypatch.undo()
    assert {(entry["state"], entry["attempts"]) for entry in place.ledger().entries()} == {("waiting", 0)}
    assert place.files() == []
    place.score()
    assert_all_scored_once(place, few)
