"""Kedro's runners beside the plain one: what a kill left goes on, and files are scored, to the same bits."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from kedro.framework.session import KedroServiceSession, KedroSession
from kedro.framework.startup import bootstrap_project

from torchlane.config import UseCaseConfigLoader

from .commands import PROJECT, noise, run_command

UNFINISHED = ["zoo.history", "zoo.metrics", "zoo.model"]  # a kill came before these were written
QUICK = "zoo.training.epochs=2,zoo.training.members=2,zoo.prediction.settle_seconds=0"
RUNNERS = ["SequentialRunner", "ThreadRunner", "ParallelRunner"]


def run(folder: Path, *arguments: str, pipeline: str = "zoo", raw_root: str | Path = "data/01_raw") -> None:
    """Run a pipeline to its end, in a process of its own: workers that are forked after torch has used threads crash."""
    params = f"--params=output_root={folder},raw_root={raw_root},{QUICK}"
    done = run_command("kedro", "run", f"--pipeline={pipeline}", "--env=test", params, *arguments)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """What a run without a kill leaves."""
    folder = tmp_path_factory.mktemp("plain")
    run(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """What was written, without records, which have the times of files, and the histories, which have seconds."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("history.csv", "runs.jsonl"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in files if path.parent.name != ".lineage"}


def records(folder: Path) -> dict[str, str]:
    """The fingerprint that is on record of each artifact."""
    paths = (folder / "06_models/zoo/.lineage").glob("*.json")
    found = {path.stem: json.loads(path.read_text())["fingerprint"] for path in paths}
    return {name: value for name, value in found.items() if name != "history"}


def kill(plain: Path, folder: Path) -> Path:
    """Leave what a killed run leaves: a note, old artifacts, and some that are missing."""
    shutil.copytree(plain, folder)
    (folder / "06_models/zoo/.unfinished.json").write_text(json.dumps(UNFINISHED))
    (folder / "06_models/zoo/model.safetensors").write_text("of another run")
    (folder / "06_models/zoo/.lineage/model.json").unlink()
    (folder / "08_reporting/zoo/metrics.json").unlink()
    (folder / "05_model_input/zoo/test.safetensors").unlink()
    return folder


@pytest.mark.parametrize("runner", RUNNERS)
def test_run_goes_on_after_a_kill_with_each_runner_to_the_same_bits(plain, tmp_path, runner):
    folder = kill(plain, tmp_path / "killed")
    run(folder, "--only-missing-outputs", f"--runner={runner}")
    assert contents(folder) == contents(plain)
    assert records(folder) == records(plain)


@pytest.mark.slow
@pytest.mark.parametrize("context", ["spawn", "forkserver"])
def test_workers_that_start_afresh_keep_the_records_too(plain, tmp_path, monkeypatch, context):
    folder = kill(plain, tmp_path / "killed")
    monkeypatch.setenv("KEDRO_MP_CONTEXT", context)
    params = f"--params=output_root={folder},{QUICK}"
    done = run_command(
        "kedro", "run", "--pipeline=zoo", "--env=test", params, "--only-missing-outputs", "--runner=ParallelRunner"
    )
    assert done.returncode == 0, done.stderr
    assert noise(done.stderr) == []
    assert contents(folder) == contents(plain)
    assert records(folder) == records(plain)


def test_worker_that_starts_afresh_has_the_hooks_and_the_configuration_of_the_run():
    program = (
        "from kedro.framework import project\n"
        "from torchlane.workers import start_worker\n"
        "start_worker('torchlane', ('conf', 'public', {'zoo': {'training': {'epochs': 7}}}))\n"
        "assert [type(each).__name__ for each in project.settings.HOOKS] == ['RunHooks', 'LineageHooks', 'RecordHooks']\n"
        "from torchlane.config import UseCaseConfigLoader\n"
        "assert UseCaseConfigLoader.latest['parameters']['zoo']['training']['epochs'] == 7\n"
        "assert 'salaries_2025' in list(project.pipelines)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("env", ["base", "public"])
def test_every_dataset_can_go_to_another_process_also_after_use(env, tmp_path):
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT, env=env, runtime_params={"output_root": str(tmp_path)}) as session:
        from kedro.framework.project import pipelines

        catalog = session.load_context().catalog
        names = {name for pipeline in pipelines.values() for name in pipeline.datasets()}
    for name in sorted(name for name in names if name in catalog):
        dataset = catalog[name]
        dataset.exists()
        assert pickle.dumps(dataset), name


def test_files_are_scored_alike_with_each_runner(plain, tmp_path):
    inbox = tmp_path / "raw/zoo_inbox"
    inbox.mkdir(parents=True)
    rows = pd.read_csv(PROJECT / "data/01_raw/zoo.csv")
    rows.head(60).to_csv(inbox / "first.csv", index=False)
    rows.tail(41).to_csv(inbox / "second.csv", index=False)
    scored = {}
    for runner in RUNNERS:
        folder = tmp_path / runner
        shutil.copytree(plain, folder)
        run(folder, f"--runner={runner}", pipeline="zoo.predict", raw_root=tmp_path / "raw")
        files = sorted((folder / "07_model_output/zoo/predictions").glob("*.csv"))
        scored[runner] = [pd.read_csv(path).drop(columns="scored_at") for path in files]
        assert [len(table) for table in scored[runner]] == [60, 41]
        for one, other in zip(scored[RUNNERS[0]], scored[runner], strict=True):
            pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize("runner", RUNNERS)
def test_scoring_that_makes_missing_outputs_only_scores_what_has_arrived(plain, tmp_path, runner):
    folder, inbox = tmp_path / "out", tmp_path / "raw/zoo_inbox"
    inbox.mkdir(parents=True)
    shutil.copytree(plain, folder)
    rows = pd.read_csv(PROJECT / "data/01_raw/zoo.csv")
    for number, name in enumerate(("first", "second"), 1):
        rows.tail(40 + number).to_csv(inbox / f"{name}.csv", index=False)
        arguments = ("--only-missing-outputs", f"--runner={runner}")
        run(folder, *arguments, pipeline="zoo.predict", raw_root=tmp_path / "raw")
        assert len(list((folder / "07_model_output/zoo/predictions").glob("*.csv"))) == number


@pytest.mark.parametrize("of_another", [False, True])
def test_run_that_trains_a_model_and_fine_tunes_it_is_refused_with_the_order(plain, tmp_path, monkeypatch, of_another):
    monkeypatch.setattr(UseCaseConfigLoader, "latest", None)  # that of a test before may know other use cases
    bootstrap_project(PROJECT)
    server = KedroServiceSession.create(project_path=PROJECT, env="test", serving_mode=True)
    folder = tmp_path / "out"
    shutil.copytree(plain, folder)
    before = contents(folder)
    trained, tuned = ("zoo", "salaries") if of_another else ("zoo", "zoo")
    parent = {"fine_tuning": {"parent": str(folder / "06_models/zoo/model.safetensors")}} if of_another else {}
    params = {"output_root": str(folder), tuned: parent}
    message = (
        f"{tuned}.fine_tune starts from .*model.safetensors, which zoo writes .* run --pipelines=zoo first, and then"
    )
    with pytest.raises(ValueError, match=message):
        server.run(pipeline_names=[trained, f"{tuned}.fine_tune"], runtime_params=params)
    assert {name: content for name, content in contents(folder).items() if not name.endswith(".lock")} == {
        name: content for name, content in before.items() if not name.endswith(".lock")
    }
