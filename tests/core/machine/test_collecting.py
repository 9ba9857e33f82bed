import subprocess
import sys
from importlib.util import find_spec

import pytest

PROGRAM = """
import atexit, sys, weakref
from torchlane.core.machine.collecting import collect_seldom

class Cycle:
    def __init__(self):
        self.own = self
    def __del__(self):
        print("taken apart")

class Held:
    pass

collect_seldom()
collect_seldom()
atexit.register(print, "handler")
held, cycle = Held(), Cycle()
weakref.finalize(held, print, "finalizer")
"""


def end_of(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)


def test_process_ends_with_its_handlers_and_without_taking_objects_apart():
    assert sorted(end_of(PROGRAM).stdout.split("\n")) == ["", "finalizer", "handler"]


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is there on Linux alone")
def test_extension_that_looks_for_leaks_finds_none():
    done = end_of(f"{PROGRAM}\nimport triton._C.libtriton")
    assert "leaked" not in done.stderr
    assert "taken apart" in done.stdout
