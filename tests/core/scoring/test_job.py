import dataclasses
import errno
import json
import os
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.core.model.test_trained import train_on
from torchlane.core.options import PredictionOptions
from torchlane.core.scoring import job as scoring
from torchlane.core.scoring.failures import (
    CouldNotStartError,
    DriftError,
    FilesFailedError,
    TooManyRejectedError,
    raise_worst,
)
from torchlane.datasets import ledger as ledgers
from torchlane.datasets import predictions as outputs
from torchlane.datasets.inbox import InboxDataset, LocalInbox
from torchlane.datasets.ledger import SQLLedger
from torchlane.datasets.predictions import PredictionFolder


class Place:
    """An inbox, a ledger and a folder of predictions; each run is another job."""

    def __init__(self, folder: Path, model: Any, rows: pd.DataFrame):
        self.folder, self.model, self.rows = folder, model, rows
        self.inbox = folder / "inbox"
        self.inbox.mkdir()
        self.store = PredictionFolder(folder / "predictions")

    def put(self, name: str, rows: pd.DataFrame | None = None, text: str | None = None) -> Path:
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((self.rows if rows is None else rows).to_csv(index=False) if text is None else text)
        return path

    def ledger(self) -> SQLLedger:
        return SQLLedger(f"sqlite:///{self.folder}/ledger.sqlite", "toy")

    def score(self, **options: Any) -> dict[str, Any]:
        settings = PredictionOptions.model_validate({"settle_seconds": 0, **options})
        inbox = InboxDataset(path=str(self.inbox)).load()
        return scoring.score_inbox(inbox, self.ledger(), self.store, self.model, settings)

    def states(self) -> dict[str, str]:
        return {entry["name"]: entry["state"] for entry in self.ledger().entries()}

    def entry(self, name: str) -> dict[str, Any]:
        return next(entry for entry in self.ledger().entries() if entry["name"] == name)

    def predictions(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.store.path_of(self.entry(name)["output"]))

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.joinpath("predictions").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def toy_model():
    """One for all tests here; it is only read."""
    sizes = [str(size) for size in range(1, 61)]
    rows = pd.DataFrame({"size": sizes, "place": ["town", "village", "sea"] * 20, "price": sizes})
    from torchlane.core.options import DataOptions

    columns = {"size": {"kind": "number"}, "place": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "regression", "target": "price", "columns": columns})
    return train_on(rows, data, epochs=5)


@pytest.fixture
def place(tmp_path, toy_model, toy_rows) -> Place:
    return Place(tmp_path, toy_model, toy_rows[["size", "place"]])


def test_file_is_scored_once_and_the_ledger_says_so(place):
    place.put("march.csv")
    scored = place.score()
    assert [file["state"] for file in scored["files"]] == ["done"]
    raise_worst(scored)  # nothing to raise
    predictions = place.predictions("march.csv")
    assert list(predictions) == ["row", "prediction", "spread", "low", "high", "model", "scored_at"]
    pd.testing.assert_series_equal(predictions["prediction"], place.model.predict(place.rows)["prediction"])
    assert predictions["row"].tolist() == list(range(1, 61))
    entry = place.entry("march.csv")
    assert (entry["rows_read"], entry["rows_scored"], entry["rows_rejected"]) == (60, 60, 0)
    assert entry["size"] == place.inbox.joinpath("march.csv").stat().st_size
    assert entry["started"] <= entry["ended"]
    assert entry["drift"]["rows"] == 60
    before = place.store.path_of(entry["output"]).read_bytes()
    assert place.score()["files"] == []
    assert place.store.path_of(entry["output"]).read_bytes() == before
    assert place.files() == [entry["output"]]


