import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, StandardScaler

from torchlane.core.encoding.encoders import (
    CategoryEncoder,
    Encoder,
    NumberEncoder,
    TargetEncoder,
    fit_encoder,
    natural_order,
)
from torchlane.core.options import DataOptions, EncodingOptions
from torchlane.core.rows.checking import check_rows


def text(*values: str | None) -> pd.Series:
    return pd.Series(values, dtype="str", name="city")


def test_codes_follow_the_alphabet_and_unseen_and_missing_have_their_own():
    encoder = CategoryEncoder.fit(text("b", "a", "b", "c"), "codes", 1)
    assert encoder.encode(text("a", "b", "c", "z", None)).ravel().tolist() == [0, 1, 2, 3, 4]


def test_codes_of_numbers_follow_their_values():
    assert CategoryEncoder.fit(text("100", "0", "50"), "codes", 1).levels == ("0", "50", "100")


def test_rare_levels_share_the_code_of_unseen_ones():
    encoder = CategoryEncoder.fit(text("a", "a", "b"), "codes", 2)
    assert encoder.encode(text("a", "b", "z")).ravel().tolist() == [0, 1, 1]
    assert encoder.counts == (2, 1, 0)


def test_indicators_mark_one_level_a_row():
    encoder = CategoryEncoder.fit(text("a", "b", None, "c"), "one_hot", 1)
    assert encoder.feature_names == ("city=a", "city=b", "city=c", "city=missing")
    encoded = encoder.encode(text("b", None, "z"))
    assert encoded.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert encoded.dtype == np.float32


@pytest.mark.parametrize(
    ("encoding", "reference"),
    [
        ("min_max", MinMaxScaler()),
        ("z_score", StandardScaler()),
        ("quantile", QuantileTransformer(n_quantiles=300, output_distribution="normal")),
    ],
)
def test_scaling_agrees_with_scikit_learn(encoding, reference):
    random = np.random.default_rng(0)
    known, new = random.lognormal(size=(300, 1)), random.lognormal(size=(50, 1))
    encoder = NumberEncoder.fit(pd.Series(known[:, 0], name="x"), encoding)
    expected = reference.fit(known).transform(new)
    np.testing.assert_allclose(encoder.encode(pd.Series(new[:, 0]))[:, 0], expected[:, 0], rtol=1e-5, atol=2e-5)


def test_quantile_scaling_gives_a_repeated_value_the_middle_of_its_ranks():
    encoder = NumberEncoder.fit(pd.Series([0.0] * 50 + [*range(1, 51)], name="x"), "quantile")
    scaled = encoder.encode(pd.Series([-1.0, 0.0, 50.0, 99.0]))[:, 0]
    np.testing.assert_allclose(scaled, [-5.199, -0.67, 5.199, 5.199], atol=0.02)


def test_missing_numbers_become_the_median_of_train_and_are_flagged():
    encoder = NumberEncoder.fit(pd.Series([1.0, 2.0, 30.0, np.nan], name="x"), "none")
    assert encoder.feature_names == ("x", "x=missing")
    assert encoder.encode(pd.Series([np.nan, 5.0])).tolist() == [[2, 1], [5, 0]]


@pytest.mark.parametrize("encoding", ["none", "min_max", "z_score", "quantile"])
@pytest.mark.parametrize("values", [[3.0, 3.0, 3.0], [np.nan, np.nan], [1e-300, 1e300, 0.0]])
def test_odd_columns_encode_to_finite_numbers(encoding, values):
    if encoding == "none" and 1e300 in values:
        pytest.skip("unscaled, such a number does not fit float32")
    encoder = NumberEncoder.fit(pd.Series(values, name="x"), encoding)
    assert np.isfinite(encoder.encode(pd.Series([*values, np.nan]))).all()


@pytest.mark.parametrize("scaling", ["none", "min_max", "z_score"])
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_target_comes_back_from_its_scale(scaling, values):
    target = TargetEncoder.fit(pd.Series(values, name="y"), "regression", scaling)
    scaled = target.encode(pd.Series(values))
    assert scaled.dtype == np.float32
    spread = max(np.ptp(values), max(map(abs, values)), 1e-9)
    np.testing.assert_allclose(target.decode(torch.from_numpy(scaled))[:, 0], values, atol=1e-5 * spread)


def test_min_max_target_spans_zero_to_one():
    target = TargetEncoder.fit(pd.Series([10.0, 20.0, 50.0], name="y"), "regression", "min_max")
    assert target.encode(pd.Series([10.0, 30.0, 50.0])).ravel().tolist() == [0, 0.5, 1]


def test_labels_become_indices_in_the_shape_their_loss_takes():
    values = pd.Series(["7", "3", "7"], dtype="str", name="y")
    assert TargetEncoder.fit(values, "binary", "none").encode(values).tolist() == [[1.0], [0.0], [1.0]]
    multiclass = TargetEncoder.fit(values, "multiclass", "none").encode(values)
    assert (multiclass.tolist(), multiclass.dtype) == ([1, 0, 1], np.int64)


def test_wrong_number_of_labels_is_refused():
    with pytest.raises(ValueError, match=r"binary task needs exactly 2 labels .* 'y' has 3: a, b, c"):
        TargetEncoder.fit(pd.Series(["a", "b", "c"], name="y"), "binary", "none")
    with pytest.raises(ValueError, match="at least 2"):
        TargetEncoder.fit(pd.Series(["a"], name="y"), "multiclass", "none")


def test_label_that_train_lacks_is_named():
    target = TargetEncoder.fit(pd.Series(["a", "b"], name="y"), "multiclass", "none")
    with pytest.raises(ValueError, match="label c of 'y' stands in valid or test but not in train"):
        target.encode(pd.Series(["a", "c"]))


def test_encoding_of_a_column_can_be_set_alone(toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)
    encoder = fit_encoder(clean, toy_data, EncodingOptions(columns={"place": "codes", "size": "none"}))
    assert encoder.feature_names == ("size", "place")
    assert encoder.encode_features(clean)[:3].tolist() == [[1, 1], [2, 2], [3, 0]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"plaice": "codes"}, "'plaice', which is no feature"),
        ({"place": "z_score"}, "'z_score' does not fit column 'place'"),
    ],
)
def test_encoding_of_a_wrong_column_is_refused(toy_rows, toy_data, columns, message):
    clean, _ = check_rows(toy_rows, toy_data)
    with pytest.raises(ValueError, match=message):
        fit_encoder(clean, toy_data, EncodingOptions(columns=columns))


def test_encoder_survives_json_to_the_same_bits():
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"x": random.normal(size=99), "c": random.choice(["a", "b"], 99), "y": random.normal(size=99)})
    columns = {"x": {"kind": "number"}, "c": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns})
    encoder = fit_encoder(rows, data, EncodingOptions(numbers="quantile"))
    again = Encoder.model_validate_json(encoder.model_dump_json())
    assert again == encoder
    np.testing.assert_array_equal(again.encode_features(rows), encoder.encode_features(rows))


@given(st.lists(st.sampled_from(["a", "b", "10", "9", "1.5"]), max_size=6))
def test_natural_order_does_not_depend_on_the_order_given(levels):
    assert natural_order(levels) == natural_order(reversed(levels))
