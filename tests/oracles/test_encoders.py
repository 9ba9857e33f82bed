"""Every encoding against the transformer of scikit-learn that it is named after."""

import numpy as np
import pandas as pd
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, QuantileTransformer, StandardScaler

from tests.indicators import indicators
from tests.oracles.agreement import compare
from torchlane.core.encoding.columns import CategoryEncoder, NumberEncoder
from torchlane.core.encoding.target import TargetEncoder

FLOAT32, FLOAT64 = 2.0**-23, 2.0**-52
SCALERS = {"min_max": MinMaxScaler, "z_score": StandardScaler}
many = settings(max_examples=200, deadline=None)
seeds = st.integers(0, 2**32 - 1)
scalings = st.sampled_from(list(SCALERS))


def numbers(seed: int, n_rows: int, exponent: int, shift: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    """Train and other rows of spread `10**exponent`, as far as `10**shift` spreads from zero; with ties on a grid."""
    random = np.random.default_rng(seed)
    drawn = random.normal(size=n_rows + 20)
    drawn = drawn.round() if ties else drawn
    values = (drawn + random.uniform(-1, 1) * 10.0**shift) * 10.0**exponent
    return values[:n_rows], values[n_rows:]


def allowed(train: np.ndarray, other: np.ndarray) -> float:
    """How far apart two orders of the same float64 operations may be, in units of the spread of train."""
    spread = np.ptp(train) or 1.0
    return float(8 * len(train) ** 0.5 * FLOAT64 * (np.abs([*train, *other]).max() / spread + 1))


@many
@given(seeds, scalings, st.integers(1, 300), st.integers(-9, 9), st.integers(0, 6), st.booleans())
def test_scaled_numbers_are_those_of_scikit_learn(seed, scaling, n_rows, exponent, shift, ties):
    train, other = numbers(seed, n_rows, exponent, shift, ties)
    encoder = NumberEncoder.fit(pd.Series(train, name="x"), scaling)
    oracle = SCALERS[scaling]().fit(train[:, None])
    for rows in (train, other):
        expected = oracle.transform(rows[:, None])
        compare(scaling, encoder.encode(pd.Series(rows)), expected, absolute=allowed(train, rows), relative=FLOAT32)


@many
@given(seeds, scalings, st.integers(2, 300), st.integers(-9, 9), st.integers(0, 6))
def test_scaled_targets_and_the_way_back_are_those_of_scikit_learn(seed, scaling, n_rows, exponent, shift):
    train, other = numbers(seed, n_rows, exponent, shift, ties=False)
    target = TargetEncoder.fit(pd.Series(train, name="y"), "regression", scaling)
    oracle = SCALERS[scaling]().fit(train[:, None])
    expected = oracle.transform(other[:, None])
    compare(
        f"{scaling} target", target.encode(pd.Series(other)), expected, absolute=allowed(train, other), relative=FLOAT32
    )
    back = oracle.inverse_transform(expected)
    found = target.decode(torch.from_numpy(expected))
    compare(f"{scaling} target, back", found, back, absolute=allowed(train, other) * float(np.ptp(train)))


@many
@given(seeds, st.integers(2, 3000), st.integers(-9, 9), st.integers(0, 3))
def test_normal_scores_of_distinct_numbers_are_those_of_scikit_learn(seed, n_rows, exponent, shift):
    train, other = numbers(seed, n_rows, 0, shift, ties=False)
    oracle = QuantileTransformer(n_quantiles=min(1001, n_rows), output_distribution="normal", subsample=None)
    expected = oracle.fit(train[:, None]).transform(other[:, None])
    # Its ends reach 1e-7 inwards, in whatever unit the numbers have; ours have no width, so units do not matter.
    inside = np.minimum(np.abs(other - train.min()), np.abs(other - train.max())) > 1e-6
    unit = 2.0**exponent
    encoder = NumberEncoder.fit(pd.Series(train * unit, name="x"), "quantile")
    found = encoder.encode(pd.Series(other * unit))
    compare("quantile", found[inside], expected[inside], absolute=1e-6)


@many
@given(seeds, st.integers(1, 200), st.integers(1, 12), st.booleans(), st.booleans())
def test_codes_are_those_of_scikit_learn(seed, n_rows, n_levels, numeric, gaps):
    random = np.random.default_rng(seed)
    known = random.choice(1000, n_levels, replace=False)
    train, other = random.choice(known, n_rows), random.choice([*known, 1001, 1002], 30)
    written = str if numeric else "level {}".format
    as_oracle = float if numeric else written
    empty = random.random(n_rows + 30) < (0.2 if gaps else 0)
    empty[0] = False
    ours = [pd.Series(map(written, each), dtype="str", name="c") for each in (train, other)]
    theirs = [np.array([as_oracle(value) for value in each], dtype=object)[:, None] for each in (train, other)]
    for each, where in zip(ours + theirs, [empty[:n_rows], empty[n_rows:]] * 2, strict=True):
        each[where] = np.nan
    encoder = CategoryEncoder.fit(ours[0], "codes", 1)
    unseen = len(encoder.levels)
    oracle = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=unseen, encoded_missing_value=unseen + 1, dtype=np.float64
    ).fit(theirs[0])
    for own, others in zip(ours, theirs, strict=True):
        expected = oracle.transform(others)
        if not empty[:n_rows].any():  # scikit-learn knows no missing value then; ours is one in any case
            expected[pd.isna(others)] = unseen + 1
        compare("codes", encoder.encode(own), expected)


@many
@given(seeds, st.integers(1, 200), st.integers(1, 12), st.integers(1, 6), st.booleans())
def test_indicators_are_those_of_scikit_learn(seed, n_rows, n_levels, min_level_count, gaps):
    random = np.random.default_rng(seed)
    levels = [f"level {chr(97 + each)}" for each in range(n_levels)]
    train = random.choice(levels, n_rows).astype(object)
    other = random.choice([*levels, "new", "newer"], 30).astype(object)
    gaps = gaps and min_level_count == 1  # scikit-learn lets the missing value be rare; ours has a column of its own
    if gaps:
        train[random.random(n_rows) < 0.2], other[random.random(30) < 0.2] = np.nan, np.nan
        train[0] = "level a"
    counts = pd.Series(train).value_counts()
    if counts.max() < min_level_count:  # scikit-learn refuses to have no level left
        return
    encoder = CategoryEncoder.fit(pd.Series(train, dtype="str", name="c"), "one_hot", min_level_count)
    oracle = OneHotEncoder(
        min_frequency=min_level_count, handle_unknown="infrequent_if_exist", sparse_output=False
    ).fit(train[:, None])
    for rows in (train, other):
        encoded = indicators(encoder, encoder.encode(pd.Series(rows, dtype="str")))
        compare("one_hot", encoded, oracle.transform(rows[:, None]))


@many
@given(seeds, st.integers(2, 200), st.integers(2, 8))
def test_labels_are_those_of_scikit_learn(seed, n_rows, n_labels):
    random = np.random.default_rng(seed)
    labels = np.array([f"label {each}" for each in random.permutation(n_labels)], dtype=object)
    train = np.concatenate([labels, random.choice(labels, n_rows)])
    target = TargetEncoder.fit(pd.Series(train, dtype="str", name="y"), "multiclass", "none")
    expected = OrdinalEncoder().fit(train[:, None]).transform(train[:, None])
    compare("labels", target.encode(pd.Series(train, dtype="str")), expected.ravel())
