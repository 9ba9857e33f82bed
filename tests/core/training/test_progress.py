"""What the log says of a training."""

import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.fitted import fitted
from torchlane.core.options import shown_number
from torchlane.core.training.progress import with_progress


class Run:
    """A training whose losses are large."""

    epoch = 0

    def epochs(self):
        for epoch in (1, 2):
            self.epoch = epoch
            yield {"epoch": epoch, "train_loss": 30156.3, "valid_loss": 1234567.8, "valid_mean_absolute_error": 99.5}

    def outcomes(self):
        kept = {"epoch": 2, "train_loss": 30156.3, "learning_rate": 0.1, "seconds": 1.0}
        return [{"threads": 1, "kept": kept}]


@pytest.mark.parametrize("quiet", [False, True])
def test_log_has_plain_lines_with_readable_numbers_if_there_is_no_terminal(caplog, capsys, quiet):
    with caplog.at_level(logging.INFO, "torchlane"):
        list(with_progress(Run(), "2 members", fitted(epochs=2), quiet))
    lines = [
        "2 members: epoch 1: train_loss 30,156, valid_loss 1,234,568, valid_mean_absolute_error 99.5",
        "2 members: epoch 2: train_loss 30,156, valid_loss 1,234,568, valid_mean_absolute_error 99.5",
    ]
    assert caplog.messages[:-1] == ([] if quiet else lines)
    assert re.fullmatch(
        r"2 members: 2 epochs in .* s with 1 thread; keeps epoch 2: train_loss 30,156", caplog.messages[-1]
    )
    assert capsys.readouterr().err == ""


@given(st.floats(1e-4, 9e14), st.sampled_from([1, -1]))
def test_number_of_any_usual_size_is_written_without_an_exponent(size, sign):
    shown = shown_number(sign * size)
    assert "e" not in shown
    assert float(shown.replace(",", "")) == pytest.approx(sign * size, rel=1e-3)
