import numpy as np
import pandas as pd
import pytest
import torch

from tests.core.transfer.adapted import (
    CLASSES,
    MODEL,
    REGRESSION,
    make_rows,
    train_parent,
    tune,
)
from tests.indicators import indicators
from torchlane.core.encoding.columns import CategoryEncoder, NumberEncoder
from torchlane.core.encoding.dates import DateEncoder
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import ColumnOptions, DataOptions, EncodingOptions, FineTuningOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.dates import read_dates
from torchlane.core.transfer.growth import NEW, feature_sources, grow_encoder, head_map


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


def test_new_levels_follow_the_declared_order_and_no_declared_level_moves():
    order = ("low", "medium", "high", "very high", "huge", "beyond")
    old = pd.Series(["high", "low"], name="size", dtype="str")
    parent = CategoryEncoder.fit(old, "codes", 2, order[:4])
    new = pd.Series(["beyond", "huge", "medium"] * 2, name="size", dtype="str")
    grown = parent.grow(new, 2, order)
    assert grown.codes(pd.Series([*order, "?", None], dtype="str")).tolist() == [0, 1, 2, 3, 6, 7, 4, 5]
    assert grown.counts == (0, 2, 0, 0, 0, 0, 2, 2)


def test_new_levels_get_columns_behind_all_others():
    old = pd.Series(["b", "a", "b", "a", "rare"], name="place", dtype="str")
    grown = CategoryEncoder.fit(old, "one_hot", 2).grow(pd.Series(["c", "c", None], name="place", dtype="str"), 2)
    names = ["place=a", "place=b", "place=unseen", "place=missing", "place=c"]
    assert list(grown.feature_names) == names
    encoded = grown.encode(pd.Series(["c", "rare", "a", None], dtype="str"))
    assert indicators(grown, encoded).argmax(1).tolist() == [4, 2, 0, 3]


@pytest.mark.parametrize(("rescale", "means"), [(False, (0.2,)), (True, (0.8,))])
def test_scale_of_pixels_stays_the_parents_unless_asked(rescale, means):
    def rows(brightness: int) -> pd.DataFrame:
        return pd.DataFrame({"image": [bytes([brightness] * 4)] * 2, "label": ["a", "b"]})

    data = DataOptions.model_validate(
        {"task": "binary", "target": "label", "columns": {"image": {"kind": "image", "size": [1, 2, 2]}}}
    )
    encoding = EncodingOptions(pixels="z_score")
    parent = fit_encoder(rows(51), data, encoding)
    grown = grow_encoder(parent, rows(204), data, encoding, FineTuningOptions(rescale=rescale))
    assert grown.image is not None
    assert grown.image.means == pytest.approx(means)


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


def dated(*texts: str) -> pd.Series:
    return read_dates(pd.Series(texts, dtype="str"), ColumnOptions(kind="date"), ("",))[0].rename("when")


def test_date_grows_by_the_parts_that_vary_in_new_rows_only_and_keeps_the_scales_of_the_others():
    old, new = dated("2024-01-05", "2024-02-06", "2024-03-08"), dated("2025-01-05 12:00", "2026-02-06 18:00", "")
    parent = DateEncoder.fit(old, "z_score")
    grown = parent.grow(new, rescale=False)
    added = ["when=year", "when=hour_sin", "when=hour_cos", "when=missing"]
    assert [name for name in grown.feature_names if name not in parent.feature_names] == added
    common = [grown.feature_names.index(name) for name in parent.feature_names]
    np.testing.assert_array_equal(grown.encode(new)[:2, common], parent.encode(new)[:2])
    rescaled = parent.grow(new, rescale=True)
    elapsed = rescaled.encode(new)[:2, rescaled.feature_names.index("when=elapsed")]
    np.testing.assert_allclose(elapsed, [-1, 1], atol=1e-5)
    assert grown.grow(old, rescale=False).feature_names == grown.feature_names
    assert DateEncoder.model_validate_json(grown.model_dump_json()) == grown


