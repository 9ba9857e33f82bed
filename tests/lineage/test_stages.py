"""Stage after stage, from what earlier runs left: what does not belong together is refused with the stage to run."""

import pytest

from torchlane.lineage import STAGES

from .projects import refusal


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


def test_search_may_be_older_than_the_rows_and_is_settled_by_train(finished):
    finished.run("prepare", split={"seed": 3})
    finished.run("train", split={"seed": 3})


def test_same_content_made_again_is_no_other_artifact(finished):
    for stage in STAGES:
        finished.run(stage)
    finished.run("prepare")
    finished.run("evaluate")


@pytest.mark.parametrize("threads", [False, True])
def test_whole_runs_are_never_refused(finished, threads):
    for options in ({"split": {"seed": 3}, "training": {"seed": 2}}, {}):
        finished.run(threads=threads, **options)
        finished.run(kind=".fine_tune", threads=threads, **options)
