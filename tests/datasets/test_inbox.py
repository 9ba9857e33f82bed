import os
import time
from pathlib import Path

import fsspec
import pytest

from torchlane.datasets.inbox import FolderInbox, InboxDataset, LocalInbox


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def names(folder: Path) -> dict[str, str]:
    """What is listed, with the reasons why it is not opened."""
    return {file.name: file.refusal for file in InboxDataset(path=str(folder)).load().files()}


def test_tables_of_subfolders_are_listed_and_hidden_or_unfinished_ones_are_not(folder):
    for name in ("b.csv", "a/c.parquet", "D.CSV.GZ", ".hidden.csv", "_tmp/x.csv", "x.csv.part", "x.csv.tmp", "x.csv~"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    assert names(folder) == {"D.CSV.GZ": "", "a/c.parquet": "", "b.csv": ""}


def test_links_out_of_the_inbox_are_refused_and_those_within_are_followed(folder, tmp_path):
    (tmp_path / "secret.csv").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x.csv").write_text("secret")
    (folder / "a.csv").write_text("a\n1\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "within.csv").symlink_to("a.csv")
    (folder / "broken.csv").symlink_to("none.csv")
    (folder / "loop.csv").symlink_to("loop.csv")
    (folder / "folder.csv").symlink_to(tmp_path / "outside")
    (folder / "self").symlink_to(folder)
    found = names(folder)
    assert found["a.csv"] == found["within.csv"] == ""
    assert found["link.csv"] == f"it is a link out of the inbox, to {tmp_path}/secret.csv"
    assert "broken link" in found["broken.csv"]
    assert found["loop.csv"]
    assert "link out of the inbox" in found["folder.csv"]
    assert all(not name.startswith(("folder.csv/", "self/")) for name in found)


def test_link_that_is_put_in_place_of_a_listed_file_is_not_followed(folder, tmp_path):
    (tmp_path / "secret.csv").write_text("secret")
    (folder / "a.csv").write_text("a\n1\n")
    inbox = InboxDataset(path=str(folder)).load()
    (file,) = inbox.files()
    (folder / "a.csv").unlink()
    (folder / "a.csv").symlink_to(tmp_path / "secret.csv")
    with pytest.raises(OSError, match="a link out of the inbox"):
        inbox.checksum(file)
    assert not inbox.unchanged(file)


def test_what_is_no_file_is_refused_and_does_not_block(folder):
    os.mkfifo(folder / "pipe.csv")
    assert names(folder) == {"pipe.csv": "it is not a regular file"}


@pytest.mark.parametrize("name", ["a\nb.csv", "a\x1bb.csv", "a\\..\\b.csv", "a\udcff.csv"])
def test_strange_names_are_refused_in_a_form_that_can_be_printed(folder, name):
    (folder / name).write_text("x")
    ((shown, refusal),) = names(folder).items()
    assert refusal
    assert shown.isprintable()
    shown.encode()


def test_names_that_lead_out_are_refused_on_file_systems_that_have_them(folder):
    inbox = FolderInbox(fsspec.filesystem("memory"), "/inbox", "memory://inbox")
    for name in ("../x.csv", "a/../../x.csv", "/etc/x.csv"):
        assert "leads out of the inbox" in inbox._describe(name, {"size": 1}).refusal
    assert inbox._describe("a/..b.csv", {"size": 1}).refusal == ""


def test_any_file_system_of_fsspec_serves(folder):
    system = fsspec.filesystem("memory")
    with system.open("/box/sub/a.csv", "wb") as file:
        file.write(b"a,b\n1,2\n")
    try:
        inbox = InboxDataset(path="memory://box").load()
        assert not isinstance(inbox, LocalInbox)
        (file,) = inbox.files()
        assert (file.name, file.size, file.refusal) == ("sub/a.csv", 8, "")
        with inbox.open(file) as table:
            assert [chunk.table["a"].to_pylist() for chunk in table.chunks(["a"], [])] == [["1"]]
        assert inbox.unchanged(file)
        with system.open("/box/sub/a.csv", "wb") as changed:
            changed.write(b"a,b\n1,22\n")
        assert not inbox.unchanged(file)
        inbox.move(file, "c" * 64, "memory://archive")
        assert inbox.files() == []
        assert system.exists("/archive/sub/a.csv")
    finally:
        system.rm("/", recursive=True)


def test_change_is_noticed_also_where_size_and_date_stay(folder):
    path = folder / "a.csv"
    path.write_text("a\n1\n")
    inbox = InboxDataset(path=str(folder)).load()
    (file,) = inbox.files()
    date = path.stat().st_mtime_ns
    time.sleep(0.02)
    path.write_text("a\n2\n")
    os.utime(path, ns=(date, date))
    assert not inbox.unchanged(file)


def test_name_that_is_taken_in_the_archive_gets_the_checksum(folder, tmp_path):
    inbox = InboxDataset(path=str(folder)).load()
    for content in ("1", "2"):
        (folder / "a.csv").write_text(content)
        (file,) = inbox.files()
        inbox.move(file, content * 64, str(tmp_path / "archive"))
    assert sorted(path.name for path in (tmp_path / "archive").iterdir()) == ["222222222222-a.csv", "a.csv"]


def test_folder_in_the_inbox_that_cannot_be_read_is_named(folder, monkeypatch):
    (folder / "a.csv").write_text("x")
    (folder / "closed").mkdir()
    plain = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert names(folder) == {"a.csv": "", "closed": "it cannot be read: Permission denied"}
