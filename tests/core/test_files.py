import os
import subprocess
import sys

import pytest

from torchlane.core.files import replacing


def test_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.csv"
    with replacing(path) as partial:
        partial.write_text("one")
        assert partial.suffix == ".csv"
        assert not path.exists()
    assert path.read_text() == "one"
    assert os.listdir(path.parent) == ["a.csv"]


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
        "import os, signal, sys; from pathlib import Path; from torchlane.core.files import replacing\n"
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
