import errno
import threading
import time

import pandas as pd
import pytest
import sqlalchemy as sql

from torchlane.core.scoring.failures import (
    CouldNotStartError,
    DriftError,
    FilesFailedError,
    TooManyRejectedError,
    raise_worst,
)
from torchlane.datasets import predictions as outputs
from torchlane.datasets.ledger import SQLLedger
from torchlane.datasets.ledger_claims import Claims
from torchlane.datasets.predictions import PredictionFolder


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


def test_header_without_rows_gives_predictions_without_rows(place):
    place.put("a.csv", text="size,place\n")
    place.score()
    assert list(place.predictions("a.csv")) == ["row", "prediction", "spread", "low", "high", "model", "scored_at"]
    assert len(place.predictions("a.csv")) == 0


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
        raise sql.exc.OperationalError("UPDATE", {}, Exception("database or disk is full"))

    monkeypatch.setattr(Claims, "_update", full)
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


@pytest.mark.parametrize("name", ["x" * 250 + ".csv", "/".join(["ö" * 100] * 6) + ".csv"], ids=["letters", "folders"])
def test_long_names_are_scored_under_shorter_ones(place, name):
    place.put(name)
    scored = place.score()
    assert [file["state"] for file in scored["files"]] == ["done"]
    assert len(place.predictions(name)) == 60


@pytest.mark.parametrize("key", ["a\\u0000b", "a\\ud800b", "x" * 100_000], ids=["zero", "surrogate", "long"])
def test_reasons_that_no_database_can_store_are_stored_in_another_form(place, key):
    place.put("a.jsonl", text=f'{{"{key}": 1, "size": 2}}\n')
    place.put("b.jsonl", text=f'{{"{key}": 1, "size": 2, "place": "sea"}}\n')
    scored = place.score()
    assert [file["state"] for file in scored["files"]] == ["failed", "done"]
    error, note = place.entry("a.jsonl")["error"], place.entry("b.jsonl")["note"]
    assert error.startswith("column 'place' is missing")
    assert note.startswith("ignored because not declared: ")
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


def test_job_killed_when_its_output_was_in_place_leaves_none_behind_under_another_name(place, monkeypatch):
    place.put("a.csv")
    place.put("b.csv")

    def publish_and_die(self, files):
        files[0].publish()
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


@pytest.mark.parametrize(("allowed", "stopped"), [(0.25, False), (0.24, True)])
def test_as_many_rejected_rows_as_are_allowed_do_not_show_in_the_exit_status(place, allowed, stopped):
    place.put("a.csv", text="size,place\n1,town\n2,sea\n3,sea\nbig,sea\n")
    scored = place.score(max_rejected_fraction=allowed)
    assert bool(scored["errors"]) == stopped


def test_levels_in_another_spelling_are_said_once_for_each_column_and_file(place, caplog):
    places = ["sea", "Town", "SEA", "moon", *["town"] * 56]
    place.put("a.csv", place.rows.assign(place=places))
    scored = place.score()
    warning = (
        "'place' of 2 rows, from row 2 on, is unseen, but train knows it in another spelling, such as 'Town' as 'town' "
        "(upper and lower case); write it as in the rows of train"
    )
    assert [message for message in caplog.messages if "another spelling" in message] == [f"a.csv: {warning}"]
    assert scored["files"][0]["warnings"] == [warning]
    assert warning in place.entry("a.csv")["note"]
    plain = place.model.predict(place.rows.assign(place=places))["prediction"]
    pd.testing.assert_series_equal(place.predictions("a.csv")["prediction"], plain)


def test_spellings_are_added_up_over_the_chunks_of_a_file(place, monkeypatch):
    monkeypatch.setattr("torchlane.datasets.csv_tables.BLOCK_BYTES", 100)
    place.put("a.csv", place.rows.assign(place=["town"] * 30 + ["TOWN"] * 30))
    (warning,) = place.score()["files"][0]["warnings"]
    assert warning.startswith("'place' of 30 rows, from row 31 on,")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("size,place\n1,town,\n2,sea,\n", "in row 1 the line is '1,town,', which must have 2 fields, as the header has, without a separator at the end of the line"),
        ("size,place\n1,a, b\n", "in row 1 the line is '1,a, b', which must have 2 fields, .* and not 3: a text that holds the separator needs quotes"),
        ("size;place\n1\n", "in row 1 the line is '1', which must have 2 fields, as the header has, and not 1"),
        ("size,place\nbig,sea\n", "in row 1 'size' is 'big', which must be a number"),
    ],
)  # fmt: skip
def test_the_reason_for_rejected_rows_is_said(place, text, reason):
    place.put("a.csv", text=text)
    with pytest.raises(TooManyRejectedError, match=f"allows: {reason}; the others are scored"):
        raise_worst(place.score())


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.csv", "1.5,town\n2.5,sea\n", "column 'size' is missing; .* the first line looks like a row: put a header above it"),
        ("b.csv", "1.5,2\n2.5,3\n", "the first line looks like a row: put a header above it"),
        ("c.csv", "size,place,size\n1,a,2\n", "column 'size' occurs 2 times in the header of c.csv; rename or drop one"),
        ("d.jsonl", '{"type": "F", "features": [{"size": 1}]}', "it is one JSON object with more values in 'features'; write one"),
        ("e.jsonl", '[{"size": 1, "place": "sea"}]', "e.jsonl is one JSON array, not JSON lines"),
    ],
)  # fmt: skip
def test_a_file_without_the_columns_is_set_aside_with_the_likely_cause(place, name, text, reason):
    place.put(name, text=text)
    with pytest.raises(FilesFailedError, match=reason):
        raise_worst(place.score())
    assert place.entry(name)["state"] == "failed"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "size,,place,\n1,x,sea,y\n2,,town,\n"),
        ("b.csv", "size\tplace\textra\n1\tsea\t\n2\ttown\t{}\n"),
        ("c.jsonl", '{"size": 1, "place": "sea", "more": [{"a": [1]}]}\n\n{"size": 2, "place": "town", "more": {"b": 1}}\n'),
    ],
)  # fmt: skip
def test_extra_columns_are_ignored_whatever_they_hold(place, name, text):
    place.put(name, text=text)
    assert place.score()["errors"] == []
    plain = place.model.predict(pd.DataFrame({"size": [1, 2], "place": ["sea", "town"]}))["prediction"]
    pd.testing.assert_series_equal(place.predictions(name)["prediction"], plain)
