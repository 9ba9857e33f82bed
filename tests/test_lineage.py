"""Stage after stage, from what earlier runs left: a run ends with the figures of one whole run, or is refused."""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.config import OmegaConfigLoader
from kedro.framework.hooks.manager import _create_hook_manager, _register_hooks
from kedro.io import DataCatalog
from kedro.runner import SequentialRunner, ThreadRunner

from torchlane import lineage, stages
from torchlane.core.machine import digests
from torchlane.core.model import trained as inference
from torchlane.core.options import SECTIONS
from torchlane.hooks import RunHooks
from torchlane.lineage import STAGES
from torchlane.pipeline_registry import Pipelines
from torchlane.stages import LineageHooks

from .commands import PROJECT

OPTIONS: Mapping[str, Any] = {
    "data": {
        "task": "regression",
        "target": "price",
        "columns": {"size": {"kind": "number"}, "place": {"kind": "category"}},
        "source": "drawn rows",  # without it, artifacts name the folder of the test
    },
    "model": {"widths": [4]},
    "training": {"members": 1, "epochs": 2, "batch_size": 16},
    "diagnosis": {"enabled": False},
    "fine_tuning": {"epochs": 2, "batch_size": 16, "repeats": 2, "source": "drawn rows"},
}


class Project:
    """A use case `toy` in a folder, run as Kedro's session runs one, hooks included, without its start."""

    def __init__(self, folder: Path, rows: pd.DataFrame):
        self.folder = folder
        self.raw = folder / "raw"
        self.raw.mkdir(parents=True)
        rows.to_csv(self.raw / "toy.csv", index=False)
        rows.iloc[::-1].to_csv(self.raw / "toy_new.csv", index=False)

    def run(
        self,
        *stages: str,
        kind: str = "",
        nodes: Iterable[str] = (),
        missing: bool = False,
        threads: bool = False,
        **options: Any,
    ) -> None:
        """Run stages, all or those named, or nodes alone; `options` are by section."""
        pipeline = Pipelines(["toy"])[f"toy{kind}"]
        pipeline = pipeline.only_nodes_with_tags(*stages) if stages else pipeline
        pipeline = pipeline.only_nodes(*(f"toy.{name}" for name in nodes)) if nodes else pipeline
        catalog, manager = self.catalog(**options), _create_hook_manager()
        _register_hooks(manager, (RunHooks(), LineageHooks()))
        about = {"run_params": {"only_missing_outputs": missing}, "pipeline": pipeline, "catalog": catalog}
        manager.hook.before_pipeline_run(**about)
        runner = ThreadRunner() if threads else SequentialRunner()
        try:
            runner.run(pipeline, catalog, manager, only_missing_outputs=missing)
        except Exception as error:
            manager.hook.on_pipeline_error(error=error, **about)
            raise
        manager.hook.after_pipeline_run(run_result={}, **about)

    def catalog(self, **options: Any) -> DataCatalog:
        """Give the catalog of the environment `base` with the parameters of `OPTIONS` and `options`."""
        roots = {"output_root": str(self.folder / "out"), "raw_root": str(self.raw)}
        loader = OmegaConfigLoader(str(PROJECT / "conf"), base_env="base", default_run_env="base", runtime_params=roots)
        entries = {name: entry for name, entry in loader["catalog"].items() if not name.startswith("_")}
        catalog = DataCatalog.from_config(entries)
        for name, section in SECTIONS.items():
            given = {**OPTIONS.get(name, {}), **options.get(name, {})}
            catalog[f"params:toy.{name}"] = section.model_validate(given)
        return catalog

    def metrics(self, name: str = "metrics") -> Any:
        return json.loads((self.folder / f"out/08_reporting/toy/{name}.json").read_text())

    def artifacts(self) -> dict[str, bytes]:
        """What stands in the output folder, records and locks left out."""
        files = (path for path in self.folder.glob("out/*/toy/*") if path.is_file() and path.name[0] != ".")
        return {str(path): path.read_bytes() for path in files}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Let the use case `toy` be registered."""
    monkeypatch.setattr(stages, "pipelines", Pipelines(["toy"]))


@pytest.fixture
def project(tmp_path, toy_rows) -> Project:
    return Project(tmp_path / "project", toy_rows)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A project after a whole run and a whole fine-tuning."""
    made = Project(tmp_path_factory.mktemp("whole") / "project", make_rows())
    made.run()
    made.run(kind=".fine_tune")
    return made.folder


