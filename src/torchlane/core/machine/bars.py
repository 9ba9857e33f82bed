"""How far long work has come: a bar on a terminal; elsewhere the log says so."""

import logging
import multiprocessing
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from tqdm import TqdmWarning, tqdm

from torchlane.core.machine.naming import prefix

with warnings.catch_warnings():  # in a notebook it warns that bars of widgets lack a package; these are of text
    warnings.simplefilter("ignore", TqdmWarning)
    from tqdm.contrib.logging import logging_redirect_tqdm

logger = logging.getLogger(__name__)

CELLS, FEWEST_CELLS = 10, 5  # of a bar: rather than show fewer, it shows fewer numbers beyond the first two
SHORTEST_NAME = 10
LOG_SECONDS = 30.0  # between the log lines of work that is counted, if there is no terminal


class _Log:
    """The log while bars are shown: its lines are written above them, and not into them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._redirected = ExitStack()
        self._n_bars = 0

    def begin_bar(self) -> None:
        with self._lock:  # the handlers are changed once, however many threads show bars
            if not self._n_bars:
                self._redirected.enter_context(logging_redirect_tqdm())
            self._n_bars += 1

    def end_bar(self) -> None:
        with self._lock:
            self._n_bars -= 1
            if not self._n_bars:
                self._redirected.close()


_log = _Log()


class Bar(tqdm):
    """A line `name: epoch 3/40 |███   | loss 0.47, 23/s, 00:01 left` that fits the terminal.

    `numbers` are shown as far as they fit, the first ones first; a long name is cut. It shows nothing if stderr is no
    terminal, nor in the workers of a parallel runner, which would all write to the same line.
    """

    def __init__(self, name: str, total: int | None, unit: str, *, initial: int = 0, delay: float = 0):
        self.numbers: Sequence[str] = ()
        self._name = ": ".join((*prefix(), name))
        hidden = True if multiprocessing.parent_process() is not None else None  # None: unless stderr is a terminal
        super().__init__(
            total=total, initial=initial, unit=unit, delay=delay, disable=hidden, leave=False, dynamic_ncols=True
        )
        if not self.disable:
            _log.begin_bar()

    def close(self) -> None:
        """Remove the bar from the terminal."""
        shown = not self.disable
        super().close()
        if shown:
            _log.end_bar()

    @property
    def format_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = super().format_dict
        width = found["ncols"] or 80
        rate = found["rate"] or ((found["n"] - found["initial"]) / found["elapsed"] if found["elapsed"] else 0)
        text = line_of(self._name, found["n"], found["total"], self.unit, rate, self.numbers, width)
        return {**found, "bar_format": text.replace("{", "{{").replace("}", "}}").replace("\0", "{bar}")}


def line_of(name: str, done: int, total: int | None, unit: str, rate: float, numbers: Sequence[str], width: int) -> str:
    r"""Write the line of a bar, with a null character where the cells go; `rate` is in units per second.

    >>> line_of("16 members", 12, 45, "epoch", 23.0, ["loss 0.4729", "valid 0.528", "valid r2_score 0.48"], 80)
    '16 members: epoch 12/45 |\x00| loss 0.4729, valid 0.528, 23/s, 00:01 left'
    >>> line_of("new.csv", 120_000, None, "row", 35_000.0, [], 80)
    'new.csv: 120,000 rows, 35.0k/s'
    """
    speed = [] if not rate else [_speed(rate)]
    if total is None:
        return ", ".join([f"{name}: {done:,} {unit}s", *speed])[:width]
    left = [f"{tqdm.format_interval((total - done) / rate)} left"] if rate else []
    count = f": {unit} {done:,}/{total:,} |\0|"
    for n_numbers in range(len(numbers), -1, -1):
        after = ", ".join([*numbers[:n_numbers], *speed, *left])
        room = width - len(count) - (CELLS if n_numbers > 2 else FEWEST_CELLS) - len(after) - 1
        if room >= min(len(name), SHORTEST_NAME) or not n_numbers:
            break
    return f"{_shortened(name, room)}{count} {after}"


@contextmanager
def counted(name: str, total: int | None, unit: str) -> Iterator[Callable[[int], None]]:
    """Show how many units of a work are done, as the block says with the function that it is given.

    A bar appears on a terminal after a second. Elsewhere the log has a line every half minute.
    """
    said, done = time.monotonic(), 0
    with Bar(name, total, unit, delay=1) as bar:

        def advance(n: int) -> None:
            nonlocal said, done
            done += n
            bar.update(n)
            if bar.disable and time.monotonic() - said >= LOG_SECONDS:
                said = time.monotonic()
                logger.info("%s: %s %ss so far", name, f"{done:,}" + (f" of {total:,}" if total else ""), unit)

        yield advance


def _speed(rate: float) -> str:
    if rate < 1:
        return f"{rate:.1f}/s" if rate >= 0.1 else f"{1 / rate:,.0f} s each"
    if rate >= 10_000:
        return f"{tqdm.format_sizeof(rate)}/s"  # 19.3k/s
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


def _shortened(name: str, room: int) -> str:
    room = max(room, SHORTEST_NAME)
    return name if len(name) <= room else f"{name[: room - 3]}..."
