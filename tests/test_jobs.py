"""Runs beside each other: in one process as under a server or in a notebook, and jobs that share a folder."""

import contextlib
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kedro.framework.hooks import hook_impl
from kedro.framework.session import KedroServiceSession
from kedro.framework.startup import bootstrap_project
from kedro.runner import ParallelRunner, SequentialRunner, ThreadRunner

from torchlane.core.rows import splits
from torchlane.core.scoring import inbox
from torchlane.core.scoring.failures import ScoringError
from torchlane.stages import use_case_of

from .commands import PROJECT

QUICK = {"salaries": {"training": {"epochs": 1, "members": 1}}}


class Meanwhile:
    """Hooks that call something at a moment of a run: before or after a node, or at its end."""

    def __init__(self, moment: str, call: Callable[[], object]):
        self.moment, self.call = moment, call

    @hook_impl
    def before_node_run(self, node: Any) -> None:
        self.reach(f"before {use_case_of(node)}.{node.func.__name__}")

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        self.reach(f"saved {dataset_name}")

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        self.reach("end")

    def reach(self, moment: str) -> None:
        if moment == self.moment:
            self.moment = ""  # once
            self.call()


@pytest.fixture(scope="module")
def server() -> KedroServiceSession:
    """A process that serves several runs; its hooks are those of the project, one for all."""
    bootstrap_project(PROJECT)
    return KedroServiceSession.create(project_path=PROJECT, env="test", serving_mode=True)


@pytest.fixture
def prepare(server) -> Callable[..., object]:
    """Run the stage prepare of a use case into a folder."""

    def run(folder: Path, use_case: str = "zoo", *hooks: Meanwhile, **options: Any) -> object:
        params = {"output_root": str(folder)}
        with registered(server, *hooks):
            return server.run(pipeline_names=[use_case], tags=["prepare"], runtime_params=params, **options)

    return run


@contextlib.contextmanager
def registered(server: KedroServiceSession, *hooks: Meanwhile) -> Iterator[None]:
    for each in hooks:
        server._hook_manager.register(each)
    try:
        yield
    finally:
        for each in hooks:
            server._hook_manager.unregister(each)