@pytest.fixture
def finished(whole, tmp_path) -> Project:
    """A copy of it."""
    copied = Project.__new__(Project)
    copied.folder = shutil.copytree(whole, tmp_path / "finished")
    copied.raw = copied.folder / "raw"
    return copied


def make_rows() -> pd.DataFrame:
    """Give 60 rows whose price follows from size and place."""
    sizes = range(1, 61)
    places = ["town", "village", "sea"] * 20
    prices = [100 * size * (2 if place == "town" else 1) for size, place in zip(sizes, places, strict=True)]
    return pd.DataFrame({"size": sizes, "place": places, "price": prices})


def refusal(project: Project, *stages: str, **options: Any) -> str:
    """Run what must be refused, and harm nothing; give the line."""
    before, unfinished = project.artifacts(), project.folder / "out/06_models/toy/.unfinished.json"
    was_unfinished = unfinished.exists()
    with pytest.raises(ValueError, match=r"^toy") as refused:
        project.run(*stages, **options)
    assert project.artifacts() == before
    assert unfinished.exists() == was_unfinished
    line = str(refused.value)
    assert "\n" not in line
    return line


def test_model_of_other_splits_is_refused_with_the_stage_and_the_options_to_run_again(finished):
    finished.run("prepare", split={"seed": 3})
    line = refusal(finished, "evaluate", "report")
    assert "03_primary/toy/splits.parquet as it is now; run the stage train again: " in line
    assert line.endswith("--tags=train,evaluate,report --params=toy.split.seed=3")
    finished.run("train", "evaluate", "report", split={"seed": 3})
    stepwise = finished.metrics()
    finished.run(split={"seed": 3})
    assert finished.metrics() == stepwise


def test_train_stage_cut_off_behind_its_tensors_is_refused(finished):
    other = {"encoding": {"numbers": "min_max"}}
    finished.run(nodes=["settle_recipe", "fit_encoder", "build_tensors"], **other)
    line = refusal(finished, "evaluate")
    assert "run the stage train again: --tags=train,evaluate" in line
    finished.run("train", "evaluate", **other)


def test_figures_of_another_model_are_refused(finished):
    finished.run("train", training={"seed": 5})
    assert "run the stage evaluate again: --tags=evaluate,report" in refusal(finished, "report")
    finished.run("evaluate", "report")


@pytest.mark.parametrize(
    ("done", "asked", "missing", "stage"),
    [
        ([], "report", "diagnosis", "prepare"),
        ([], "tune", "clean_rows", "prepare"),
        (["prepare"], "train", "chosen_options", "tune"),
        (["prepare", "tune"], "evaluate", "encoder", "train"),
    ],
)
def test_missing_stage_is_named(project, done, asked, missing, stage):
    for each in done:
        project.run(each)
    line = refusal(project, asked)
    assert "does not exist" in line
    tags = STAGES[STAGES.index(stage) : STAGES.index(asked) + 1]
    assert f"run the stage {stage} first: --tags={','.join(tags)}" in line


def test_column_declared_after_prepare_is_named_with_the_stage(finished):
    columns = {**OPTIONS["data"]["columns"], "rooms": {"kind": "number"}}
    data = {**OPTIONS["data"], "columns": columns}
    line = refusal(finished, "train", data=data)
    assert line.startswith(
        "toy.data.columns.rooms is {kind: number, nullable: True} and was not set when clean_rows was"
    )
    assert line.endswith("run the stage prepare again: --tags=prepare,tune,train")


def test_option_that_an_artifact_was_made_with_stays_for_stages_that_take_it(finished):
    line = refusal(finished, "evaluate", split={"seed": 3})
    assert line.startswith(
        "toy.split.seed is 3 and was 0 when splits was made; change it back, or run the stage prepare"
    )
    finished.run("report", split={"seed": 3})  # which takes no option


