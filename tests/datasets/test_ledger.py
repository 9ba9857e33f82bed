import os
import sqlite3
import stat
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.io import DatasetError

from torchlane.core.options import PredictionOptions
from torchlane.core.scoring.contracts import Claim, Finished, InboxFile, Result
from torchlane.datasets.ledger import LedgerDataset, SQLLedger
from torchlane.datasets.ledger_tables import NOTES, insert


def test_password_of_the_ledger_is_not_shown():
    dataset = LedgerDataset(use_case="x", credentials={"url": "postgresql+psycopg://user:secret@127.0.0.1:1/none"})
    with pytest.raises(DatasetError, match="the ledger .*127.0.0.1:1/none cannot be opened: ") as caught:
        dataset.load()
    assert "secret" not in str(caught.value)
    assert "secret" not in str(dataset)


@pytest.mark.parametrize("url", ["", "nonsense", "nosuch://x/y"])
def test_url_that_is_none_is_refused_in_one_line(url):
    with pytest.raises(DatasetError, match="cannot be opened"):
        LedgerDataset(use_case="x", url=url).load()


@pytest.mark.parametrize("in_credentials", [False, True])
@pytest.mark.parametrize(
    "scheme",
    [
        "mysql",
        "mysql+pymysql",
        "mariadb",
        "mariadb+mariadbconnector",
        "mssql+pyodbc",
        "oracle",
        "duckdb",
        "cockroachdb",
    ],
)
def test_database_that_was_not_proven_is_refused_before_its_driver_is_asked_for(scheme, in_credentials):
    url = f"{scheme}://user:secret@127.0.0.1:1/none"
    place = {"credentials": {"url": url}} if in_credentials else {"url": url}
    with pytest.raises(DatasetError, match="a ledger is kept in SQLite or PostgreSQL, not in") as caught:
        LedgerDataset(use_case="x", **place).load()
    assert scheme.split("+")[0] in str(caught.value)
    assert "set path" in str(caught.value) and "postgresql+psycopg://" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077])
def test_file_of_a_ledger_has_the_mode_that_the_umask_allows_and_keeps_it(tmp_path, mask):
    path = tmp_path / "new/ledger.sqlite"
    before = os.umask(mask)
    try:
        LedgerDataset(use_case="one", path=str(path)).load()
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
        path.chmod(0o640)
        LedgerDataset(use_case="one", path=str(path)).load().register([(InboxFile("a.csv", 1, 0.0, "stamp"), "c" * 64)])
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_ledger_in_memory_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LedgerDataset(use_case="one", url="sqlite:///:memory:").load()
    assert not list(tmp_path.iterdir())


