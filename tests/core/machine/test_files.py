import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.machine import files
from torchlane.core.machine.files import replacing


def test_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.csv"
    with replacing(path) as partial:
        partial.write_text("one")
        assert partial.suffix == ".csv"
        assert not path.exists()
    assert path.read_text() == "one"
    assert os.listdir(path.parent) == ["a.csv"]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def write_as_safetensors_does(path: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as made:  # mode 0600
        made.write(b"new")
    Path(made.name).replace(path)


@pytest.mark.parametrize("write", [write_as_safetensors_does, lambda path: path.write_bytes(b"new")])
@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o027, 0o077])
def test_new_file_has_the_mode_that_the_umask_allows_whoever_writes_it(tmp_path, mask, write):
    with umask(mask), replacing(tmp_path / "a") as partial:
        write(partial)
    assert mode_of(tmp_path / "a") == 0o666 & ~mask


@pytest.mark.parametrize("write", [write_as_safetensors_does, lambda path: path.write_bytes(b"new")])
@pytest.mark.parametrize("mode", [0o640, 0o664, 0o600, 0o444, 0o200])
def test_file_that_takes_the_place_of_another_keeps_its_mode(tmp_path, mode, write):
    path = tmp_path / "a"
    path.touch()
    path.chmod(mode)
    with umask(0o022), replacing(path) as partial:
        write(partial)
    assert mode_of(path) == mode
    assert path.stat().st_size == 3


def test_error_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_kill_leaves_the_file_as_it_was_and_the_next_write_removes_the_rest(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    program = (
        "import os, signal, sys; from pathlib import Path; from torchlane.core.machine.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)])
    assert killed.returncode == -9
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    with replacing(path) as partial:
        partial.write_text("new")
    assert os.listdir(tmp_path) == ["a"]
    assert path.read_text() == "new"


class Machines:
    """Processes of several machines that share a folder; some containers have one process, others several."""

    def __init__(self, folder: Path):
        self.target = folder / "a.csv"
        self.now = 1e9  # of the storage
        self.births = 0
        self.versions = 0
        self.graves: list[Any] = []
        self.processes = [self.start(*place) for place in (("a" * 12, 1), ("b" * 12, 1), ("c" * 12, 7), ("c" * 12, 8))]
        self.dead: list[tuple[Path, str, float]] = []  # what they left, where, and when they last wrote

    def start(self, system: str, number: int) -> SimpleNamespace:
        self.births += 1
        return SimpleNamespace(system=system, number=number, started=str(self.births), open=None, partial=None)

    @contextmanager
    def on(self, process: SimpleNamespace) -> Iterator[None]:
        """Run as one process, which can see only the processes of its own system."""
        seen = {each.number: each.started for each in self.processes if each.system == process.system}
        with (
            mock.patch.object(files, "_system", lambda: process.system),
            mock.patch.object(files, "_started", seen.get),
            mock.patch.object(files, "_storage_time", lambda probe: self.now),
            mock.patch.object(files, "_writer", lambda: f"{process.system}-{process.number}-{process.started}"),
        ):
            yield

    def begin(self, process: SimpleNamespace) -> None:
        if process.open is not None:
            return
        process.open = replacing(self.target)
        with self.on(process):
            process.partial = process.open.__enter__()
        self.write(process)
        kept = []
        for partial, system, last in self.dead:
            is_old = last < self.now - files.LEFTOVER_SECONDS
            assert partial.exists() is not (system == process.system or is_old)
            if partial.exists():
                kept.append((partial, system, last))
        self.dead = kept

    def write(self, process: SimpleNamespace) -> None:
        if process.open is not None:
            with process.partial.open("a") as file:
                file.write("half")
            os.utime(process.partial, (self.now, self.now))

    def finish(self, process: SimpleNamespace) -> None:
        if process.open is None:
            return
        self.versions += 1
        process.partial.write_text(f"version {self.versions}")
        with self.on(process):
            process.open.__exit__(None, None, None)
        process.open = None

    def kill(self, process: SimpleNamespace) -> None:
        """Kill a process; the next process gets the same number, as in a container."""
        if process.open is not None:
            self.dead.append((process.partial, process.system, process.partial.stat().st_mtime))
            self.graves.append(process.open)
        self.processes[self.processes.index(process)] = self.start(process.system, process.number)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        for process in self.processes:
            if process.open is not None:  # its thread has given a sign of life
                last = self.now - seconds % files.BEAT_SECONDS
                os.utime(process.partial, (last, last))

    def check(self) -> None:
        for process in self.processes:
            assert process.open is None or process.partial.exists(), "a live file is gone"
        assert (self.target.read_text() if self.versions else None) == (
            f"version {self.versions}" if self.versions else None
        )
        assert self.versions or not self.target.exists()


STEPS = st.one_of(
    st.tuples(st.sampled_from(["begin", "begin", "write", "finish", "kill"]), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 5000.0, 300_000.0, 700_000.0, 2e6])),
)