def test_nothing_to_do_is_fine_with_and_without_a_folder(place):
    assert place.score() == {"files": [], "waiting": 0, "copies": 0, "errors": []}
    place.inbox.rmdir()
    assert place.score()["files"] == []


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
    plain = SQLLedger._now
    monkeypatch.setattr(SQLLedger, "_now", lambda self, connection: plain(self, connection) + timedelta(seconds=61))
    assert len(place.score(settle_seconds=60)["files"]) == 1


def test_file_that_grows_while_it_is_read_waits(place, monkeypatch):
    path = place.put("a.csv")
    plain = place.store.writer

    def grow(*arguments):
        with path.open("a") as file:
            file.write("5,town\n")
        return plain(*arguments)

    monkeypatch.setattr(place.store, "writer", grow)
    assert place.score()["waiting"] == 1
    assert place.files() == []
    monkeypatch.undo()
    place.score()
    assert place.entry("a.csv")["state"] == "waiting"  # the content that was
    assert [entry["rows_scored"] for entry in place.ledger().entries() if entry["state"] == "done"] == [61]


def test_rejected_rows_stand_beside_the_predictions_with_reasons(place):
    place.put("a.csv", place.rows.assign(size=["big", *place.rows["size"][1:]]))
    scored = place.score()
    assert scored["errors"] == []
    predictions, rejected = place.files()
    assert predictions.removesuffix(".csv") + ".rejected.csv" == rejected
    found = pd.read_csv(place.folder / "predictions" / rejected).to_dict("records")
    assert found == [{"row": 1, "column": "size", "value": "big", "rule": "a number"}]
    assert place.predictions("a.csv")["row"].tolist() == list(range(2, 61))


def test_too_many_rejected_rows_show_in_the_exit_status_and_the_others_are_scored(place):
    place.put("a.csv", place.rows.assign(size=["big"] * 20 + place.rows["size"][20:].to_list()))
    scored = place.score()
    with pytest.raises(
        TooManyRejectedError, match=r"20 of 60 rows of a.csv are rejected, more than prediction.max_"
    ) as caught:
        raise_worst(scored)
    assert caught.value.exit_status == 3
    assert place.entry("a.csv")["rows_scored"] == 40


def test_failed_file_is_set_aside_with_its_reason_and_the_others_go_on(place):
    place.put("a.csv", text="size,other\n1,2\n")
    place.put("b.csv")
    place.put("c.xlsx")
    place.put("d.csv", text="")
    scored = place.score(max_attempts=2)
    with pytest.raises(
        FilesFailedError, match=r"c.xlsx: its ending is none of .csv, .* \(and 2 more, see the log\)"
    ) as caught:
        raise_worst(scored)
    assert caught.value.exit_status == 4
    assert [file.get("error") for file in scored["files"]] == [
        "column 'place' is missing; its columns are size, other",
        None,
        "d.csv is empty; it needs a header and rows",
    ]
    assert place.states() == {"a.csv": "failed", "b.csv": "done", "c.xlsx": "refused", "d.csv": "failed"}
    assert place.entry("a.csv")["attempts"] == 1
    again = place.score(max_attempts=2)
    assert len(again["files"]) == len(again["errors"]) == 2  # what is refused is said once
    assert place.score(max_attempts=2)["files"] == []
    assert place.entry("a.csv")["attempts"] == 2
    assert place.ledger().retry() == 2
    assert len(place.score(max_attempts=2)["files"]) == 2


def test_file_that_was_put_right_is_scored(place):
    place.put("a.csv", text="size\n1\n")
    place.score()
    place.put("a.csv")
    assert [file["state"] for file in place.score(max_attempts=1)["files"]] == ["done"]


def test_header_without_rows_gives_predictions_without_rows(place):
    place.put("a.csv", text="size,place\n")
    place.score()
    assert list(place.predictions("a.csv")) == ["row", "prediction", "spread", "low", "high", "model", "scored_at"]
    assert len(place.predictions("a.csv")) == 0


