from torchlane.datasets.ledger import SQLLedger


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


def test_archive_on_another_file_system_is_refused_and_harms_nothing(place, caplog):
    path = place.put("a.csv")
    place.score(archive="memory://archive")
    assert path.exists()
    assert "is not on the file system of the inbox" in caplog.text


def test_file_that_changed_since_it_was_scored_is_not_archived(place, monkeypatch):
    path = place.put("a.csv")
    plain = SQLLedger.finish

    def finish(self, *arguments):
        reasons = plain(self, *arguments)
        path.write_text("size,place\n5,town\n")
        return reasons

    monkeypatch.setattr(SQLLedger, "finish", finish)
    place.score(archive=str(place.folder / "archive"))
    monkeypatch.undo()
    assert path.exists()
    place.score(archive=str(place.folder / "archive"))
    assert sorted(entry["rows_scored"] for entry in place.ledger().entries()) == [1, 60]
    assert not path.exists()
