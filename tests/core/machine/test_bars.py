"""Bars on a terminal, which is a pseudo-terminal here, and the log beside them."""

import fcntl
import io
import logging
import os
import re
import struct
import sys
import termios
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlane.core.machine import bars
from torchlane.core.machine.bars import Bar, counted, line_of
from torchlane.core.machine.naming import naming

logger = logging.getLogger("torchlane.test_bars")


@pytest.fixture
def terminal(monkeypatch):
    """Make stderr a terminal of some columns, with the log on it; return what reads what was written."""
    masters, opened = [], []

    def open_terminal(columns: int):
        master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        stream = os.fdopen(slave, "w", encoding="utf-8")
        monkeypatch.setattr(sys, "stderr", stream)
        handler = logging.StreamHandler(stream)
        logging.getLogger().addHandler(handler)
        masters.append((master, handler))
        opened.append(stream)
        monkeypatch.setattr(logger, "level", logging.INFO)

        def read() -> str:
            stream.flush()
            os.set_blocking(master, False)
            parts = []
            while True:
                try:
                    parts.append(os.read(master, 1 << 16))
                except BlockingIOError:
                    return b"".join(parts).decode()

        return read

    yield open_terminal
    for master, handler in masters:
        logging.getLogger().removeHandler(handler)
        os.close(master)
    for stream in opened:
        stream.close()


def frames(written: str) -> list[str]:
    """Split what a terminal received into the lines that it showed."""
    return [frame for frame in re.split(r"[\r\n]+", written.replace("\x1b[A", "")) if frame.strip()]


@pytest.mark.parametrize("columns", [80, 120])
def test_bar_fits_the_terminal_and_shows_epoch_losses_rate_and_time_left(terminal, columns):
    read = terminal(columns)
    with Bar("16 members", 45, "epoch") as bar:
        bar.mininterval = 0
        for epoch in range(1, 45):
            bar.numbers = [f"loss {1 / epoch:.3g}", f"valid {1.1 / epoch:.3g}", "valid mean_absolute_error 30,157"]
            bar.update()
    shown = [frame for frame in frames(read()) if "epoch 1" in frame and "left" in frame]
    assert shown
    for frame in shown:
        assert len(frame) <= columns
        assert re.search(
            r"16 members: epoch 1\d?/45 \|.{5,}\| loss [\d.]+, valid [\d.]+, .*\dk?/s, 00:00 left", frame
        ), frame
        assert ("mean_absolute_error" in frame) == (columns == 120)


names = st.text(st.characters(codec="ascii", exclude_categories=("C",)), min_size=1, max_size=60)
numbers = st.sampled_from([["loss 0.0833", "valid 12,345", "valid mean_absolute_error 30,157"], ["loss 0.0833"]])


@given(names, st.integers(0, 998), st.integers(1, 999), st.floats(0.3, 999), numbers, st.integers(79, 200))
def test_any_bar_of_80_columns_has_cells_losses_rate_and_time_left(name, done, total, rate, shown, width):
    line = line_of(name, min(done, total), total, "epoch", rate, shown, width)
    assert len(line) - 1 + bars.FEWEST_CELLS <= width
    assert f"| {', '.join(shown[:2])}, " in line
    assert re.search(r"/s, [\d:]+ left$", line)
    assert line.startswith(name[:7])


def test_lines_of_the_log_stand_above_the_bar_and_whole(terminal):
    read = terminal(80)
    handlers = list(logging.getLogger().handlers)
    with Bar("training", 3, "epoch") as bar:
        bar.mininterval = 0
        for number in range(3):
            logger.info("line %d of the log", number)
            bar.update()
    logger.info("after it")
    lines = [line.split("\r")[-1] for line in read().replace("\r\n", "\n").split("\n")]
    assert [line for line in lines if "log" in line] == [f"line {number} of the log" for number in range(3)]
    assert lines[-2].endswith("after it")
    assert logging.getLogger().handlers == handlers


def test_bars_of_several_threads_that_end_in_any_order_leave_the_log_as_it_was(terminal):
    read = terminal(80)
    before = list(logging.getLogger().handlers)
    begun, ended = threading.Event(), threading.Event()

    def first() -> None:
        with naming("zoo"), Bar("training", 2, "epoch"):
            begun.set()
            assert both.wait(10)
        ended.set()

    def second() -> None:
        assert begun.wait(10)
        with naming("digits"), Bar("training", 2, "epoch"):
            both.set()
            assert ended.wait(10)
            logger.info("one bar is left")

    both = threading.Event()
    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert logging.getLogger().handlers == before
    shown = frames(read())
    assert any(frame.startswith("zoo: training: epoch 0/2") for frame in shown)
    assert any(frame.startswith("digits: training: epoch 0/2") for frame in shown)
    assert shown.count("one bar is left") == 1


def test_worker_of_a_parallel_runner_shows_no_bar(terminal, monkeypatch):
    read = terminal(80)
    monkeypatch.setattr(bars.multiprocessing, "parent_process", lambda: object())
    with Bar("training", 3, "epoch") as bar:
        bar.update()
    assert read() == ""


def test_without_a_terminal_counted_work_says_in_the_log_how_far_it_is(monkeypatch, caplog):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    now = iter([0.0, 29.0, 31.0, 40.0])
    monkeypatch.setattr(bars.time, "monotonic", lambda: next(now, 40.0))
    with caplog.at_level(logging.INFO, "torchlane"), counted("new.csv", None, "row") as advance:
        for _ in range(3):
            advance(50_000)
    assert caplog.messages == ["new.csv: 100,000 rows so far"]
    assert sys.stderr.getvalue() == ""
