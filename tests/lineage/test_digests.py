"""Files are known by their contents, and read for that no more often than needed."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from torchlane.core.machine import digests
from torchlane.core.model import trained as inference

from .projects import refusal


def test_artifact_changed_by_hand_is_noticed_by_its_content(finished):
    path = finished.folder / "out/04_feature/toy/encoder.safetensors"
    path.write_bytes(path.read_bytes().replace(b"size", b"seiz"))
    line = refusal(finished, "evaluate")
    assert f"was not made from {path} as it is now; run the stage train again: --tags=train,evaluate" in line


def test_artifact_without_a_record_is_taken_as_it_is(finished):
    shutil.rmtree(finished.folder / "out/06_models/toy/.lineage")
    finished.run("prepare", split={"seed": 3})
    with pytest.raises(ValueError, match="splits was made"):
        finished.run("evaluate")
    finished.run("evaluate", split={"seed": 3})


def test_artifact_from_another_run_that_nothing_was_made_from_is_named(finished, caplog):
    path = finished.folder / "out/08_reporting/toy/warnings.json"
    finished.run("report")
    assert "comes from another run" not in caplog.text
    path.write_text('{"warnings": [], "checked": [], "not_checked": {}}')
    finished.run("report")
    said = "toy/warnings.json is not as the stage evaluate wrote it: it was changed by hand or comes from another run"
    assert caplog.text.count(said) == 1


def test_raw_file_that_changed_is_noticed_and_read_for_its_digest_once_a_run(finished, monkeypatch, caplog):
    read = []
    digest = hashlib.file_digest
    monkeypatch.setattr("hashlib.file_digest", lambda file, name: read.append(file.name) or digest(file, name))
    raw = finished.raw / "toy.csv"
    finished.run("prepare", "tune", "train", "evaluate", "report")
    read.clear()
    raw.write_text(raw.read_text() + "61,sea,6100\n")
    finished.run()
    assert read.count(str(raw)) == 1
    twice = {Path(name).name for name in read if read.count(name) > 1}
    assert twice <= {"model.safetensors"}  # whose digest is taken by the readers of the model too
    assert "has changed" not in caplog.text
    read.clear()
    raw.write_text(raw.read_text() + "62,sea,6200\n")
    finished.run("tune", "train", "evaluate", "report")
    assert read.count(str(raw)) == 1
    assert (
        caplog.text.count("toy.csv has changed since the stage prepare; this run uses the rows as they were then") == 1
    )


def test_copied_folder_is_read_for_its_digests_once(finished, monkeypatch):
    digests._digest.cache_clear()
    finished.run("report")
    read = []
    digest = hashlib.file_digest
    monkeypatch.setattr("hashlib.file_digest", lambda file, name: read.append(file.name) or digest(file, name))
    digests._digest.cache_clear()
    finished.run("report")
    skipped = ("08_reporting", "raw", "model.safetensors")  # a model that is loaded is read as a whole anyway
    assert not [name for name in read if not any(each in name for each in skipped)]


def test_fingerprint_of_the_model_is_that_of_its_record(finished):
    folder = finished.folder / "out/06_models/toy"
    record = json.loads((folder / ".lineage/model.json").read_text())
    assert record["fingerprint"] == inference.load(folder / "model.safetensors").fingerprint