def test_use_cases_share_a_database_and_do_not_see_each_other(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    one, other = (LedgerDataset(use_case=name, url=url).load() for name in ("one", "other"))
    one.register([(InboxFile("a.csv", 1, 0.0, "stamp"), "c" * 64)])
    one.write_note("x", "1")
    assert [entry["name"] for entry in one.entries()] == ["a.csv"]
    assert other.entries() == []
    assert other.note("x") is None
    assert other.register([(InboxFile("b.csv", 1, 0.0, "stamp"), "c" * 64)]) == ["waiting"]


def test_rows_that_another_job_has_inserted_are_given_back_and_the_others_inserted(tmp_path):
    ledger = SQLLedger(f"sqlite:///{tmp_path}/ledger.sqlite", "one")
    notes = [{"use_case": "one", "name": name, "content": "x"} for name in "abcd"]
    with ledger._database.transaction() as connection:
        assert insert(connection, NOTES, notes[1:3]) == []
        assert insert(connection, NOTES, [notes[0], notes[2], notes[3], notes[1]]) == [notes[2], notes[1]]
        assert insert(connection, NOTES, []) == []
    assert [ledger.note(name) for name in "abcd"] == ["x"] * 4


def test_files_registered_together_have_the_states_that_they_have_one_by_one(tmp_path):
    together, alone = (SQLLedger(f"sqlite:///{tmp_path}/ledger.sqlite", name) for name in ("together", "alone"))
    options = PredictionOptions()
    for ledger in (together, alone):
        ledger.register(
            [(InboxFile("done.csv", 1, 0.0, "1"), "d" * 64), (InboxFile("failed.csv", 1, 0.0, "1"), "f" * 64)]
        )
        done, failed = ledger.claim({"d" * 64: ["done.csv"], "f" * 64: ["failed.csv"]}, options)
        ledger.finish([Finished(done, Result(1, 1, 0, "model", "output", 1.0), lambda: None)])
        ledger.fail(failed, "broken")
    contents = {"c": "d", "z": "x", "a": "x", "done": "d", "failed": "f", "b": "w", "e": "f"}
    files = [(InboxFile(f"{name}.csv", 1, 0.0, "2"), content * 64) for name, content in contents.items()]
    states = together.register(files)
    assert states == [state for each in files for state in alone.register([each])]
    assert states == ["copy", "waiting", "waiting", "done", "failed", "waiting", "failed"]
    found = [[(each["name"], each["state"]) for each in ledger.entries()] for ledger in (together, alone)]
    assert found[0] == found[1]


def test_path_with_characters_that_mean_something_in_a_url_is_taken_as_it_is(tmp_path):
    path = tmp_path / "50%20 of it?mode=ro#x" / "ledger.sqlite"
    LedgerDataset(use_case="x", path=str(path)).load().write_note("x", "1")
    assert path.exists()


def test_ledger_has_one_place(tmp_path):
    with pytest.raises(DatasetError, match="either path or url"):
        LedgerDataset(use_case="x", path=str(tmp_path / "a"), url="sqlite:///b")


class Jobs:
    """Jobs of different leases at one ledger, by one clock that may be set back."""

    def __init__(self, folder: Path, leases: list[float], n_files: int, size: int = 1):
        self.now = datetime(2026, 1, 1)
        self.leases = leases
        self.present = {f"{number:064}": [f"{number}.csv"] for number in range(n_files)}
        self.ledgers = [self.open(folder) for _ in leases]
        arrived = [(InboxFile(name, size, 0.0, "stamp"), checksum) for checksum, (name,) in self.present.items()]
        self.ledgers[0].register(arrived)
        self.claims: list[list[Claim]] = [[] for _ in leases]
        self.silent = [0.0] * len(leases)  # seconds since the last sign of life, by a clock that is right
        self.published: list[str] = []
        self.folder = folder

    def open(self, folder: Path) -> SQLLedger:
        ledger = SQLLedger(f"sqlite:///{folder}/ledger.sqlite", "toy")
        ledger._database.now = lambda connection: self.now  # type: ignore[method-assign]
        return ledger

    def options(self, job: int) -> PredictionOptions:
        return PredictionOptions(lease_seconds=self.leases[job], max_attempts=1000)

    def claim(self, job: int) -> None:
        """Claim files, if the job has none; what another job holds must not be alive."""
        if self.claims[job]:
            return
        claims = self.ledgers[job].claim(self.present, self.options(job))
        assert len(claims) < 2 or {claim.attempts for claim in claims} == {1}, "a file that may kill is not alone"
        taken = {claim.key for claim in claims}
        for other, held in enumerate(self.claims):
            for claim in [each for each in held if each.key in taken]:
                assert self.silent[other] > self.leases[other], "a live claim is taken"
                held.remove(claim)
                self.ledgers[other].fail(claim, "too late")
                assert not self.ledgers[other].renew(claim)
        self.claims[job], self.silent[job] = claims, 0.0

    def finish(self, job: int) -> None:
        assert self.ledgers[job].finish([self.finished(claim) for claim in self.claims[job]]) == [
            None for _ in self.claims[job]
        ]
        self.claims[job] = []

    def finished(self, claim: Claim) -> Finished:
        result = Result(1, 1, 0, "model", "output", 1.0)
        return Finished(claim, result, lambda: self.published.append(claim.checksum))

    def renew(self, job: int) -> None:
        for claim in self.claims[job]:
            assert self.ledgers[job].renew(claim), "a claim that nobody took is lost"
            self.silent[job] = 0.0

    def kill(self, job: int) -> None:
        """A job that is killed is silent from now on; another one takes its place."""
        held, dead = self.claims[job], self.ledgers[job]
        self.ledgers[job], self.claims[job] = self.open(self.folder), []
        if held:
            self.leases.append(self.leases[job])
            self.ledgers.append(dead)
            self.claims.append(held)
            self.silent.append(self.silent[job])

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.silent = [each + seconds for each in self.silent]

    def set_back(self, seconds: float) -> None:
        self.now -= timedelta(seconds=seconds)

    def end(self) -> None:
        """After the longest lease, and once more where the clock was set back, every file can be done: once."""
        for _ in range(2):
            self.ledgers[0].claim({}, self.options(0))  # a look shortens what cannot be
            self.wait(max(self.leases) + 1)
        ledger = self.open(self.folder)
        while claims := ledger.claim(self.present, self.options(0)):
            ledger.finish([self.finished(claim) for claim in claims])
        assert sorted(self.published) == sorted(self.present)


LEASES = st.lists(st.sampled_from([1.0, 10.0, 120.0, 3600.0]), min_size=2, max_size=3)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["claim", "claim", "renew", "finish", "kill"]), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.sampled_from([0.1, 0.9, 5.0, 20.0, 100.0, 130.0, 4000.0])),
    st.tuples(st.just("set_back"), st.sampled_from([0.01, 1.0, 60.0, 1e5, 1e8])),
)