def test_done_files_move_to_the_archive_and_copies_too(place):
    place.put("sub/a.csv")
    archive = place.folder / "archive"
    place.score(archive=str(archive))
    assert (archive / "sub/a.csv").exists()
    place.put("sub/a.csv")
    place.score(archive=str(archive))
    assert not list(place.inbox.rglob("*.csv"))
    assert len(list(archive.rglob("*.csv"))) == 2
    assert place.states() == {"sub/a.csv": "done"}


def test_archive_in_the_inbox_is_refused_and_harms_nothing(place, caplog):
    path = place.put("a.csv")
    place.score(archive=str(place.inbox / "done"))
    assert path.exists()
    assert "prediction.archive lies in the inbox" in caplog.text


def test_claim_of_a_living_job_is_respected_and_that_of_a_dead_one_taken_up(place, monkeypatch):
    place.put("a.csv")
    options = PredictionOptions(settle_seconds=0, lease_seconds=100)
    checksum = (
        InboxDataset(path=str(place.inbox)).load().checksum(InboxDataset(path=str(place.inbox)).load().files()[0])
    )
    place.ledger().register(InboxDataset(path=str(place.inbox)).load().files()[0], checksum)
    other = place.ledger()
    claim = other.claim({checksum: ["a.csv"]}, options)
    assert claim is not None
    assert place.score(lease_seconds=100)["files"] == []
    plain = SQLLedger._now
    monkeypatch.setattr(SQLLedger, "_now", lambda self, connection: plain(self, connection) + timedelta(seconds=101))
    assert [file["state"] for file in place.score(lease_seconds=100)["files"]] == ["done"]
    assert place.entry("a.csv")["attempts"] == 2
    assert not other.renew(claim)
    other.fail(claim, "too late")
    assert place.states() == {"a.csv": "done"}


def test_claim_given_before_the_clock_was_set_back_does_not_last(place, monkeypatch):
    place.put("a.csv")
    file = InboxDataset(path=str(place.inbox)).load().files()[0]
    plain = SQLLedger._now
    monkeypatch.setattr(SQLLedger, "_now", lambda self, connection: plain(self, connection) + timedelta(days=365))
    ahead = place.ledger()
    ahead.register(file, "c" * 64)
    assert ahead.claim({"c" * 64: ["a.csv"]}, PredictionOptions()) is not None
    monkeypatch.undo()
    options = PredictionOptions(lease_seconds=7)
    assert place.ledger().claim({"c" * 64: ["a.csv"]}, options) is None  # its owner may be alive: from now on it counts
    for seconds, is_free in ((110, False), (130, True)):
        shift = timedelta(seconds=seconds)
        monkeypatch.setattr(SQLLedger, "_now", lambda self, connection, shift=shift: plain(self, connection) + shift)
        assert (place.ledger().claim({"c" * 64: ["a.csv"]}, options) is not None) is is_free


def test_job_that_was_silent_too_long_does_not_put_its_output_in_place(place, monkeypatch, caplog):
    place.put("a.csv")
    plain = SQLLedger.finish

    def steal(self, claim, result, publish):
        with self._transaction() as connection:
            connection.execute(ledgers.sql.update(ledgers.CONTENTS).values(owner="another job"))
        plain(self, claim, result, publish)

    monkeypatch.setattr(SQLLedger, "finish", steal)
    assert place.score()["files"] == []
    assert "was taken up by another job" in caplog.text
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
    place.ledger().register(file, checksum)
    for _ in range(2):
        assert place.ledger().claim({checksum: ["a.csv"]}, options) is not None
        time.sleep(0.02)
    assert place.ledger().claim({checksum: ["a.csv"]}, options) is None
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


@pytest.mark.parametrize("method", ["write", "close", "publish"])
def test_no_space_left_is_said_and_the_file_scored_when_there_is_space(place, monkeypatch, method):
    place.put("a.csv")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(outputs.PredictionFiles, method, full)
    for _ in range(5):  # more often than max_attempts: it is no fault of the file
        with pytest.raises(FilesFailedError, match="its predictions cannot be written: .*No space left"):
            raise_worst(place.score())
    assert place.files() == []
    monkeypatch.undo()
    assert [file["state"] for file in place.score()["files"]] == ["done"]