def is_locked(folder: Path, use_case: str = "zoo") -> bool:
    lock = FileLock(folder / f"06_models/{use_case}/.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner])
@pytest.mark.parametrize("moment", ["before zoo.split_rows", "saved zoo.clean_rows"])
def test_lock_goes_with_ctrl_c_although_the_traceback_is_kept(prepare, tmp_path, moment, runner):
    with pytest.raises(KeyboardInterrupt) as kept:  # as a notebook keeps it
        prepare(tmp_path, "zoo", Meanwhile(moment, interrupt), runner=runner())
    assert kept.tb is not None
    assert not is_locked(tmp_path)
    unfinished = json.loads((tmp_path / "06_models/zoo/.unfinished.json").read_text())
    assert "zoo.splits" in unfinished
    assert ("zoo.clean_rows" in unfinished) is (moment == "saved zoo.clean_rows")
    prepare(tmp_path)
    assert not (tmp_path / "06_models/zoo/.unfinished.json").exists()


@pytest.mark.parametrize("moment", ["before zoo.split_rows", "end"])
def test_lock_goes_with_an_error_of_the_run_or_of_another_hook(prepare, tmp_path, moment):
    def fail() -> None:
        raise RuntimeError("of another hook")

    with pytest.raises(RuntimeError, match="of another hook"):
        prepare(tmp_path, "zoo", Meanwhile(moment, fail))
    assert not is_locked(tmp_path)


def test_end_of_one_run_leaves_the_lock_of_another(prepare, tmp_path):
    seen = {}

    def others() -> None:
        prepare(tmp_path, "salaries")
        seen["after a run of another use case"] = is_locked(tmp_path)
        prepare(tmp_path / "elsewhere")
        seen["after a run into another folder"] = is_locked(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            prepare(tmp_path / "elsewhere", "zoo", Meanwhile("before zoo.split_rows", interrupt))
        seen["after Ctrl-C in another run"] = is_locked(tmp_path)
        with pytest.raises(ValueError, match="another run of zoo is writing to"):
            prepare(tmp_path)
        seen["after another run was refused"] = is_locked(tmp_path)
        seen["note"] = json.loads((tmp_path / "06_models/zoo/.unfinished.json").read_text())

    prepare(tmp_path, "zoo", Meanwhile("before zoo.split_rows", others))
    note = seen.pop("note")
    assert seen and all(seen.values()), seen
    assert "zoo.splits" in note  # which the run elsewhere has written, there
    assert not is_locked(tmp_path)


def test_runs_in_threads_exclude_each_other_as_processes_do(prepare, tmp_path):
    working, end = threading.Event(), threading.Event()
    first = Meanwhile("before zoo.split_rows", lambda: (working.set(), end.wait(60)))
    thread = threading.Thread(target=prepare, args=(tmp_path, "zoo", first))
    thread.start()
    try:
        assert working.wait(60)
        with pytest.raises(ValueError, match="another run of zoo is writing to"):
            prepare(tmp_path)
        prepare(tmp_path, "salaries")
        assert is_locked(tmp_path)
    finally:
        end.set()
        thread.join()
    assert not is_locked(tmp_path)
    prepare(tmp_path)


def test_lock_holds_while_a_parallel_runner_works_in_other_processes(prepare, tmp_path, monkeypatch):
    plain = splits.split_rows

    def split_rows(*arguments: Any) -> Any:  # in a worker, which is a fork of this process
        (tmp_path / f"locked {is_locked(tmp_path)}").touch()
        return plain(*arguments)

    monkeypatch.setattr(splits, "split_rows", split_rows)
    prepare(tmp_path, "zoo", runner=ParallelRunner(max_workers=2))
    assert (tmp_path / "locked True").exists()
    assert not is_locked(tmp_path)
    assert not (tmp_path / "06_models/zoo/.unfinished.json").exists()


# ---- the exit status ----

OUTCOMES = {
    0: [],
    3: [{"exit_status": 3, "message": "rejected"}],
    4: [{"exit_status": 4, "message": "failed"}, {"exit_status": 3, "message": "rejected"}],
    6: [{"exit_status": 6, "message": "drifted"}, {"exit_status": 4, "message": "failed"}],
}
MOMENTS = (
    "before salaries.score_files",
    "saved salaries.scoring",
    "saved salaries.scored",
    "before salaries.plot_drift",
    "before salaries.score_outcomes",
    "end",
)


@pytest.fixture(scope="module")
def outputs(server, tmp_path_factory) -> Path:
    """A folder with models; jobs score nothing in it, but end as they are told to."""
    folder = tmp_path_factory.mktemp("outputs")
    params = {"output_root": str(folder), **QUICK}
    server.run(pipeline_names=["salaries"], runtime_params=params)
    (folder / "06_models/zoo").mkdir()
    shutil.copy(folder / "06_models/salaries/model.safetensors", folder / "06_models/zoo")
    return folder


@pytest.fixture
def job(server, outputs, monkeypatch) -> Iterator[Callable[..., int]]:
    """Run a job that ends with a status; give the status that a scheduler would see."""
    statuses: list[int] = []

    def score(*_: object) -> dict[str, Any]:
        return {"files": [], "waiting": 0, "copies": 0, "errors": OUTCOMES[statuses.pop(0)]}

    monkeypatch.setattr(inbox, "score_inbox", score)

    def run(given: int | list[int], *hooks: Meanwhile, **options: Any) -> int:
        planned = [given] if isinstance(given, int) else given
        statuses[:0] = planned
        params = {"output_root": str(outputs), "raw_root": str(outputs / "raw")}
        names = [f"{name}.predict" for name in ("salaries", "zoo")[: len(planned)]]
        try:
            with registered(server, *hooks):
                server.run(pipeline_names=names, runtime_params=params, **options)
        except ScoringError as error:
            return error.exit_status
        return 0

    yield run


STATUS = st.sampled_from(sorted(OUTCOMES))


def check_two_jobs(job: Callable[..., int], one: int, other: int, moment: str) -> None:
    ended: list[int] = []
    meanwhile = Meanwhile(moment, lambda: ended.append(job(other)))
    found = job(one, meanwhile)
    assert (found, ended) == (one, [other])


@settings(
    max_examples=12,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(one=STATUS, other=STATUS, moment=st.sampled_from(MOMENTS))
def test_each_of_two_jobs_ends_with_its_own_status(job, one, other, moment):
    check_two_jobs(job, one, other, moment)


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(one=STATUS, other=STATUS, moment=st.sampled_from(MOMENTS))
def test_each_of_two_jobs_ends_with_its_own_status_whatever_the_moment(job, one, other, moment):
    check_two_jobs(job, one, other, moment)


@pytest.mark.parametrize("runner", [SequentialRunner, ThreadRunner, ParallelRunner])
@pytest.mark.parametrize("status", [0, 4])
def test_status_is_the_jobs_own_with_each_runner(job, outputs, runner, status):
    report = outputs / "08_reporting/salaries/scoring.json"
    another = {"files": [], "waiting": 0, "copies": 0, "errors": OUTCOMES[6 if status == 0 else 0]}
    meanwhile = Meanwhile("end", lambda: report.write_text(json.dumps(another)))
    assert job(status, meanwhile, runner=runner()) == status


@pytest.mark.parametrize(("planned", "status"), [([0, 3], 3), ([6, 4], 6), ([0, 0], 0)])
def test_worst_status_of_several_use_cases_is_the_runs_own(job, outputs, planned, status):
    another = {"files": [], "waiting": 0, "copies": 0, "errors": OUTCOMES[4 if status == 0 else 0]}

    def write() -> None:
        for use_case in ("salaries", "zoo"):
            (outputs / f"08_reporting/{use_case}/scoring.json").write_text(json.dumps(another))

    assert job(planned, Meanwhile("end", write)) == status


def test_run_has_no_status_of_a_job_before(job):
    assert job(4) == 4
    assert job([0], from_nodes=["salaries.predict.collect_drift"]) == 0
    assert job(3, only_missing_outputs=True) == 3  # which scores, whatever reports are there
