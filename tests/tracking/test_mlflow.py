"""Finished runs in MLflow. What needs the package itself is slow: it takes a second to import and one to begin."""

import importlib.util
import logging
import sys
from types import ModuleType

import pytest
from kedro.config import MissingConfigException

from tests.commands import PROJECT, noise, run_command
from tests.lineage.projects import make_rows
from torchlane.tracking import mlflow_options
from torchlane.tracking.mlflow_options import MlflowOptions, read_options

from .tracked import Tracked

URI = "http://user:secret@127.0.0.1:9"


class NoFile:
    def __getitem__(self, key):
        raise MissingConfigException


def test_environment_without_the_file_logs_nothing_to_mlflow():
    assert read_options({}) is None
    assert read_options({"mlflow": {}}) is None
    assert read_options(NoFile()) is None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"experiment": "x"}, "tracking_uri: field required"),
        ({"tracking_uri": "x", "experimnt": "y"}, "experimnt: extra inputs are not"),
    ],
)
def test_fault_in_the_file_is_named(content, fault):
    with pytest.raises(ValueError, match=f"mlflow.yml: {fault}.*; correct the file, or remove it"):
        read_options({"mlflow": content})


def test_run_without_the_package_is_refused_with_the_command_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(mlflow_options, "find_spec", lambda name: None)
    project = Tracked(tmp_path, make_rows(), {"tracking_uri": URI})
    with pytest.raises(ValueError, match="mlflow is not installed; run uv sync --group mlflow"):
        project.run()
    assert project.artifacts() == {}
    project.run("prepare")  # it makes no metrics, so there is nothing to log


def test_server_that_fails_is_a_warning_without_the_password_and_the_run_finishes(tmp_path, monkeypatch, caplog):
    def fail(recorded, options):
        raise ConnectionError(f"{options.tracking_uri}/api:\n refused")

    stub = ModuleType("torchlane.tracking.to_mlflow")
    stub.log_runs = fail
    monkeypatch.setitem(sys.modules, "torchlane.tracking.to_mlflow", stub)
    project = Tracked(tmp_path, make_rows(), {"tracking_uri": URI})
    with caplog.at_level(logging.INFO, "torchlane"):
        project.run()
    assert len(project.lines()) == 1
    assert (
        "MLflow at http://127.0.0.1:9 has not taken the run (ConnectionError: http://127.0.0.1:9/api: refused); "
        in caplog.text
    )
    assert "secret" not in caplog.text
    assert caplog.messages[-1].startswith("toy: metrics and figures are in ")


def test_run_that_logs_nothing_does_not_import_mlflow(tmp_path):
    if "mlflow" in sys.modules:
        pytest.skip("another test has imported it")
    Tracked(tmp_path, make_rows()).run()
    assert "mlflow" not in sys.modules


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> str:
    """A database of MLflow, which takes long to begin one."""
    pytest.importorskip("mlflow", reason="uv sync --group mlflow")
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def logged(database, tmp_path):
    """A project that logs to an experiment of its own, and what reads its runs, the newest first."""
    config = {"tracking_uri": database, "artifact_location": str(tmp_path / "runs"), "experiment": tmp_path.name}
    project = Tracked(tmp_path / "project", make_rows(), config)

    def runs():
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=database)
        experiment = client.get_experiment_by_name(tmp_path.name)
        return client, client.search_runs([experiment.experiment_id])

    return project, runs


@pytest.mark.slow
def test_finished_run_has_params_curves_metrics_files_and_tags(logged):
    project, runs = logged
    project.run(training={"epochs": 3})
    client, (run,) = runs()
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "toy"
    assert run.data.params["training.epochs"] == "3"
    assert run.data.params["model.widths"] == "[4]"
    assert run.data.metrics["test/mean_absolute_error"] == project.metrics()["test"]["mean_absolute_error"]
    assert [each.step for each in client.get_metric_history(run.info.run_id, "epoch/train_loss")] == [1, 2, 3]
    files = {each.path for each in client.list_artifacts(run.info.run_id)}
    assert {"figures", "metrics.json", "model"} <= files
    assert {each.path for each in client.list_artifacts(run.info.run_id, "figures")} >= {"figures/history.json"}
    assert run.data.tags["torchlane.model"] == project.lines()[0]["fingerprints"]["model"]


@pytest.mark.slow
def test_run_that_is_cut_off_while_it_is_logged_is_killed_and_one_that_fails_has_failed(logged, monkeypatch, caplog):
    from torchlane.tracking import to_mlflow

    project, runs = logged

    def stop_with(error):
        def files(judgement):
            raise error

        monkeypatch.setattr(to_mlflow, "_files", files)

    stop_with(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        project.run()
    assert [run.info.status for run in runs()[1]] == ["KILLED"]
    stop_with(OSError("disk full"))
    project.run("evaluate")
    assert [run.info.status for run in runs()[1]] == ["FAILED", "KILLED"]
    assert "disk full" in caplog.text
    monkeypatch.undo()

    client, (first, *_) = runs()
    left = client.create_run(first.info.experiment_id, tags={"torchlane.outputs": first.data.tags["torchlane.outputs"]})
    project.run("evaluate")  # `left` is of a process that is gone, since this run has the lock
    assert client.get_run(left.info.run_id).info.status == "KILLED"


@pytest.mark.slow
def test_several_use_cases_stand_under_a_common_run(logged):
    from torchlane.tracking import to_mlflow
    from torchlane.tracking.judgements import Judgement

    project, runs = logged
    options = MlflowOptions.model_validate(project.config.pop("mlflow"))
    project.run()
    project.run(kind=".fine_tune")
    judged = [Judgement("toy", name, project.catalog(), frozenset()) for name in ("metrics", "fine_tuned_metrics")]
    long = {"options": {"model.class": "x" * 9000, "data.columns.a/b$.kind": "number"}}
    to_mlflow.log_runs([(each, line | long) for each, line in zip(judged, project.lines(), strict=True)], options)
    _, found = runs()
    (parent,) = (run for run in found if run.info.run_name == "toy, toy.fine_tune")
    children = [run for run in found if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.info.run_name for run in children} == {"toy", "toy.fine_tune"}
    assert {run.info.status for run in found} == {"FINISHED"}
    assert set(children[0].data.params) == {"model.class", "data.columns.a_b_.kind"}
    assert len(children[0].data.params["model.class"]) == 6000


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="uv sync --group mlflow")
def test_environment_mlflow_logs_a_run_into_the_output_folder(tmp_path):
    params = f"output_root={tmp_path},zoo.training.epochs=2,zoo.training.members=2"
    done = run_command("kedro", "run", "--pipeline=zoo", "--env=mlflow", f"--params={params}", folder=PROJECT)
    assert done.returncode == 0, done.stderr
    assert noise(done.stderr) == []
    assert (tmp_path / "mlflow.db").exists()
    assert list((tmp_path / "mlruns").glob("*/artifacts/model/model.safetensors"))
