"""Lines of the log that say whose they are."""

import io
import logging
import threading

import pytest

from torchlane.core.machine.naming import naming
from torchlane.log_lines import begin_node, begin_run

logger = logging.getLogger("torchlane.test_log_lines")


@pytest.fixture
def lines():
    stream = io.StringIO()
    handlers = [logging.StreamHandler(stream) for _ in range(2)]
    for handler in handlers:
        logging.getLogger().addHandler(handler)
    before, logger.level = logger.level, logging.INFO
    yield lambda: stream.getvalue().splitlines()
    logger.level = before
    begin_node(None)
    for handler in handlers:
        logging.getLogger().removeHandler(handler)


def test_line_says_its_use_case_in_a_run_of_several_and_only_there(lines):
    for n_use_cases in (1, 2):
        begin_run(n_use_cases)
        begin_node("zoo")
        logger.info("rows: %d kept", 101)
        begin_node(None)
        logger.info("100% done")
    assert lines()[::2] == lines()[1::2] == ["rows: 101 kept", "100% done", "zoo: rows: 101 kept", "100% done"]


def test_each_thread_names_its_own_use_case(lines):
    begin_run(2)
    barrier = threading.Barrier(2)

    def work(use_case: str) -> None:
        begin_node(use_case)
        barrier.wait(10)
        logger.info("split by %s", use_case)

    threads = [threading.Thread(target=work, args=(use_case,)) for use_case in ("zoo", "digits")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert set(lines()) == {"zoo: split by zoo", "digits: split by digits"}


def test_line_says_which_part_of_the_work_it_is_about(lines):
    begin_run(2)
    begin_node("zoo")
    with naming("folds 1 to 5 of 10"), naming("50%"):
        logger.info("%s: epoch %d", "2 members", 3)
    logger.info("evaluation")
    assert lines()[::2] == ["zoo: folds 1 to 5 of 10: 50%: 2 members: epoch 3", "zoo: evaluation"]
