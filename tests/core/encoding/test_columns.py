import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, StandardScaler

from tests.indicators import indicators
from torchlane.core.encoding import columns
from torchlane.core.encoding.columns import CategoryEncoder, NumberEncoder
from torchlane.core.options import ColumnOptions


def text(*values: str | None) -> pd.Series:
    return pd.Series(values, dtype="str", name="city")


def test_codes_follow_the_alphabet_and_unseen_and_missing_have_their_own():
    encoder = CategoryEncoder.fit(text("b", "a", "b", "c"), "codes", 1)
    assert encoder.encode(text("a", "b", "c", "z", None)).ravel().tolist() == [0, 1, 2, 3, 4]


def test_codes_of_numbers_follow_their_values():
    assert CategoryEncoder.fit(text("100", "0", "50"), "codes", 1).levels == ("0", "50", "100")


SIZES = ("low", "medium", "high", "very high")


def test_codes_of_declared_levels_follow_their_order_and_never_depend_on_train():
    whole = text(*SIZES, *SIZES)
    for train in (whole, text("high", "high", "low"), text("very high", None), whole[::-1]):
        encoder = CategoryEncoder.fit(train, "codes", 2, SIZES)
        assert encoder.encode(text(*SIZES, "huge", None)).ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert CategoryEncoder.fit(text("high", None, "low", "high"), "codes", 2, SIZES).counts == (1, 0, 2, 0, 0, 1)


def test_indicators_of_declared_levels_are_those_that_train_has_in_natural_order():
    train = text("medium", "medium", "low", "low", "high")
    assert CategoryEncoder.fit(train, "one_hot", 2, SIZES) == CategoryEncoder.fit(train, "one_hot", 2)


@given(st.permutations(SIZES), st.lists(st.sampled_from(SIZES), min_size=1))
def test_code_of_a_level_is_its_place_in_the_list_whatever_the_list_and_the_rows(levels, rows):
    column = ColumnOptions(kind="category", levels=levels)
    encoder = CategoryEncoder.fit(text(*rows), "codes", 2, column.level_order)
    assert encoder.codes(text(*levels)).tolist() == [0, 1, 2, 3]
    assert CategoryEncoder.model_validate_json(encoder.model_dump_json()) == encoder


def test_order_that_means_nothing_is_that_of_the_alphabet_and_a_level_named_twice_has_one_place():
    assert ColumnOptions(kind="category", levels=SIZES, ordered=False).level_order == ()
    assert ColumnOptions(kind="category").level_order == ()
    assert ColumnOptions(kind="category", levels=["b", "a", "b"]).level_order == ("b", "a")
    with pytest.raises(ValueError, match="ordered says whether the order of levels means something; list levels"):
        ColumnOptions(kind="category", ordered=True)


def test_rare_levels_share_the_code_of_unseen_ones():
    encoder = CategoryEncoder.fit(text("a", "a", "b"), "codes", 2)
    assert encoder.encode(text("a", "b", "z")).ravel().tolist() == [0, 1, 1]
    assert encoder.counts == (2, 1, 0)


def test_indicators_mark_one_level_a_row():
    encoder = CategoryEncoder.fit(text("a", "b", None, "c"), "one_hot", 1)
    assert encoder.feature_names == ("city=a", "city=b", "city=c", "city=missing")
    encoded = encoder.encode(text("b", None, "z"))
    assert encoded.tolist() == [[1], [4], [3]]
    assert encoded.dtype == np.float32
    assert indicators(encoder, encoded).tolist() == [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_more_levels_than_float32_can_count_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(columns, "MOST_CODES", 4)
    CategoryEncoder.fit(text("a", "b", "b"), "one_hot", 1)
    with pytest.raises(ValueError, match=r"'city' has 3 levels, and a category may have 2; leave it out, or raise"):
        CategoryEncoder.fit(text("a", "b", "c"), "one_hot", 1)


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