def test_options_without_effect_on_what_stands_do_not_block(finished):
    finished.run("evaluate", training={"device": "cpu", "threads": 1, "checkpoint_minutes": 0}, tuning={"trials": 3})
    finished.run("evaluate", kind=".fine_tune", fine_tuning={"repeats": 3}, training={"checkpoint_epochs": 1})
    finished.run("train", "evaluate", kind=".fine_tune", fine_tuning={"freeze": {"first": 1}, "learning_rate": 0.1})


def test_options_of_fine_tuning_that_prepare_does_not_take_leave_its_artifacts_as_they_are(finished):
    before = finished.artifacts()
    given = {
        "learning_rate": 0.5,
        "epochs": 9,
        "patience_epochs": 2,
        "batch_size": 4,
        "freeze": {"first": 1},
        "pull": 1,
    }
    more = {"layer_decay": 0.5, "thaw_epochs": 1, "rescale": True, "scheduler": {"name": "OneCycleLR"}, "repeats": 7}
    finished.run("prepare", kind=".fine_tune", fine_tuning={**given, **more})
    assert finished.artifacts() == before


def test_search_may_be_older_than_the_rows_and_is_settled_by_train(finished):
    finished.run("prepare", split={"seed": 3})
    finished.run("train", split={"seed": 3})


def test_same_content_made_again_is_no_other_artifact(finished):
    for stage in STAGES:
        finished.run(stage)
    finished.run("prepare")
    finished.run("evaluate")


def test_artifact_changed_by_hand_is_noticed_by_its_content(finished):
    path = finished.folder / "out/04_feature/toy/encoder.json"
    path.write_text(path.read_text().replace('"size"', '"seize"'))
    line = refusal(finished, "evaluate")
    assert f"was not made from {path} as it is now; run the stage train again: --tags=train,evaluate" in line


def test_artifact_without_a_record_is_taken_as_it_is(finished):
    shutil.rmtree(finished.folder / "out/06_models/toy/.lineage")
    finished.run("prepare", split={"seed": 3})
    with pytest.raises(ValueError, match="splits was made"):
        finished.run("evaluate")
    finished.run("evaluate", split={"seed": 3})


def test_run_cut_off_between_a_save_and_its_record_knows_what_was_saved(finished, monkeypatch):
    def cut_off(self, artifact, made):
        raise RuntimeError("cut off")

    with monkeypatch.context() as patched:
        patched.setattr(lineage.Lineage, "end", cut_off)
        with pytest.raises(RuntimeError, match="cut off"):
            finished.run(nodes=["split_rows"], split={"seed": 3})
    line = refusal(finished, "evaluate")
    assert "splits.parquet as it is now; run the stage train again" in line

    def full(*arguments, **named):
        raise OSError("no space left")

    before = finished.artifacts()
    with monkeypatch.context() as patched:
        patched.setattr("torchlane.datasets.stock.replacing", full)
        with pytest.raises(Exception, match="no space left"):
            finished.run(nodes=["split_rows"], split={"seed": 4})
    assert finished.artifacts() == before
    finished.run("train", "evaluate", split={"seed": 3})  # the one that stands is of seed 3 still


def test_run_cut_off_goes_on_with_what_is_missing_but_not_with_other_options(finished, monkeypatch):
    def killed(*arguments, **named):
        raise RuntimeError("cut off")

    with monkeypatch.context() as patched:
        patched.setattr("torchlane.core.search.chosen.apply_chosen", killed)
        with pytest.raises(RuntimeError, match="cut off"):
            finished.run(split={"seed": 3})
    with pytest.raises(ValueError, match="split.seed is 0 and was 3 when splits was made"):
        finished.run(missing=True)
    finished.run(missing=True, split={"seed": 3})
    resumed = finished.metrics()
    finished.run(split={"seed": 3})
    assert finished.metrics() == resumed


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"training": {"epochs": 3}}, "toy.training.epochs is 3 and was 2 when"),
        ({"model": {"widths": [5]}}, "toy.model.widths is [5] and was [4] when"),
        ({"encoding": {"numbers": "none"}}, "toy.encoding.numbers is none and was z_score when"),
    ],
)
def test_training_that_goes_on_is_not_given_other_options_without_a_word(finished, monkeypatch, options, line):
    def killed(*arguments, **named):
        raise RuntimeError("cut off")

    assert line in refusal(finished, nodes=["train_model"], **options)
    with monkeypatch.context() as patched:
        patched.setattr("torchlane.core.model.learning.train_model", killed)
        with pytest.raises(RuntimeError, match="cut off"):
            finished.run("train")
    assert line in refusal(finished, missing=True, **options)
    finished.run(missing=True, training={"threads": 1})
    finished.run("train", "evaluate", "report", **options)


