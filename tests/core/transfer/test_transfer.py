import logging

import numpy as np
import pandas as pd
import pytest
import torch

from torchlane.core import transfer
from torchlane.core.encoding.columns import CategoryEncoder, NumberEncoder
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine import interruption
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.model.trained import TrainedModel, load
from torchlane.core.options import (
    DataOptions,
    EncodingOptions,
    FineTuningOptions,
    ModelOptions,
    Recipe,
    TrainingOptions,
)
from torchlane.core.rows.checking import check_rows
from torchlane.core.transfer import comparison

COLUMNS = {"size": {"kind": "number"}, "place": {"kind": "category"}}
REGRESSION = {"task": "regression", "target": "price", "columns": COLUMNS}
CLASSES = {"task": "multiclass", "target": "kind", "columns": COLUMNS}
MODEL = {"widths": [8, 6]}
TRAINING = {"epochs": 4, "members": 2, "learning_rate": 0.01, "batch_size": 8, "patience_epochs": None}
TUNING = {"epochs": 3, "patience_epochs": None, "batch_size": 8}


def make_rows(places: str = "abc", kinds: str = "xyz", n_rows: int = 60, gap: bool = False) -> pd.DataFrame:
    """Raw rows whose price follows from size and place, and whose kind follows from the place."""
    numbers = np.arange(n_rows)
    place = [places[number % len(places)] for number in numbers]
    kind = [kinds[number % len(kinds)] for number in numbers]
    price = 10 * numbers + 100 * (numbers % len(places))
    rows = pd.DataFrame({"size": numbers.astype(str), "place": place, "price": price.astype(str), "kind": kind})
    if gap:
        rows.loc[::7, "size"] = ""
    return rows


def train_parent(raw: pd.DataFrame, data: dict, encoding: dict | None = None, model: dict = MODEL) -> TrainedModel:
    options = DataOptions.model_validate(data)
    clean, _ = check_rows(raw, options)
    encoder = fit_encoder(clean, options, EncodingOptions.model_validate(encoding or {}))
    train, valid = (build_tensors(part, encoder) for part in (clean.iloc[:-10], clean.iloc[-10:]))
    training = TrainingOptions.model_validate(TRAINING)
    lesson = Lesson(train, valid, encoder, training)
    return train_model(lesson, options, ModelOptions.model_validate(model), NoCheckpoints())[0]


def make_lesson(parent: TrainedModel, raw: pd.DataFrame, data: dict, tuning: FineTuningOptions):
    options = DataOptions.model_validate(data)
    clean, _ = transfer.check_new_rows(raw, parent, options, tuning)
    splits = transfer.split_new_rows(clean, transfer.data_for(parent, options, tuning), split_options(), tuning)
    lesson = transfer.make_lesson(
        parent, clean, splits, options, EncodingOptions(), TrainingOptions.model_validate(TRAINING), tuning
    )
    return options, clean, splits, lesson


def split_options():
    from torchlane.core.options import SplitOptions

    return SplitOptions()


def tune(
    parent: TrainedModel, raw: pd.DataFrame, data: dict, checkpoints=None, once: bool = True, **changes
) -> TrainedModel:
    tuning = FineTuningOptions.model_validate({**TUNING, **changes})
    options, _, _, lesson = make_lesson(parent, raw, data, tuning)
    ((tuned, _),) = transfer.fine_tune(parent, [lesson], options, tuning, checkpoints or NoCheckpoints(), once=once)
    return tuned


# Encoders


def test_new_levels_get_codes_behind_all_others_and_no_code_moves():
    old = pd.Series(["b", "a", "b", "a", None], name="place", dtype="str")
    new = pd.Series(["z", "b", "z", "c", "c", "rare", "d", "d"], name="place", dtype="str")
    parent = CategoryEncoder.fit(old, "codes", 1)
    grown = parent.grow(new, 2)
    assert parent.codes(pd.Series(["a", "b", "?", None], dtype="str")).tolist() == [0, 1, 2, 3]
    assert grown.codes(pd.Series(["a", "b", "?", None, "c", "d", "z"], dtype="str")).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert grown.counts == (0, 1, 1, 0, 2, 2, 2)  # a, b, unseen, missing, c, d, z
    again = grown.grow(pd.Series(["m", "m"], name="place", dtype="str"), 2)
    assert again.codes(pd.Series(["z", "?", "m"], dtype="str")).tolist() == [6, 2, 7]
    assert CategoryEncoder.model_validate_json(again.model_dump_json()) == again


