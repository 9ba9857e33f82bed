import subprocess
from datetime import UTC, datetime, timedelta

from torchlane.core.machine.surroundings import commit_of, describe_surroundings


def git(folder, *command):
    names = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    done = subprocess.run(["git", "-C", folder, *names, *command], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_commit_is_that_of_the_checkout_and_says_whether_files_differ(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a.txt").write_text("a")
    git(tmp_path, "add", "a.txt")
    git(tmp_path, "commit", "-q", "-m", "a")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "new.txt").write_text("not tracked")
    assert commit_of(tmp_path) == commit
    (tmp_path / "a.txt").write_text("b")
    assert commit_of(tmp_path) == f"{commit}, changed"


def test_no_checkout_and_no_git_have_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit_of(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_of(tmp_path) is None


def test_surroundings_have_the_time_in_utc_and_not_the_name_of_the_machine(tmp_path):
    import socket

    found = describe_surroundings(tmp_path)
    assert abs(datetime.fromisoformat(found["time"]) - datetime.now(UTC)) < timedelta(minutes=1)
    assert set(found) == {"time", "system", "processors", "python", "commit"}
    assert socket.gethostname() not in str(found)
