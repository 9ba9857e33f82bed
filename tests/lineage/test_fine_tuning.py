"""Stages of a fine-tuning, and the model that it starts from."""

import logging
import shutil

import pytest

from .projects import refusal


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