def test_new_levels_get_columns_behind_all_others():
    old = pd.Series(["b", "a", "b", "a", "rare"], name="place", dtype="str")
    grown = CategoryEncoder.fit(old, "one_hot", 2).grow(pd.Series(["c", "c", None], name="place", dtype="str"), 2)
    names = ["place=a", "place=b", "place=unseen", "place=missing", "place=c"]
    assert list(grown.feature_names) == names
    assert grown.encode(pd.Series(["c", "rare", "a", None], dtype="str")).argmax(1).tolist() == [4, 2, 0, 3]


def test_scaling_stays_the_parents_unless_asked():
    parent = NumberEncoder.fit(pd.Series([0.0, 2.0, 4.0], name="size"), "z_score")
    new = pd.Series([100.0, 200.0, np.nan], name="size")
    kept, anew = parent.grow(new, rescale=False), parent.grow(new, rescale=True)
    assert (kept.factor, kept.offset, kept.median) == (parent.factor, parent.offset, parent.median)
    assert kept.flagged and anew.flagged
    assert anew.median == 150.0
    assert anew.encode(pd.Series([150.0])).tolist() == [[0.0, 0.0]]


# Growth of the network


@pytest.mark.parametrize(
    ("encoding", "model"),
    [
        ({}, MODEL),
        ({"min_level_count": 30}, MODEL),
        ({}, {"widths": []}),
        ({}, {"widths": [8, 6], "batch_norm": True}),
        ({"categories": "codes"}, {"kind": "transformer", "blocks": 1, "token_width": 8, "heads": 2}),
    ],
    ids=["one-hot", "one-hot with unseen ones", "linear", "batch norm", "embeddings"],
)
def test_grown_network_starts_with_the_outputs_of_its_parent_for_every_row(encoding, model):
    parent = train_parent(make_rows(gap=True), REGRESSION, encoding, model)
    new = make_rows(places="cdea", n_rows=44)
    freeze = {"layers": ["batch_norm_*"]} if model.get("batch_norm") else {}
    tuned = tune(parent, new, REGRESSION, learning_rate=1e-30, freeze=freeze)
    rows = pd.DataFrame({"size": ["1", "50", "7", "", "3"], "place": ["a", "c", "d", "b", "nowhere"]})
    assert {"d", "e"} <= set(tuned.encoder.columns[1].levels)
    assert len(tuned.encoder.feature_names) > len(parent.encoder.feature_names) or encoding.get("categories") == "codes"
    np.testing.assert_allclose(tuned.predict(rows)["prediction"], parent.predict(rows)["prediction"], rtol=1e-4)


def test_flag_of_missing_values_is_new_where_the_parent_has_none():
    parent = train_parent(make_rows(), REGRESSION)
    tuned = tune(parent, make_rows(gap=True), REGRESSION, learning_rate=1e-30)
    assert "size=missing" in tuned.encoder.feature_names
    rows = make_rows(gap=True).head(8)
    np.testing.assert_allclose(tuned.predict(rows)["prediction"], parent.predict(rows)["prediction"], rtol=1e-4)


def test_head_grows_and_keeps_the_rows_of_classes_that_stay():
    parent = train_parent(make_rows(kinds="xz"), CLASSES)
    tuned = tune(parent, make_rows(kinds="wxyz"), CLASSES, learning_rate=1e-30)
    assert tuned.encoder.target.labels == ("w", "x", "y", "z")
    assert torch.equal(tuned.weights["head.weight"][:, [1, 3]], parent.weights["head.weight"])
    assert torch.equal(tuned.weights["head.bias"][:, [1, 3]], parent.weights["head.bias"])
    assert tuned.weights["head.weight"][0, 0].abs().sum() > 0
    assert set(tuned.predict(make_rows())) >= {"probability_w", "probability_y"}


