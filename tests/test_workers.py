"""What the workers of the test run change: one thread each, and reports that are sent between processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from .commands import PROJECT, run_command

BESIDE_THREADS = [
    "tests/test_workers.py::test_torch_has_the_threads_of_its_environment",
    "tests/core/training/test_fit.py::test_one_member_has_the_bits_of_the_plain_loop[False-AdamW]",
    "tests/core/training/test_fit.py::test_one_member_has_the_bits_of_the_plain_loop[True-SGD]",
]


def pytest_run(*arguments: str, folder: Path = PROJECT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as a user does, and not as a worker."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, env={**own, **environment}, capture_output=True, text=True, timeout=600)


def test_torch_has_the_threads_of_its_environment():
    assert torch.get_num_threads() == int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads()))


def test_bits_of_trainings_hold_with_two_threads_too():
    done = pytest_run(*BESIDE_THREADS, OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stdout


SPOILT = """
import logging
import warnings
import pytest

@pytest.mark.parametrize("value", ["passes", "fails", "warns"])
def test(value):
    logging.error("half of a pair: \\ud800")
    if value == "warns":
        warnings.warn("a warning is an error")
    assert value == "passes", "half of a pair: \\ud800"
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_worker_survives_half_of_a_pair_of_surrogates_and_takes_warnings_for_errors(workers, tmp_path):
    (tmp_path / "test_spoilt.py").write_text(SPOILT)
    (tmp_path / "conftest.py").write_text("from tests.reports import pytest_runtest_makereport\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    done = pytest_run("-n", workers, "-rA", folder=tmp_path, PYTHONPATH=str(PROJECT))
    assert "1 passed" in done.stdout and "2 failed" in done.stdout, done.stdout + done.stderr
    assert "a warning is an error" in done.stdout
    assert "crashed" not in done.stdout


@pytest.mark.parametrize("end", ["sys.exit(3)", "raise RuntimeError('of the script')"])
def test_script_in_a_fork_has_its_arguments_its_folder_and_its_status(end, tmp_path):
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside/helper.py").write_text("WORD = 'from beside'\n")
    (tmp_path / "beside/script.py").write_text(
        "import os, sys\n"
        "from helper import WORD\n"
        f"print(__name__, WORD, sys.argv, os.getcwd(), 'torchlane' in sys.modules)\n{end}\n"
    )
    done = run_command(sys.executable, "beside/script.py", "--word", "x", folder=tmp_path)
    printed = f"__main__ from beside ['beside/script.py', '--word', 'x'] {tmp_path} False"
    assert done.stdout.splitlines()[-1] == printed, done.stderr  # Kedro has said before which logging it takes
    if end.startswith("raise"):
        assert done.returncode == 1 and "RuntimeError: of the script" in done.stderr
    else:
        assert done.returncode == 3
