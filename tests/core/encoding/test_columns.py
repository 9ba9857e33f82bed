import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, StandardScaler

from torchlane.core.encoding.columns import CategoryEncoder, NumberEncoder


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
