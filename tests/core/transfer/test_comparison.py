from dataclasses import replace

import pandas as pd
import pytest
import torch

from tests.core.transfer.adapted import (
    CLASSES,
    MODEL,
    REGRESSION,
    TRAINING,
    TUNING,
    make_lesson,
    make_rows,
    split_options,
    train_parent,
    tune,
)
from torchlane.core import transfer
from torchlane.core.encoding.tensors import build_tensors, fingerprint
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.options import (
    DataOptions,
    FineTuningOptions,
    Recipe,
)
from torchlane.core.rows.checking import check_rows
from torchlane.core.transfer import comparison


def test_comparison_scores_the_three_on_the_same_held_out_rows():
    parent = train_parent(make_rows(kinds="xz"), CLASSES)
    tuning = FineTuningOptions.model_validate({**TUNING, "repeats": 3})
    options, clean, splits, lesson = make_lesson(parent, make_rows(kinds="xyz"), CLASSES, tuning)
    ((tuned, _),) = transfer.fine_tune(parent, [lesson], options, tuning, NoCheckpoints())
    recipe = Recipe.model_validate({"encoding": {}, "model": MODEL, "training": TRAINING})
    lines = comparison.compare(parent, tuned, clean, splits, options, split_options(), recipe, tuning, NoCheckpoints())
    table = pd.DataFrame(lines)
    assert sorted(zip(table["repeat"], table["model"], strict=True)) == [
        (repeat, name) for repeat in range(3) for name in sorted(comparison.CONTENDERS)
    ]
    test = clean[clean["row"].isin(splits.loc[splits["part"] == "test", "row"])]
    predicted = parent.predict(test)["prediction"].to_numpy()
    first = table[(table["model"] == "parent") & (table["repeat"] == 0)].iloc[0]
    assert first["accuracy_score"] == pytest.approx((predicted == test["kind"]).mean())
    summary = comparison.summarise(table, "accuracy_score")
    own = table.loc[table["model"] == "fine_tuned", "accuracy_score"]
    assert summary["models"]["fine_tuned"]["accuracy_score"]["mean"] == pytest.approx(own.mean())
    assert summary["models"]["fine_tuned"]["accuracy_score"]["spread"] == pytest.approx(own.std(ddof=0))
    assert set(summary["ahead"]) == {"parent", "scratch"}


def test_comparison_is_over_one_split_where_the_split_is_in_an_order(caplog):
    parent = train_parent(make_rows(), REGRESSION)
    tuning = FineTuningOptions.model_validate({**TUNING, "repeats": 3})
    options, clean, splits, lesson = make_lesson(parent, make_rows(), REGRESSION, tuning)
    ((tuned, _),) = transfer.fine_tune(parent, [lesson], options, tuning, NoCheckpoints())
    recipe = Recipe.model_validate({"encoding": {}, "model": MODEL, "training": TRAINING})
    split = split_options().model_copy(update={"order_by": "size"})
    caplog.set_level("INFO")
    lines = comparison.compare(parent, tuned, clean, splits, options, split, recipe, tuning, NoCheckpoints())
    assert [line["repeat"] for line in lines] == [0, 0, 0]
    assert "comparison: over one split, since split.order_by 'size' splits in one way" in caplog.messages


@pytest.mark.parametrize(
    ("metric", "parent", "scratch", "fine_tuned"),
    [
        ("r2_score", [0.5, 0.6, 0.4], [0.9, 0.2, 0.8], [0.7, 0.5, 0.6]),
        ("mean_absolute_error", [-0.5, -0.6, -0.4], [-0.9, -0.2, -0.8], [-0.7, -0.5, -0.6]),
        ("cross_entropy_loss", [1.5, 1.4, 1.6], [1.1, 1.8, 1.2], [1.3, 1.5, 1.4]),
    ],
)
def test_fine_tuning_is_ahead_where_its_score_is_higher_or_its_error_lower(metric, parent, scratch, fine_tuned):
    by_model = {"parent": parent, "scratch": scratch, "fine_tuned": fine_tuned}
    lines = [
        {"repeat": repeat, "model": name, metric: value}
        for name, values in by_model.items()
        for repeat, value in enumerate(values)
    ]
    ahead = comparison.summarise(pd.DataFrame(lines), metric)["ahead"]
    assert ahead["parent"]["mean"] == pytest.approx(0.1) and ahead["parent"]["won"] == 2
    assert ahead["scratch"]["mean"] == pytest.approx(-0.1 / 3) and ahead["scratch"]["won"] == 1