def test_recipe_that_leaves_out_what_was_chosen_is_not_called_chosen(finished):
    split, evaluation = {"seed": 0}, {"folds": 2}
    space = {"training.learning_rate": {"low": 0.01, "high": 0.1}}
    finished.run(split=split, evaluation=evaluation, tuning={"trials": 2, "space": space})
    assert finished.metrics()["cross_validation"]["recipe"].startswith("chosen by a search of 2 trials")
    finished.run("train", "evaluate", evaluation=evaluation)
    assert finished.metrics()["cross_validation"]["recipe"].startswith("chosen by a search of 2 trials")
    other = {"space": {"training.learning_rate": {"low": 0.2, "high": 0.3}}}
    for left_out in (other, {"fixed": ["training.learning_rate"]}):
        finished.run("train", tuning=left_out)
        finished.run("evaluate", evaluation=evaluation)
        assert finished.metrics()["cross_validation"]["recipe"] == "as given"


@pytest.mark.parametrize("threads", [False, True])
def test_whole_runs_are_never_refused(finished, threads):
    for options in ({"split": {"seed": 3}, "training": {"seed": 2}}, {}):
        finished.run(threads=threads, **options)
        finished.run(kind=".fine_tune", threads=threads, **options)


def test_fine_tuned_model_of_other_new_splits_is_refused(finished):
    finished.run("prepare", kind=".fine_tune", fine_tuning={"seed": 4})
    line = refusal(finished, "evaluate", kind=".fine_tune", fine_tuning={"seed": 4})
    assert "fine_tuned_" in line
    assert "new_splits.parquet as it is now; run the stage train again: --tags=train,evaluate" in line


@pytest.mark.parametrize(("stage", "first"), [("train", "prepare"), ("evaluate", "prepare")])
def test_parent_trained_again_between_stages_of_fine_tuning_is_refused(finished, stage, first):
    finished.run("train", training={"seed": 5})
    line = refusal(finished, stage, kind=".fine_tune")
    assert f"model.safetensors as it is now; run the stage {first} again: --tags=prepare,train" in line
    finished.run(kind=".fine_tune")


def test_parent_that_fine_tuning_did_not_start_from_is_refused_without_records_too(finished):
    shutil.rmtree(finished.folder / "out/06_models/toy/.lineage")
    finished.run("train", training={"seed": 5})
    shutil.rmtree(finished.folder / "out/06_models/toy/.lineage")
    with pytest.raises(ValueError, match="made from another parent than fine_tuning.parent names now; run the stage"):
        finished.run("evaluate", kind=".fine_tune")


def test_rows_dealt_anew_beside_the_parent_are_not_taken_for_its_test_rows(finished, caplog):
    assert finished.metrics("fine_tuned_metrics")["forgetting"]["rows"] == 9
    assert finished.metrics("fine_tuned_metrics")["known_to_parent"] > 0
    finished.run("prepare", split={"seed": 3})
    with caplog.at_level(logging.INFO):
        finished.run("evaluate", kind=".fine_tune")
    metrics = finished.metrics("fine_tuned_metrics")
    assert "rows" not in metrics["forgetting"]
    assert metrics["known_to_parent"] is None
    assert "forgetting was not measured: the rows beside the parent's model are not those" in caplog.text


