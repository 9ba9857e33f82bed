"""Small versions of what `benchmarks/scoring.py` proves at length."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .commands import PROJECT, run_command

SCRIPT = str(PROJECT / "benchmarks/scoring.py")
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) if Path("/usr/lib/postgresql").exists() else []


def test_killed_jobs_score_every_row_once():
    done = run_command(sys.executable, SCRIPT, "kills", "--kills", "8", "--most-rows", "2000", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^(8|9) kills in \d+ rounds .* all once$", done.stdout, re.MULTILINE)


def test_damaged_files_are_scored_right_or_set_aside():
    done = run_command(sys.executable, SCRIPT, "mutations", "--files", "35", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def postgres(tmp_path) -> Iterator[str]:
    """A server of this test's own, on a socket in its folder; it ends with the test."""
    import os
    import shutil

    if not POSTGRES:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    folder, programs = Path("/tmp") / f"postgres-{os.getpid()}", POSTGRES[-1].parent
    folder.mkdir(mode=0o777)
    as_user = []
    if os.geteuid() == 0:  # the server does not run as root
        shutil.chown(folder, "postgres")
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    settings = f"-c listen_addresses= -c unix_socket_directories={folder}"
    try:
        initdb = [*as_user, programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres"]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/")
        with subprocess.Popen(
            [*as_user, programs / "postgres", "-D", folder / "data", *settings.split()],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as server:
            try:
                while not (folder / ".s.PGSQL.5432").exists():
                    assert server.poll() is None, "the server has ended"
                    time.sleep(0.05)
                yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
            finally:
                server.terminate()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_killed_jobs_score_every_row_once_with_a_ledger_on_postgresql(postgres):
    done = run_command(
        sys.executable, SCRIPT, "kills", "--kills", "20", "--most-rows", "2000", "--seed", "2", "--url", postgres
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^2\d kills in \d+ rounds .* all once$", done.stdout, re.MULTILINE)
