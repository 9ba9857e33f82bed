import dataclasses
import json

import pytest

from torchlane.core.scoring.failures import (
    CouldNotStartError,
    FilesFailedError,
    raise_worst,
)
from torchlane.datasets.ledger import SQLLedger


def test_nothing_to_do_is_fine_with_and_without_a_folder(place):
    assert place.score() == {"files": [], "waiting": 0, "copies": 0, "errors": []}
    place.inbox.rmdir()
    assert place.score()["files"] == []


def test_failed_file_is_set_aside_with_its_reason_and_the_others_go_on(place):
    place.put("a.csv", text="size,other\n1,2\n")
    place.put("b.csv")
    place.put("c.xlsx")
    place.put("d.csv", text="")
    scored = place.score(max_attempts=2)
    with pytest.raises(
        FilesFailedError, match=r"c.xlsx: its ending is not one of .csv, .* \(and 2 more, see the log\)"
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
        reasons = plain(self, *arguments)
        dataclasses.replace(first, details={"source": "the next day"}).save(path)
        return reasons

    monkeypatch.setattr(SQLLedger, "finish", train_again)
    place.score()
    place.put("c.csv", place.rows.head(7))
    place.model = torchlane.load(path)
    place.score()
    found = {entry["name"]: entry["model"] for entry in place.ledger().entries()}
    assert found == {"a.csv": first.fingerprint, "b.csv": first.fingerprint, "c.csv": place.model.fingerprint}
    assert first.fingerprint != place.model.fingerprint