def test_raw_file_that_changed_is_noticed_and_read_for_its_digest_once_a_run(finished, monkeypatch, caplog):
    read = []
    digest = hashlib.file_digest
    monkeypatch.setattr("hashlib.file_digest", lambda file, name: read.append(file.name) or digest(file, name))
    raw = finished.raw / "toy.csv"
    finished.run("prepare", "tune", "train", "evaluate", "report")
    read.clear()
    raw.write_text(raw.read_text() + "61,sea,6100\n")
    finished.run()
    assert read.count(str(raw)) == 1
    twice = {Path(name).name for name in read if read.count(name) > 1}
    assert twice <= {"model.safetensors"}  # whose digest is taken by the readers of the model too
    assert "has changed" not in caplog.text
    read.clear()
    raw.write_text(raw.read_text() + "62,sea,6200\n")
    finished.run("tune", "train", "evaluate", "report")
    assert read.count(str(raw)) == 1
    assert (
        caplog.text.count("toy.csv has changed since the stage prepare; this run uses the rows as they were then") == 1
    )


def test_copied_folder_is_read_for_its_digests_once(finished, monkeypatch):
    digests._digest.cache_clear()
    finished.run("report")
    read = []
    digest = hashlib.file_digest
    monkeypatch.setattr("hashlib.file_digest", lambda file, name: read.append(file.name) or digest(file, name))
    digests._digest.cache_clear()
    finished.run("report")
    assert not [name for name in read if "08_reporting" not in name and "raw" not in name]


STEPS = st.tuples(
    st.sampled_from(
        [(), *((stage,) for stage in STAGES), ("train", "evaluate", "report"), ("prepare", "tune", "train")]
    ),
    st.sampled_from([0, 1]),  # split.seed
    st.sampled_from(["z_score", "min_max"]),  # encoding.numbers
    st.sampled_from([0, 1]),  # training.seed
    st.sampled_from([0, 0, 0, 1, 2]),  # nodes that a cut-off run does not come to
)


@cache
def reference(folder: Path, seed: int, numbers: str, training_seed: int) -> Any:
    """The metrics of one whole run from nothing."""
    made = Project(folder / f"{seed} {numbers} {training_seed}", make_rows())
    made.run(**options_for(seed, numbers, training_seed))
    return made.metrics()


def options_for(seed: int, numbers: str, training_seed: int) -> dict[str, Any]:
    return {"split": {"seed": seed}, "encoding": {"numbers": numbers}, "training": {"seed": training_seed}}


def check_sequence(folder: Path, steps: list[Any]) -> None:
    """Run stages after one another; whatever is evaluated has the metrics of one whole run."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stages, "pipelines", Pipelines(["toy"]))
        number = len(list(folder.iterdir()))
        project = Project(folder / f"sequence {number}", make_rows())
        prepared = trained = None  # what the last run of the stage that came to its end was given
        for asked, seed, numbers, training_seed, n_left in steps:
            pipeline = Pipelines(["toy"])["toy"]
            chosen = pipeline.only_nodes_with_tags(*asked) if asked else pipeline
            names = [node.name.partition(".")[2] for node in chosen.nodes]
            names = names[: len(names) - n_left] or names
            before = project.artifacts()
            given = options_for(seed, numbers, training_seed)
            try:
                project.run(nodes=names, **given)
            except ValueError as error:
                assert "run the stage" in str(error)
                if not asked or asked[0] == "prepare":
                    raise AssertionError(f"{asked} makes all that it takes, and was refused") from error
                assert project.artifacts() == before
                continue
            prepared = seed if "split_rows" in names else prepared
            trained = (numbers, training_seed) if "train_model" in names else trained
            if "evaluate_model" in names:
                assert project.metrics() == reference(folder, prepared, *trained)
        shutil.rmtree(project.folder)


@pytest.fixture(scope="module")
def sequences(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("sequences")


@settings(max_examples=8, deadline=None)
@given(steps=st.lists(STEPS, min_size=2, max_size=5))
def test_stage_after_stage_ends_as_one_whole_run_or_is_refused(sequences, steps):
    check_sequence(sequences, steps)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(steps=st.lists(STEPS, min_size=2, max_size=8))
def test_stage_after_stage_ends_as_one_whole_run_or_is_refused_in_many_orders(sequences, steps):
    check_sequence(sequences, steps)


def test_fingerprint_of_the_model_is_that_of_its_record(finished):
    folder = finished.folder / "out/06_models/toy"
    record = json.loads((folder / ".lineage/model.json").read_text())
    assert record["fingerprint"] == inference.load(folder / "model.safetensors").fingerprint