def test_classes_that_new_rows_lack_stay_unless_the_head_is_trimmed():
    parent = train_parent(make_rows(kinds="xyz"), CLASSES)
    assert tune(parent, make_rows(kinds="xz"), CLASSES).encoder.target.labels == ("x", "y", "z")
    trimmed = tune(parent, make_rows(kinds="zw"), CLASSES, head="trim", learning_rate=1e-30)
    assert trimmed.encoder.target.labels == ("w", "z")
    assert torch.equal(trimmed.weights["head.weight"][:, 1], parent.weights["head.weight"][:, 2])


def test_replaced_head_is_drawn_anew_and_the_other_layers_stay():
    parent = train_parent(make_rows(), REGRESSION)
    tuned = tune(parent, make_rows(), CLASSES, head="replace", learning_rate=1e-30)
    assert tuned.weights["head.weight"].shape == (2, 3, 6)
    assert torch.equal(tuned.weights["linear_2.weight"], parent.weights["linear_2.weight"])
    same_task = tune(parent, make_rows(), REGRESSION, head="replace", learning_rate=1e-30)
    assert not torch.equal(same_task.weights["head.weight"], parent.weights["head.weight"])


def test_binary_parent_becomes_multiclass_and_back_with_the_ratio_of_its_classes():
    binary = {**CLASSES, "task": "binary"}
    parent = train_parent(make_rows(kinds="xz"), binary)
    wider = tune(parent, make_rows(kinds="xyz"), CLASSES, learning_rate=1e-30)
    rows = make_rows().head(6)
    ours, theirs = member_ratio(wider, rows), member_ratio(parent, rows)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    narrow = tune(wider, make_rows(kinds="xz"), binary, head="trim", learning_rate=1e-30)
    np.testing.assert_allclose(member_ratio(narrow, rows), theirs, rtol=1e-4)


def member_ratio(model: TrainedModel, rows: pd.DataFrame) -> np.ndarray:
    """The probability of z over that of x, of the first member, before any calibration."""
    features = torch.from_numpy(model.encoder.encode_features(check_rows(rows, model.data)[0]))
    labels = model.encoder.target.labels
    each = model.member_predictions(features)[0].numpy()
    return each[:, labels.index("z")] / each[:, labels.index("x")]


# Freezing


@pytest.mark.parametrize(
    ("freeze", "moves"),
    [
        ("linear_1", {"linear_2", "head"}),
        ({"layers": ["linear_*"]}, {"head"}),
        ({"layers": [r"re:linear_\d"]}, {"head"}),
        ({"layers": ["linear_1.weight"]}, {"linear_1.bias", "linear_2", "head"}),
        ({"first": 2}, {"head"}),
        ({"all_but": "head"}, {"head"}),
        ({"all_but": ["head", "linear_1"]}, {"linear_1", "head"}),
    ],
    ids=["name", "pattern", "regular expression", "parameter", "first", "all but the head", "all but two"],
)
def test_frozen_layers_stay_and_the_others_move(freeze, moves, caplog):
    caplog.set_level(logging.INFO)
    parent = train_parent(make_rows(), REGRESSION)
    tuned = tune(parent, make_rows(), REGRESSION, freeze=freeze)
    moved = {name for name, tensor in tuned.weights.items() if not torch.equal(tensor, parent.weights[name])}
    whole = {"linear_1", "linear_2", "head"}
    expected = {f"{name}.{kind}" for name in moves & whole for kind in ("weight", "bias")} | (moves - whole)
    assert moved == expected
    line = next(each for each in caplog.messages if each.startswith("fine-tuning: "))
    n_trained = sum(tuned.weights[name][0].numel() for name in expected)
    n_all = sum(tensor[0].numel() for tensor in tuned.weights.values())
    assert f"{n_trained} of {n_all} parameters train" in line
    assert all(name in line for name in tuned.details["fine_tuning"]["frozen"])


def test_batch_norm_is_frozen_with_the_layer_before_it():
    parent = train_parent(make_rows(), REGRESSION, model={**MODEL, "batch_norm": True})
    tuned = tune(parent, make_rows(n_rows=40), REGRESSION, freeze={"first": 1})
    for name, tensor in tuned.weights.items():
        stays = name.startswith(("linear_1", "batch_norm_1"))
        assert torch.equal(tensor, parent.weights[name]) == stays, name


