import numpy as np
import pandas as pd
import pytest

from tests.core.fitted import FEW, MANY, fitted, plain_model, use_small_bands
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.judging.cross_validation import cross_validate, summarise_folds
from torchlane.core.judging.evaluation import evaluate
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import (
    DataOptions,
    EncodingOptions,
    EvaluationOptions,
    Recipe,
    SplitOptions,
    TrainingOptions,
)
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.folds import deal_folds, require_folds
from torchlane.core.rows.splits import PARTS, fold_rows, rows_of

SPLIT, ENCODING, MODEL = SplitOptions(), EncodingOptions(), plain_model(widths=(8,))
TRAINING = fitted(epochs=5, members=2, learning_rate=0.01)
RECIPE = Recipe(encoding=ENCODING, model=MODEL, training=TRAINING)


def scores_of(toy_rows, data, **evaluation):
    clean, _ = check_rows(toy_rows, data)
    options = EvaluationOptions.model_validate(evaluation)
    return cross_validate(clean, data, SPLIT, RECIPE, options, NoCheckpoints()), clean


def test_every_row_is_tested_once_a_repeat_and_repeats_differ(toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)
    first, second = (fold_rows(clean, toy_data, SPLIT, 5, seed) for seed in (0, 1))
    for folds in (first, second):
        tested = pd.concat([splits.loc[splits["part"] == "test", "row"] for splits in folds])
        assert sorted(tested) == clean["row"].to_list()
        for splits in folds:
            assert sorted(splits["row"]) == clean["row"].to_list()
            assert (splits["part"] == "valid").sum() == 7  # 0.15 of 48
    assert [set(splits.loc[splits["part"] == "test", "row"]) for splits in first] != [
        set(splits.loc[splits["part"] == "test", "row"]) for splits in second
    ]


def test_each_repeat_deals_the_rows_into_other_folds(toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)
    folds = deal_folds(clean, toy_data, SPLIT, EvaluationOptions(folds=3, repeats=4))
    tested = {frozenset(splits.loc[splits["part"] == "test", "row"]) for splits in folds}
    assert len(folds) == len(tested) == 12


def classes(counts: dict[str, int]) -> tuple[pd.DataFrame, DataOptions]:
    labels = [label for label, count in counts.items() for _ in range(count)]
    rows = pd.DataFrame({"row": range(1, len(labels) + 1), "size": np.arange(len(labels)) / 7, "kind": labels})
    columns = {"size": {"kind": "number"}, "kind": {"kind": "category"}}
    return rows, DataOptions.model_validate({"task": "multiclass", "target": "kind", "columns": columns})


@pytest.mark.parametrize(
    ("counts", "folds", "valid", "message"),
    [
        ({"a": 2, "b": 1}, 4, 0.15, "evaluation.folds 4 is more than the 3 rows that differ"),
        ({"a": 20, "b": 3}, 5, 0.15, "more than the 3 rows that differ of the smallest class, 'b'"),
        (
            {"a": 20, "b": 2, "c": 2},
            2,
            0.6,
            "evaluation.folds 2: train lacks the label b, c of 'kind' in fold 1 of rep",
        ),
    ],
)
def test_folds_that_cannot_be_trained_are_refused(counts, folds, valid, message):
    rows, data = classes(counts)
    with pytest.raises(ValueError, match=message):
        require_folds(rows, data, SplitOptions(valid_fraction=valid), EvaluationOptions(folds=folds, repeats=3))


def test_folds_that_can_be_trained_pass_and_none_are_checked_without_cross_validation(caplog):
    rows, data = classes({"a": 20, "b": 4})
    for folds in (0, 4):
        require_folds(rows, data, SPLIT, EvaluationOptions(folds=folds, repeats=2))
    require_folds(rows, data.model_copy(update={"task": "regression"}), SPLIT, EvaluationOptions(folds=12))
    assert not caplog.records


