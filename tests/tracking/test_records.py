"""What a finished run leaves in the history of its use case and says at its end."""

import hashlib
import json
import logging

import pytest

from tests.lineage.projects import make_rows
from torchlane.tracking import ending
from torchlane.tracking.ending import viz_command, warnings_of
from torchlane.tracking.judgements import Judgement

from .tracked import Tracked


@pytest.fixture
def project(tmp_path) -> Tracked:
    return Tracked(tmp_path, make_rows())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Tracked:
    """A project after a whole run; tests go on from there with the same options."""
    project = Tracked(tmp_path_factory.mktemp("finished"), make_rows())
    project.run()
    return project


@pytest.fixture
def said(caplog):
    """The lines of the block at the end of the runs so far."""
    caplog.set_level(logging.INFO, "torchlane")
    return lambda: [record.getMessage() for record in caplog.records if record.name == ending.logger.name]


def test_each_finished_run_leaves_a_line_with_what_it_was_and_how_well_it_did(project, tmp_path):
    judged = ("prepare", "tune", "train", "evaluate")
    project.run(*judged)
    first = project.history.read_bytes()
    project.run(*judged, training={"epochs": 3, "seed": 7})
    assert project.history.read_bytes().startswith(first)
    before, after = project.lines()
    changed = {name: value for name, value in after["options"].items() if before["options"].get(name) != value}
    assert changed == {"training.epochs": 3, "training.seed": 7}
    assert after["metrics"]["test"] == project.metrics()["test"]
    assert after["metrics"]["baseline"] == project.metrics()["baseline"]
    assert after["primary_metric"] == next(iter(project.metrics()["test"]))
    assert before["fingerprints"]["splits"] == after["fingerprints"]["splits"]
    model = tmp_path / "out/06_models/toy/model.safetensors"
    assert after["fingerprints"]["model"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert after["when"].endswith("+00:00")
    assert after["seconds"] > 0
    assert after["pipeline"] == "toy"
    assert set(after["versions"]) > {"python", "torch", "kedro"}


def test_block_says_what_the_model_can_do_and_where_the_results_are_and_the_report_alone_leaves_no_line(finished, said):
    lines = finished.lines()
    finished.run("report")
    answer, *_, last = said()
    error = finished.metrics()["test"]["mean_absolute_error"]
    assert answer.startswith(f"toy: predicts price to within {error:,.0f} on average")
    assert last == f"toy: metrics and figures are in {finished.history.parent}; kedro viz run shows them"
    assert finished.lines() == lines


@pytest.mark.parametrize("stages", [("prepare",), ("prepare", "tune", "train")])
def test_run_without_metrics_leaves_neither_line_nor_block(project, said, stages):
    project.run(*stages)
    assert project.lines() == []
    assert said() == []


def test_run_that_fails_leaves_neither_line_nor_block(project, said):
    with pytest.raises(ValueError, match="loss is"):
        project.run(training={"learning_rate": 1e30})
    assert project.lines() == []
    assert said() == []


def test_run_that_had_nothing_to_do_leaves_no_line(finished):
    lines = finished.lines()
    finished.run(missing=True)
    assert finished.lines() == lines


def test_history_that_cannot_be_written_does_not_fail_the_run(project, said, caplog):
    project.history.mkdir(parents=True)
    project.run("prepare", "tune", "train", "evaluate")
    assert said()[0].startswith("toy: predicts price to within ")
    assert "toy: the history of runs was not written: " in caplog.text


def test_fine_tuning_leaves_a_line_and_a_block_of_its_own(finished, said):
    first = finished.lines()[0]
    finished.run(kind=".fine_tune")
    line = finished.lines()[-1]
    assert (first["pipeline"], line["pipeline"]) == ("toy", "toy.fine_tune")
    assert line["metrics"]["test"] == finished.metrics("fine_tuned_metrics")["test"]
    assert said()[-1].startswith("toy.fine_tune: metrics and figures are in ")


def test_many_columns_stand_in_the_history_as_a_digest():
    from torchlane.core.options import DataOptions
    from torchlane.tracking.records import options_of

    def options(**changed):
        columns = {f"x{number}": {"kind": "number"} for number in range(1000)} | changed
        data = DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns})
        catalog = {"params:wide.data": data}
        return options_of(Judgement("wide", "fine_tuned_metrics", Loading(catalog), frozenset()))

    same, again, other = options(), options(), options(x1={"kind": "category"})
    assert len(json.dumps(same)) < 200
    assert same == again != other


class Loading(dict):
    def load(self, name):
        from kedro.io import DatasetError

        if name not in self:
            raise DatasetError(name)
        return self[name]


@pytest.mark.parametrize(
    ("codes", "line"),
    [
        (None, ""),
        ([], "no warnings"),
        (["leak"], "1 warning, in warnings.json: leak"),
        (["rare", "leak", "rare"], "3 warnings, in warnings.json: rare (2 times), leak"),
    ],
)
def test_block_counts_the_warnings_and_names_their_codes(monkeypatch, codes, line, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Judgement, "codes", lambda self: codes)
    monkeypatch.setattr(Judgement, "path_of", lambda self, name: tmp_path / f"{name}.json")
    assert warnings_of(Judgement("toy", "metrics", None, frozenset())) == line


@pytest.mark.parametrize(
    ("run_params", "command"),
    [
        ({"env": None, "runtime_params": {}}, "kedro viz run"),
        ({"env": "public", "runtime_params": {"zoo": {"training": {"epochs": 3}}}}, "kedro viz run --env=public"),
        (
            {"env": "test", "runtime_params": {"output_root": "/my data", "raw_root": "raw"}},
            "kedro viz run --env=test '--params=output_root=/my data,raw_root=raw'",
        ),
    ],
)
def test_command_shows_the_results_of_the_run(run_params, command):
    assert viz_command(run_params) == command