def check_jobs(leases: list[float], n_files: int, steps: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        jobs = Jobs(Path(folder), list(leases), n_files)
        for name, argument in steps:
            getattr(jobs, name)(argument)
        jobs.end()


@settings(max_examples=25, deadline=None)
@given(leases=LEASES, n_files=st.integers(1, 3), steps=st.lists(STEPS, min_size=3, max_size=25))
def test_live_claim_is_never_taken_and_a_dead_one_is_after_its_own_lease(leases, n_files, steps):
    check_jobs(leases, n_files, steps)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(leases=LEASES, n_files=st.integers(1, 3), steps=st.lists(STEPS, min_size=3, max_size=40))
def test_live_claim_is_never_taken_and_a_dead_one_is_after_its_own_lease_in_the_long_run(leases, n_files, steps):
    check_jobs(leases, n_files, steps)


@pytest.mark.parametrize(("own", "others"), [(3600, 1), (1, 3600), (120, 60)])
def test_each_job_honours_the_lease_of_the_one_that_claimed(tmp_path, own, others):
    jobs = Jobs(tmp_path, [own, others], 1)
    jobs.claim(0)
    for _ in range(9):
        jobs.wait(0.1 * own)
        jobs.claim(1)
        assert not jobs.claims[1]
    jobs.wait(0.2 * own)
    jobs.claim(1)
    assert jobs.claims[1]


def test_ledger_of_an_earlier_version_is_taken_up(tmp_path):
    jobs = Jobs(tmp_path, [100, 50], 2, size=5 << 20)
    jobs.claim(0)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        database.execute("ALTER TABLE contents DROP COLUMN lease_seconds")
    jobs.ledgers = [jobs.open(tmp_path) for _ in range(2)]
    assert [entry["lease_seconds"] for entry in jobs.ledgers[1].entries()] == [None, None]
    jobs.claim(1)
    assert [claim.name for claim in jobs.claims[1]] == ["1.csv"]  # the other one is claimed still
    jobs.ledgers.append(jobs.open(tmp_path))  # and there is nothing left to add
    jobs.end()