def test_full_disk_under_the_ledger_ends_the_run_in_one_line(place, monkeypatch):
    place.put("a.csv")
    ledger = place.ledger()

    def full(*_, **__):
        raise ledgers.sql.exc.OperationalError("UPDATE", {}, Exception("database or disk is full"))

    monkeypatch.setattr(SQLLedger, "_update", full)
    with pytest.raises(CouldNotStartError, match="the ledger cannot be used: database or disk is full"):
        place.score()
    monkeypatch.undo()
    assert ledger.entries()[0]["state"] == "waiting"
    assert place.files() == []


def test_signal_gives_the_file_back(place, monkeypatch):
    place.put("a.csv")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(SQLLedger, "finish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        place.score()
    monkeypatch.undo()
    entry = place.entry("a.csv")
    assert (entry["state"], entry["attempts"]) == ("waiting", 0)
    assert place.files() == []
    assert not [thread for thread in threading.enumerate() if thread.name in ("read", "write", "lease")]


def test_leftovers_of_a_killed_job_are_removed(place):
    place.put("a.csv")
    place.score()
    output = place.entry("a.csv")["output"]
    place.store.path_of(output).with_name(f".partial-0123456789ab-1-9-0123abcd-{output}").write_text("half")
    place.store.path_of(output).with_name(".partial-0123456789ab-1-9-0123abcd-b.rejected.csv").write_text("half")
    place.store.sweep(lambda: {"b.csv"})
    assert place.files() == [".partial-0123456789ab-1-9-0123abcd-b.rejected.csv", output]
    place.score()
    assert place.files() == [output]


def test_drift_warns_by_default_and_stops_where_asked(place, caplog):
    place.put("a.csv", place.rows.assign(size=["60"] * 60))
    drift = {"min_rows": 10, "action": "stop"}
    place.put("b.csv")
    with pytest.raises(DriftError, match="a.csv has drifted: 'size' has a stability index of") as caught:
        raise_worst(place.score(drift=drift))
    assert caught.value.exit_status == 6
    assert place.states() == {"a.csv": "failed", "b.csv": "waiting"}
    assert place.files() == []
    scored = place.score(drift={"min_rows": 10})
    assert [file["state"] for file in scored["files"]] == ["done", "done"]
    assert "a.csv has drifted" in caplog.text
    assert [(file["file"], bool(file["beyond"])) for file in place.ledger().latest_drift()] == [
        ("b.csv", False),
        ("a.csv", True),
    ]


def test_model_of_the_day_is_named_in_output_and_ledger(place, tmp_path):
    import torchlane

    place.model.save(tmp_path / "model.safetensors")
    place.model = torchlane.load(tmp_path / "model.safetensors")
    place.put("a.csv")
    place.score()
    fingerprint = place.entry("a.csv")["model"]
    import hashlib

    assert fingerprint == hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert set(place.predictions("a.csv")["model"]) == {fingerprint[:12]}


def test_worst_error_decides_the_exit_status():
    errors = [{"exit_status": 3, "message": "rows"}, {"exit_status": 4, "message": "files"}]
    with pytest.raises(FilesFailedError, match=r"files \(and 1 more, see the log\)"):
        raise_worst({"errors": errors})
    json.dumps(errors)


def test_inbox_that_cannot_be_listed_does_not_pass_for_an_empty_one(place):
    place.inbox.rmdir()
    place.inbox.write_text("no folder")
    with pytest.raises(CouldNotStartError, match="inbox cannot be listed: .*Not a directory"):
        place.score()


def test_file_that_another_job_archives_in_the_meantime_is_no_failure(place, monkeypatch):
    gone = place.put("a.csv")
    place.put("b.csv", place.rows.head(2))
    plain = LocalInbox.files
    monkeypatch.setattr(LocalInbox, "files", lambda self: [plain(self), gone.unlink()][0])
    scored = place.score()
    assert scored["errors"] == []
    assert [file["file"] for file in scored["files"]] == ["b.csv"]


def test_file_that_is_gone_when_its_turn_comes_waits_to_come_back(place, monkeypatch):
    path = place.put("a.csv")
    text = path.read_text()
    plain = SQLLedger.claim
    monkeypatch.setattr(SQLLedger, "claim", lambda self, *rest: [plain(self, *rest), path.unlink(missing_ok=True)][0])
    scored = place.score()
    assert (scored["errors"], scored["waiting"]) == ([], 1)
    monkeypatch.undo()
    place.put("a.csv", text=text)
    assert [file["state"] for file in place.score()["files"]] == ["done"]


def test_leftovers_are_looked_for_before_the_claims_so_that_no_file_just_begun_is_removed(place):
    folder = place.folder / "predictions"
    folder.mkdir()
    (folder / ".partial-0123456789ab-1-9-0123abcd-a.csv").write_text("half")

    def claims():
        (folder / ".partial-0123456789ab-1-9-0123abcd-b.csv").write_text("just begun")
        return set()

    place.store.sweep(claims)
    assert place.files() == [".partial-0123456789ab-1-9-0123abcd-b.csv"]


def test_new_files_come_before_those_that_are_tried_again(place):
    place.put("a.csv", text="size\n1\n")
    place.score()
    place.put("b.csv")
    assert [file["file"] for file in place.score()["files"]] == ["b.csv", "a.csv"]


def test_file_that_drifted_does_not_keep_the_next_run_from_the_others(place):
    place.put("a.csv", place.rows.assign(size=["60"] * 60))
    place.put("b.csv")
    drift = {"min_rows": 10, "action": "stop"}
    place.score(drift=drift)
    place.score(drift=drift)
    assert place.states() == {"a.csv": "failed", "b.csv": "done"}


@pytest.mark.parametrize("name", ["x" * 250 + ".csv", "/".join(["ö" * 100] * 6) + ".csv"], ids=["letters", "folders"])
def test_long_names_are_scored_under_shorter_ones(place, name):
    place.put(name)
    scored = place.score()
    assert [file["state"] for file in scored["files"]] == ["done"]
    assert len(place.predictions(name)) == 60


@pytest.mark.parametrize("key", ["a\\u0000b", "a\\ud800b", "x" * 100_000])
def test_reasons_that_no_database_can_store_are_stored_in_another_form(place, key):
    place.put("a.jsonl", text=f'{{"{key}": 1, "size": 2}}\n')
    place.put("b.jsonl", text=f'{{"{key}": 1, "size": 2, "place": "sea"}}\n')
    scored = place.score()
    assert [file["state"] for file in scored["files"]] == ["failed", "done"]
    error, note = place.entry("a.jsonl")["error"], place.entry("b.jsonl")["note"]
    assert error.startswith("column 'place' is missing")
    assert note.startswith("ignored, since not declared: ")
    assert all("\0" not in text and len(text) < 3000 and text.encode() for text in (error, note))


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_chunks_of_one_file_have_one_schema_whatever_their_types_and_rejections(place, monkeypatch, file_format):
    from torchlane.datasets import tables

    monkeypatch.setattr(tables, "CHUNK_ROWS", 20)
    place.store = PredictionFolder(place.folder / "predictions", file_format)
    rows = place.rows.assign(id=range(60), size=["big"] * 20 + place.rows["size"].to_list()[20:])
    rows.to_parquet(place.inbox / "a.parquet", index=False)
    rows.head(0).to_parquet(place.inbox / "b.parquet", index=False)
    scored = place.score(keys=("id",))
    assert [file.get("error") for file in scored["files"]] == [None, None]
    read = pd.read_csv if file_format == "csv" else pd.read_parquet
    found = read(place.store.path_of(place.entry("a.parquet")["output"]))
    assert found["id"].tolist() == list(range(20, 60))
    assert len(read(place.store.path_of(place.entry("b.parquet")["output"]))) == 0


def test_archive_on_another_file_system_is_refused_and_harms_nothing(place, caplog):
    path = place.put("a.csv")
    place.score(archive="memory://archive")
    assert path.exists()
    assert "is not on the file system of the inbox" in caplog.text


def test_file_that_changed_since_it_was_scored_is_not_archived(place, monkeypatch):
    path = place.put("a.csv")
    plain = SQLLedger.finish

    def finish(self, *arguments):
        plain(self, *arguments)
        path.write_text("size,place\n5,town\n")

    monkeypatch.setattr(SQLLedger, "finish", finish)
    place.score(archive=str(place.folder / "archive"))
    monkeypatch.undo()
    assert path.exists()
    place.score(archive=str(place.folder / "archive"))
    assert sorted(entry["rows_scored"] for entry in place.ledger().entries()) == [1, 60]
    assert not path.exists()


def test_job_killed_when_its_output_was_in_place_leaves_none_behind_under_another_name(place, monkeypatch):
    place.put("a.csv")
    place.put("b.csv")

    def publish_and_die(self, claim, result, publish):
        publish()
        raise KeyboardInterrupt

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(SQLLedger, "finish", publish_and_die)
        killed.setattr(SQLLedger, "fail", lambda *_, **__: None)
        place.score(lease_seconds=0.01)
    time.sleep(0.02)
    place.score()
    entry = place.entry("b.csv")  # each attempt takes another name
    assert (entry["state"], entry["attempts"]) == ("done", 2)
    assert place.files() == [entry["output"]]


def test_model_that_is_replaced_while_it_is_read_is_read_again(place, tmp_path, monkeypatch):
    import torchlane
    from torchlane.core.model import trained as inference

    path = tmp_path / "model.safetensors"
    place.model.save(path)
    other = dataclasses.replace(place.model, details={"source": "the other one"})
    plain, calls = inference._digest, []

    def replace_after_the_first_look(path):
        found = plain(path)
        if not calls:
            other.save(path)
        calls.append(found)
        return found

    monkeypatch.setattr(inference, "_digest", replace_after_the_first_look)
    loaded = torchlane.load(path)
    assert loaded.details["source"] == "the other one"
    assert loaded.fingerprint == plain(path) != calls[0]


def test_model_that_is_replaced_during_a_run_counts_from_the_next_run_on(place, tmp_path, monkeypatch):
    import torchlane

    path = tmp_path / "model.safetensors"
    place.model.save(path)
    first = place.model = torchlane.load(path)
    place.put("a.csv")
    place.put("b.csv", place.rows.head(5))
    plain = SQLLedger.finish

    def train_again(self, *arguments):
        plain(self, *arguments)
        dataclasses.replace(first, details={"source": "the next day"}).save(path)

    monkeypatch.setattr(SQLLedger, "finish", train_again)
    place.score()
    place.put("c.csv", place.rows.head(7))
    place.model = torchlane.load(path)
    place.score()
    found = {entry["name"]: entry["model"] for entry in place.ledger().entries()}
    assert found == {"a.csv": first.fingerprint, "b.csv": first.fingerprint, "c.csv": place.model.fingerprint}
    assert first.fingerprint != place.model.fingerprint


@pytest.mark.parametrize(("allowed", "stopped"), [(0.25, False), (0.24, True)])
def test_as_many_rejected_rows_as_are_allowed_do_not_show_in_the_exit_status(place, allowed, stopped):
    place.put("a.csv", text="size,place\n1,town\n2,sea\n3,sea\nbig,sea\n")
    scored = place.score(max_rejected_fraction=allowed)
    assert bool(scored["errors"]) == stopped