def test_rows_that_repeat_each_other_share_a_fold(toy_rows, toy_data):
    toy_data = toy_data.model_copy(update={"features": ("size",)})
    clean, _ = check_rows(pd.concat([toy_rows, toy_rows], ignore_index=True), toy_data)
    for splits in fold_rows(clean, toy_data, SPLIT, 4, 0):
        part_of = splits.set_index("row")["part"]
        assert all(part_of[row] == part_of[row + 60] for row in range(1, 61))


def test_folds_hold_about_the_same_share_of_each_class(toy_rows, toy_data):
    data = toy_data.model_copy(update={"task": "binary", "target": "kind"})
    clean, _ = check_rows(toy_rows, data)
    dear = [(rows_of("test", clean, splits)["kind"] == "dear").sum() for splits in fold_rows(clean, data, SPLIT, 5, 0)]
    assert max(dear) - min(dear) <= 1


@pytest.mark.parametrize(("most_of_few", "numbers"), [(41, FEW), (40, MANY)])
def test_rows_of_train_of_a_fold_choose_what_is_auto(toy_rows, toy_data, monkeypatch, most_of_few, numbers):
    use_small_bands(monkeypatch, most_of_few)
    clean, _ = check_rows(toy_rows, toy_data)
    by_rows, as_given = (
        cross_validate(
            clean,
            toy_data,
            SPLIT,
            Recipe(encoding=ENCODING, model=MODEL, training=TrainingOptions.model_validate(training)),
            EvaluationOptions(folds=5),
            NoCheckpoints(),
        )
        for training in ({}, numbers)
    )
    assert by_rows["train"].unique().tolist() == [41]
    pd.testing.assert_frame_equal(by_rows, as_given, check_exact=True)


def test_a_fold_scores_what_its_own_training_scores(toy_rows, toy_data):
    scores, clean = scores_of(toy_rows, toy_data, folds=3, repeats=2)
    assert scores[["repeat", "fold"]].values.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    splits = fold_rows(clean, toy_data, SPLIT, 3, 1)[1]
    parts = {part: rows_of(part, clean, splits) for part in PARTS}
    encoder = fit_encoder(parts["train"], toy_data, ENCODING)
    tensors = {part: build_tensors(rows, encoder) for part, rows in parts.items()}
    lesson = Lesson(tensors["train"], tensors["valid"], encoder, TRAINING.model_copy(update={"seed": 5000}))
    model, _ = train_model(lesson, toy_data, MODEL, NoCheckpoints())
    metrics, _ = evaluate(model, tensors, clean, splits)
    assert scores.loc[4, "r2_score"] == pytest.approx(metrics["test"]["r2_score"], abs=1e-4)
    assert scores.loc[4, "test"] == metrics["rows"]["test"]


def test_folds_refit_as_the_training_that_they_judge(toy_rows, toy_data, caplog):
    clean, _ = check_rows(toy_rows, toy_data)
    training = TRAINING.model_copy(update={"refit": True})
    scores = {}
    with caplog.at_level("INFO"):
        for recipe in (RECIPE, RECIPE.model_copy(update={"training": training})):
            options = EvaluationOptions.model_validate({"folds": 2})
            scores[recipe.training.refit] = cross_validate(clean, toy_data, SPLIT, recipe, options, NoCheckpoints())
    counts = ["train", "valid", "test"]
    assert scores[True][counts].equals(scores[False][counts])
    assert (scores[True]["r2_score"] != scores[False]["r2_score"]).all()
    assert caplog.text.count("refit: 4 members once more on train and valid") == 1


def test_no_folds_give_an_empty_table(toy_rows, toy_data):
    scores, _ = scores_of(toy_rows, toy_data)
    assert scores.empty
    assert summarise_folds(scores) == {}


