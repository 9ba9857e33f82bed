"""The command that makes the pictures of the README."""

import subprocess
import sys

import pytest
from PIL import Image

from ..commands import PROJECT


def test_terminal_shows_colours_and_what_a_bar_showed_last(window, tools, tmp_path):
    text = tools._last("\x1b[32mrows\x1b[0m 1/9\r\x1b[32mrows\x1b[0m 9/9")
    assert text == "\x1b[32mrows\x1b[0m 9/9"
    assert tools._last("epoch 1 of 200\repoch 2") == "epoch 2 of 200"
    tools.take_terminal(window, ["kedro", "run"], text, tmp_path / "terminal.png")
    with Image.open(tmp_path / "terminal.png") as picture:
        assert picture.width == tools.WIDTH
        assert any(green > 100 > red for red, green, _ in picture.convert("RGB").getdata())


@pytest.mark.slow
def test_command_makes_three_pictures_of_a_bounded_size(tools, tmp_path):
    command = [sys.executable, str(PROJECT / "docs/pictures.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipeline.png", "report.png", "terminal.png"]
    for path in tmp_path.iterdir():
        assert path.stat().st_size < tools.MOST_BYTES
        with Image.open(path) as picture:
            assert picture.width == tools.WIDTH