def check_machines(steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        machines = Machines(Path(folder))
        for name, argument in steps:
            getattr(machines, name)(machines.processes[argument] if name != "wait" else argument)
            machines.check()
        for each in [*machines.graves, *(process.open for process in machines.processes if process.open)]:
            each.gen.close()


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(STEPS, min_size=5, max_size=40))
def test_no_live_file_of_any_machine_is_removed_and_each_dead_one_goes(steps):
    check_machines(steps)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(steps=st.lists(STEPS, min_size=5, max_size=60))
def test_no_live_file_of_any_machine_is_removed_and_each_dead_one_goes_in_the_long_run(steps):
    check_machines(steps)


def test_file_of_an_earlier_version_or_of_an_unknown_system_goes_when_it_is_old(tmp_path):
    names = [".partial-1-0123abcd-a", f".partial-{files.UNKNOWN}-1-0-0123abcd-a"]
    for name, age in [(names[0], 8), (names[1], 6)]:
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (time.time() - age * 86400,) * 2)
    with replacing(tmp_path / "b") as partial:
        partial.write_text("b")
    assert sorted(os.listdir(tmp_path)) == [names[1], "b"]


def test_age_counts_by_the_clock_of_the_storage(tmp_path, monkeypatch):
    foreign = tmp_path / f".partial-{'f' * 12}-1-0-0123abcd-a"
    foreign.write_text("half")
    monkeypatch.setattr(time, "time", lambda: 1e11)  # of this machine, which is wrong
    with replacing(tmp_path / "a") as partial:
        partial.write_text("a")
    assert foreign.exists()


def test_file_at_work_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "BEAT_SECONDS", 0.01)
    with replacing(tmp_path / "a") as partial:
        partial.write_text("a")
        os.utime(partial, (0, 0))
        while partial.stat().st_mtime == 0:
            time.sleep(0.01)


def test_writer_whose_file_was_removed_hears_of_it_and_the_target_stays(tmp_path):
    path = tmp_path / "a"
    path.write_text("old")
    with (
        pytest.raises(
            OSError, match=r"a stays as it was, since \.partial-.*-a, written to take its place, was removed"
        ),
        replacing(path) as partial,
    ):
        partial.write_text("new")
        partial.unlink()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_number_given_to_another_process_since_is_no_sign_of_life(tmp_path):
    number = os.getppid()
    (tmp_path / f".partial-{files._system()}-{number}-1-0123abcd-a").touch()
    (tmp_path / f".partial-{files._system()}-{number}-{files._started(number)}-0123abcd-a").touch()
    with replacing(tmp_path / "b") as partial:
        partial.write_text("b")
    left = [name for name in os.listdir(tmp_path) if name != "b"]
    assert left == [f".partial-{files._system()}-{number}-{files._started(number)}-0123abcd-a"]
