"""Runs that go on from what a run that was cut off left."""

import pytest

from torchlane import lineage

from .projects import refusal


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