def test_earlier_layers_have_lower_rates_and_patterns_set_their_own(caplog):
    caplog.set_level(logging.INFO)
    parent = train_parent(make_rows(), REGRESSION)
    tune(parent, make_rows(), REGRESSION, learning_rate=0.01, layer_decay=0.5, learning_rates={"linear_1": 0.004})
    assert "by groups at 0.01, 0.005, 0.004;" in caplog.text
    tune(parent, make_rows(), REGRESSION, learning_rate=0.01, thaw_epochs=2)
    assert "by groups at 0.01, 0.01 from epoch 3, 0.01 from epoch 5;" in caplog.text


def test_pull_keeps_weights_near_the_parents():
    parent = train_parent(make_rows(), REGRESSION)

    def distance(pull: float) -> float:
        tuned = tune(parent, make_rows(), REGRESSION, pull=pull, epochs=20, learning_rate=0.01)
        return sum(float((tuned.weights[name] - parent.weights[name]).square().sum()) for name in parent.weights)

    assert distance(30.0) < 0.3 * distance(0.0)


def test_outputs_computed_once_give_the_same_model_on_images():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 60)
    images = [(generator.integers(0, 100, (6, 6)) + 150 * label).astype(np.uint8) for label in labels]
    raw = pd.DataFrame({"image": pd.Series(images, dtype=object), "label": [f"c{label}" for label in labels]})
    columns = {"image": {"kind": "image", "size": [1, 6, 6]}}
    data = {"task": "multiclass", "target": "label", "columns": columns}
    parent = train_parent(raw, data, model={"kind": "cnn", "widths": [4, 6], "depth": 1})
    once, each_time = (tune(parent, raw, data, once=once, freeze={"first": 2}) for once in (True, False))
    for name, tensor in once.weights.items():
        torch.testing.assert_close(tensor, each_time.weights[name], rtol=0, atol=1e-5)
    assert once.details["fine_tuning"]["frozen"] == ["convolution_1_1", "convolution_2_1"]


def test_fine_tuned_model_names_its_parent_and_reads_back_to_the_same_predictions(tmp_path):
    train_parent(make_rows(), REGRESSION).save(tmp_path / "parent")
    parent = load(tmp_path / "parent")
    tuned = tune(parent, make_rows(places="abd"), REGRESSION)
    tuned.save(tmp_path / "tuned")
    reread = load(tmp_path / "tuned")
    assert reread.details["parent"]["fingerprint"] == parent.fingerprint
    assert reread.calibration.n_rows == 12  # valid of the new rows
    rows = make_rows(places="abd").drop(columns="price")
    pd.testing.assert_frame_equal(reread.predict(rows), tuned.predict(rows))
    shuffled = rows.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(reread.predict(shuffled).sort_index(), reread.predict(rows))


def test_fine_tuning_twice_gives_the_same_bits_and_cut_off_goes_on_to_them(monkeypatch):
    parent = train_parent(make_rows(), REGRESSION)
    first, second = (tune(parent, make_rows(), REGRESSION, freeze={"first": 1}, thaw_epochs=1) for _ in range(2))
    assert all(torch.equal(tensor, second.weights[name]) for name, tensor in first.weights.items())

    class Memory(NoCheckpoints):
        state = None

        def load(self):
            return self.state

        def save(self, state):
            self.state = state

    checkpoints, plain_check, left = Memory(), interruption.check, 9

    def check():
        nonlocal left
        left -= 1
        if left == 0:
            raise interruption.Interrupted(15)
        plain_check()

    monkeypatch.setattr(interruption, "check", check)
    with pytest.raises(interruption.Interrupted):
        tune(parent, make_rows(), REGRESSION, checkpoints, freeze={"first": 1}, thaw_epochs=1)
    assert checkpoints.state["running"]["epoch"] == 1
    resumed = tune(parent, make_rows(), REGRESSION, checkpoints, freeze={"first": 1}, thaw_epochs=1)
    assert all(torch.equal(tensor, resumed.weights[name]) for name, tensor in first.weights.items())


# Bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze": "linear_9"}, "freeze.layers 'linear_9' matches nothing; the layers are linear_1, linear_2, head"),
        ({"freeze": ["*"]}, "leaves nothing to train; the layers are linear_1, linear_2, head; freeze fewer"),
        ({"freeze": {"first": 3}}, "leaves nothing to train"),
        ({"freeze": {"first": 4}}, "freeze.first 4 exceeds the number of layers, 3; the layers are linear_1"),
        ({"freeze": {"all_but": "tail"}}, "freeze.all_but 'tail' matches nothing"),
        ({"learning_rates": {"lin_1": 0.1}}, "learning_rates 'lin_1' matches nothing"),
        ({"head_layer": "tail"}, "head_layer 'tail' is not a layer; the layers are"),
        ({"head_layer": "linear_1"}, r"the head cannot be mapped: layer linear_1 has weights of shape \(8, 4\)"),
    ],
)
def test_layers_that_do_not_fit_are_refused_with_the_names(changes, message):
    parent = train_parent(make_rows(), REGRESSION)
    with pytest.raises(ValueError, match=message):
        tune(parent, make_rows(), REGRESSION, **changes)


def test_new_head_that_is_frozen_is_refused():
    parent = train_parent(make_rows(kinds="xz"), CLASSES)
    with pytest.raises(ValueError, match="fine_tuning.freeze includes the head, head, which has new weights"):
        tune(parent, make_rows(kinds="xyz"), CLASSES, freeze={"layers": ["head"]})


def test_parent_of_another_task_is_refused_unless_its_head_is_replaced():
    parent = train_parent(make_rows(), REGRESSION)
    with pytest.raises(ValueError, match="trained for another task, regression of 'price', not multiclass of 'kind'"):
        tune(parent, make_rows(), CLASSES)


def test_head_of_two_labels_with_a_third_is_refused():
    binary = {**CLASSES, "task": "binary"}
    parent = train_parent(make_rows(kinds="xz"), binary)
    with pytest.raises(
        ValueError, match="a binary task has 2 labels, but together with the parent's there are 3: w, x"
    ):
        tune(parent, make_rows(kinds="wx"), binary)


def test_column_that_the_parent_needs_is_named():
    parent = train_parent(make_rows(), REGRESSION)
    with pytest.raises(ValueError, match="column 'place' is missing in the table, and the parent needs it"):
        tune(parent, make_rows().drop(columns="place"), REGRESSION)
    numbers = {**REGRESSION, "columns": {"size": {"kind": "number"}, "place": {"kind": "number"}}}
    with pytest.raises(ValueError, match="'place' is a category for the parent, but a number in data.columns"):
        tune(parent, make_rows(), numbers)


def test_column_that_only_the_parent_declares_is_read_by_its_rules():
    parent = train_parent(make_rows(), REGRESSION)
    tuned = tune(parent, make_rows(), {**REGRESSION, "columns": {"size": {"kind": "number"}}})
    assert list(tuned.data.feature_columns) == ["size", "place"]


def test_fewer_rows_than_classes_and_one_class_alone_are_refused():
    parent = train_parent(make_rows(kinds="xyz"), CLASSES)
    with pytest.raises(ValueError, match="the table has 2 rows for 3 classes of the model; give at least one row"):
        tune(parent, make_rows(kinds="xy", n_rows=2), CLASSES)
    with pytest.raises(ValueError, match="have the same class, kind 'x'"):
        tune(parent, make_rows(kinds="x"), CLASSES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": {"all_but": "head", "first": 1}}, "all_but says what is not frozen"),
        ({"freeze": "re:("}, "'re:\\(' is no regular expression"),
        ({"learning_rates": {"re:[": 0.1}}, "is no regular expression"),
        ({"valid_fraction": 0.5, "test_fraction": 0.5}, "together must stay below 1"),
    ],
)
def test_options_that_contradict_themselves_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FineTuningOptions.model_validate(options)


# Whether it paid


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
    options = DataOptions.model_validate(REGRESSION)
    clean, _ = check_rows(make_rows(n_rows=20), options)
    splits = pd.DataFrame({"row": clean["row"], "part": ["train"] * 10 + ["test"] * 10})
    old = clean.assign(part=["train"] * 13 + ["test"] * 7)
    assert comparison.count_known(clean, splits, old, options) == 3
    assert comparison.count_known(clean, splits, None, options) is None
