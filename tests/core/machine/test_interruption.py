import os
import signal

import pytest

from torchlane.core.machine import interruption
from torchlane.core.machine.interruption import Interrupted


@pytest.mark.parametrize("number", interruption.SIGNALS)
def test_signal_ends_with_its_own_exit_status(number):
    with pytest.raises(Interrupted) as caught, interruption.handled():
        os.kill(os.getpid(), number)
        interruption.check()
    assert caught.value.exit_status == 128 + number


def test_signal_waits_while_deferred_until_the_next_check():
    reached = False
    with pytest.raises(Interrupted), interruption.handled(), interruption.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        reached = True
        interruption.check()
    assert reached


def test_second_signal_does_not_wait():
    with pytest.raises(Interrupted), interruption.handled(), interruption.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second signal was deferred too")


def test_handlers_are_put_back_and_nothing_is_left_waiting():
    before = signal.getsignal(signal.SIGTERM)
    with interruption.handled(), interruption.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
    interruption.check()