def test_new_part_of_a_date_starts_at_zero_and_each_other_feature_keeps_its_weights():
    def rows(clock: str, year: int) -> pd.DataFrame:
        days = [f"{year}-{1 + number % 12:02}-{1 + number % 28:02}{clock}" for number in range(60)]
        return make_rows().assign(when=days)

    data = {**REGRESSION, "columns": {"when": {"kind": "date"}, "size": {"kind": "number"}}}
    parent = train_parent(rows("", 2024), data)
    raw = rows("", 2024)
    raw.loc[::2, "when"] += " 12:30"
    options = DataOptions.model_validate(data)
    clean, _ = check_rows(raw, options)
    grown = grow_encoder(parent.encoder, clean, options, EncodingOptions(), FineTuningOptions())
    sources = dict(zip(grown.feature_names, feature_sources(parent.encoder, grown), strict=True))
    before = parent.encoder.feature_names
    assert sources == {name: before.index(name) if name in before else NEW for name in grown.feature_names}
    assert [name for name, source in sources.items() if source == NEW] == ["when=hour_sin", "when=hour_cos"]
    tuned = tune(parent, raw, data, epochs=1)
    assert tuned.encoder.feature_names == grown.feature_names
    assert np.isfinite(tuned.predict(raw)["prediction"]).all()


def test_positive_label_of_the_parent_stays_though_new_rows_have_more_of_it():
    data = DataOptions.model_validate({**CLASSES, "task": "binary"})
    parent = fit_encoder(check_rows(make_rows(kinds="xyy"), data)[0], data, EncodingOptions())
    assert parent.target.positive == "x"
    new = check_rows(make_rows(kinds="xxy"), data)[0]
    options = FineTuningOptions()
    assert grow_encoder(parent, new, data, EncodingOptions(), options).target.labels == ("y", "x")
    asked = data.model_copy(update={"positive": "y"})
    assert grow_encoder(parent, new, asked, EncodingOptions(), options).target.labels == ("x", "y")
    assert fit_encoder(new, parent.target.keep_positive(data), EncodingOptions()).target.positive == "x"


@pytest.mark.parametrize("asked", [None, "y"])
def test_head_still_means_the_same_labels_when_their_order_changes(asked):
    data = {**CLASSES, "task": "binary"}
    raw = make_rows(kinds="xyy")
    parent = train_parent(raw, data)
    clean, _ = check_rows(raw, parent.data)
    own = DataOptions.model_validate({**data, "positive": asked})
    grown = grow_encoder(parent.encoder, clean, own, EncodingOptions(), FineTuningOptions())
    mapped, new = head_map(parent.encoder.target, grown.target, "grow")
    assert (mapped.item(), new.item()) == (1.0 if asked is None else -1.0, False)


@pytest.mark.parametrize(
    ("head", "first", "later", "restored"),
    [
        ("grow", "", ".0", [1, 2, 3]),
        ("grow", ".0", ".0", [1.0, 2.0, 3.0]),
        ("trim", "", ".0", [2.0, 3.0]),
        ("trim", ".0", "", [2, 3]),
    ],
)
def test_labels_keep_the_parents_spelling_or_have_that_of_the_new_rows_if_none_is_kept(head, first, later, restored):
    data = DataOptions.model_validate(CLASSES)
    old, new = make_rows(kinds="122"), make_rows(kinds="223")
    old["kind"] += first
    new["kind"] += later
    parent = fit_encoder(check_rows(old, data)[0], data, EncodingOptions())
    options = FineTuningOptions(head=head)
    target = grow_encoder(parent, check_rows(new, data)[0], data, EncodingOptions(), options).target
    found = target.restore(target.labels).tolist()
    assert (found, [*map(type, found)]) == (restored, [*map(type, restored)])


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("kind", [DateEncoder, NumberEncoder])
def test_new_rows_without_any_value_leave_the_scales_of_the_parent(kind, rescale):
    old, new = dated("2024-01-01", "2024-02-01", "2024-02-03", ""), dated("", "")
    if kind is NumberEncoder:
        old, new = pd.Series([100.0, 200.0, np.nan], name="when"), pd.Series([np.nan, np.nan], name="when")
    parent = kind.fit(old, "z_score")
    grown = parent.grow(new, rescale)
    np.testing.assert_array_equal(grown.encode(old), parent.encode(old))
    assert grown.missing == 2
