"""How long idle threads of OpenMP keep a core busy while they wait; to be set before torch is loaded."""

import os
import sys

# GNU's OpenMP, which torch brings on Linux, counts turns of a loop; those of LLVM and Intel count milliseconds.
SHORT_WAIT = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
CHOSEN_BY_USER = ("OMP_WAIT_POLICY", *SHORT_WAIT)


def wait_briefly() -> None:
    """Let idle threads sleep after microseconds, unless the user has chosen how they wait or torch is loaded.

    By default they turn in a loop for milliseconds. Beside a busy process they then take the core that the thread
    which they wait for needs.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in CHOSEN_BY_USER):
        os.environ.update(SHORT_WAIT)