def test_interval_of_the_mean_allows_for_shared_training_rows():
    scores = pd.DataFrame(
        {
            "repeat": 0,
            "fold": range(4),
            "train": 60,
            "valid": 15,
            "test": 25,
            "r2_score": [0.4, 0.5, 0.6, 0.7],
            "loss": np.nan,
        }
    )
    summary = summarise_folds(scores)
    assert (summary["folds"], summary["repeats"]) == (4, 1)
    half_width = 3.182446 * np.sqrt((1 / 4 + 25 / 75) * scores["r2_score"].var())
    assert summary["r2_score"]["mean"] == pytest.approx(0.55)
    assert summary["r2_score"]["high"] == pytest.approx(0.55 + half_width, rel=1e-5)
    assert "loss" not in summary


def test_folds_without_a_metric_do_not_count_for_its_interval():
    scores = pd.DataFrame(
        {
            "repeat": 0,
            "fold": range(5),
            "train": [60, 60, 60, 60, 10],
            "valid": [15, 15, 15, 15, 10],
            "test": [25, 25, 25, 25, 80],
            "roc_auc_score": [0.4, 0.5, 0.6, 0.7, np.nan],
        }
    )
    found = summarise_folds(scores)["roc_auc_score"]
    # by hand: four folds, mean 0.55, s² 0.05 / 3, variance (1/4 + 25/75) s², t of 3 degrees 3.182446
    assert found["mean"] == pytest.approx(0.55)
    assert found["high"] - found["mean"] == pytest.approx(3.182446 * (7 / 12 * 0.05 / 3) ** 0.5, rel=1e-6)


def test_log_has_the_mean_of_each_metric_and_its_interval_unless_it_is_not_defined(caplog):
    scores = pd.DataFrame({"repeat": 0, "fold": [0, 1], "train": 8, "valid": 1, "test": 1, "r2_score": [0.1, 0.2]})
    with caplog.at_level("INFO"):
        found = summarise_folds(scores.assign(loss=[np.nan, 1.0]))["r2_score"]
    said = f"folds: mean of 2 models, with its 95% interval: r2_score 0.15 ({found['low']:.4g} to {found['high']:.4g})"
    assert caplog.messages == [said]


def test_recipe_of_a_search_is_said_to_have_seen_the_rows_of_the_folds(caplog):
    scores = pd.DataFrame({"repeat": 0, "fold": [0, 1], "train": 8, "valid": 1, "test": 1, "r2_score": [0.1, 0.2]})
    caplog.set_level("WARNING")
    assert summarise_folds(scores)["recipe"] == "as given"
    assert not caplog.records
    found = summarise_folds(scores, trials=20)["recipe"]
    assert found == "chosen by a search of 20 trials on rows that the folds test: scores are optimistic"
    assert found in caplog.text


def test_more_folds_than_rows_that_differ_are_refused(toy_rows, toy_data):
    with pytest.raises(ValueError, match=r"evaluation.folds 61 is more than the 60 rows that differ"):
        scores_of(toy_rows, toy_data, folds=61)


def test_more_folds_than_rows_of_the_smallest_class_are_refused(toy_rows, toy_data):
    data = toy_data.model_copy(update={"task": "binary", "target": "kind"})
    toy_rows["kind"] = ["dear"] * 3 + ["cheap"] * 57
    with pytest.raises(ValueError, match=r"more than the 3 rows that differ of the smallest class, 'dear'"):
        scores_of(toy_rows, data, folds=4)


def test_one_fold_is_refused():
    with pytest.raises(ValueError, match="one fold leaves no row to train on"):
        EvaluationOptions(folds=1)


def test_windows_of_an_order_are_scored_and_named(toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)
    split = SplitOptions(order_by="size")
    table = cross_validate(clean, toy_data, split, RECIPE, EvaluationOptions(folds=3), NoCheckpoints())
    assert table[list(PARTS)].to_numpy().tolist() == [[13, 2, 15], [25, 5, 15], [38, 7, 15]]
    assert table["mean_absolute_error"].gt(0).all()
    assert summarise_folds(table, order_by="size")["order_by"] == "size"
    assert "order_by" not in summarise_folds(table)