def test_what_was_forgotten_is_measured_on_the_parents_own_test_rows():
    parent = train_parent(make_rows(), REGRESSION)
    tuned = tune(parent, make_rows(places="ab"), REGRESSION)
    clean, _ = check_rows(make_rows(), DataOptions.model_validate(REGRESSION))
    old = clean.assign(part=["train"] * 50 + ["test"] * 10)
    found = comparison.describe_forgetting(parent, tuned, old)
    assert found["rows"] == 10
    truth = torch.tensor(clean["price"].to_numpy()[-10:])
    for name, model in (("parent", parent), ("fine_tuned", tuned)):
        prediction = torch.tensor(model.predict(make_rows().tail(10))["prediction"].to_numpy())
        expected = 1 - ((prediction - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
        assert found[name]["r2_score"] == pytest.approx(float(expected), abs=1e-5)
    others = comparison.describe_forgetting(parent, tuned, old.assign(size=0.0))
    assert others == {"reason": "the rows beside the parent's model are not those that it was trained on"}
    assert "no rows beside the parent's model" in comparison.describe_forgetting(parent, tuned, None)["reason"]


def test_held_out_rows_that_the_parent_was_trained_on_are_counted():
    options, parent = DataOptions.model_validate(REGRESSION), train_parent(make_rows(), REGRESSION)
    clean, _ = check_rows(make_rows(n_rows=20), options)
    splits = pd.DataFrame({"row": clean["row"], "part": ["train"] * 10 + ["test"] * 10})
    old = clean.assign(part=["train"] * 13 + ["test"] * 7)
    assert comparison.count_known(parent, clean, splits, old, options) == 3
    assert comparison.count_known(parent, clean, splits, None, options) is None
    old.loc[13:16, "part"] = "valid"
    assert comparison.count_known(parent, clean, splits, old, options) == 3
    refitted = replace(parent, details={**parent.details, "refit": {}})
    assert comparison.count_known(refitted, clean, splits, old, options) == 7


def test_rows_of_a_refitted_parent_are_known_again_with_those_of_valid():
    options = DataOptions.model_validate(REGRESSION)
    clean, _ = check_rows(make_rows(n_rows=30), options)
    parent = train_parent(make_rows(), REGRESSION)
    old = clean.assign(part=(["valid"] * 2 + ["train"] * 3) * 4 + ["test"] * 10)
    learned = pd.concat([old[old["part"] == part] for part in ("train", "valid")])
    details = {"refit": {}, "data_fingerprint": fingerprint(build_tensors(learned, parent.encoder))}
    refitted = replace(parent, details=details)
    assert comparison.describe_forgetting(refitted, refitted, old)["rows"] == 10
    assert "reason" in comparison.describe_forgetting(
        replace(parent, details={**details, "refit": {}}), parent, old[2:]
    )


def test_models_from_scratch_and_further_repeats_keep_the_positive_label_of_the_fine_tuned_model(monkeypatch):
    data = {**CLASSES, "task": "binary"}
    parent = train_parent(make_rows(kinds="xyy"), data)
    tuning = FineTuningOptions.model_validate({**TUNING, "repeats": 2})
    options, clean, splits, lesson = make_lesson(parent, make_rows(kinds="xxy"), data, tuning)
    ((tuned, _),) = transfer.fine_tune(parent, [lesson], options, tuning, NoCheckpoints())
    trained = []

    def noted(lessons, *arguments):
        trained.extend(lessons)
        return train_models(lessons, *arguments)

    train_models = comparison.train_models
    monkeypatch.setattr(comparison, "train_models", noted)
    recipe = Recipe.model_validate({"encoding": {}, "model": MODEL, "training": TRAINING})
    comparison.compare(parent, tuned, clean, splits, options, split_options(), recipe, tuning, NoCheckpoints())
    assert [each.encoder.target.positive for each in trained] == ["x", "x"] == 2 * [tuned.encoder.target.positive]


def test_contenders_are_scored_with_the_weights_of_the_new_rows():
    weighted = {**CLASSES, "weight": "w"}
    raw = make_rows(kinds="xyz").assign(w=[str(number % 3) for number in range(60)])
    parent = train_parent(make_rows(kinds="xz"), CLASSES)
    tuning = FineTuningOptions.model_validate({**TUNING, "repeats": 1})
    options, clean, splits, lesson = make_lesson(parent, raw, weighted, tuning)
    assert lesson.encoder.weight == "w" and parent.encoder.weight is None
    ((tuned, _),) = transfer.fine_tune(parent, [lesson], options, tuning, NoCheckpoints())
    test = clean[clean["row"].isin(splits.loc[splits["part"] == "test", "row"])]
    right = tuned.predict(test)["prediction"].to_numpy() == test["kind"].to_numpy()
    found = comparison.score_on(test, tuned, tuned.encoder.target, "w")
    assert found["accuracy_score"] == pytest.approx((right * test["w"]).sum() / test["w"].sum())
    recipe = Recipe.model_validate({"encoding": {}, "model": MODEL, "training": TRAINING})
    lines = comparison.compare(parent, tuned, clean, splits, options, split_options(), recipe, tuning, NoCheckpoints())
    assert lines[-1] == {"repeat": 0, "model": "fine_tuned", **found}
    unweighted = comparison.score_on(test, tuned, tuned.encoder.target)
    assert unweighted["cross_entropy_loss"] != found["cross_entropy_loss"]


def test_new_rows_without_the_column_of_weights_are_refused():
    parent = train_parent(make_rows(), CLASSES)
    options = DataOptions.model_validate({**CLASSES, "weight": "w"})
    with pytest.raises(ValueError, match="weight 'w' is not a column of the table.*set data.weight"):
        transfer.check_new_rows(make_rows(), parent, options, FineTuningOptions())


def test_what_was_forgotten_counts_the_weights_of_the_parents_rows():
    data = {**CLASSES, "weight": "w"}
    raw = make_rows(kinds="xy").assign(w=[str(1 + number % 3) for number in range(60)])
    parent = train_parent(raw, data)
    clean, _ = check_rows(raw, DataOptions.model_validate(data))
    old = clean.assign(part=["train"] * 50 + ["test"] * 10)
    found = comparison.describe_forgetting(parent, parent, old)
    right = parent.predict(raw.tail(10))["prediction"].to_numpy() == raw["kind"].tail(10).to_numpy()
    assert found["parent"]["accuracy_score"] == pytest.approx(right @ clean["w"].tail(10) / clean["w"].tail(10).sum())
    assert found["fine_tuned"] == found["parent"] != comparison.score_on(clean.tail(10), parent, parent.encoder.target)
