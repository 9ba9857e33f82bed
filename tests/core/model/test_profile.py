import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.encoding.columns import NumberEncoder
from torchlane.core.model.profile import BINS, _of_number


def shares_of_train(values: np.ndarray, encoding: str) -> tuple[np.ndarray, np.ndarray]:
    """Give the shares of the bins as the profile has them and as they are in train, without missing values."""
    column = pd.Series(values, name="x")
    profile = _of_number(NumberEncoder.fit(column, encoding), len(values))
    found = np.bincount(profile.bins(column), minlength=len(profile.shares)) / len(values)
    return profile.shares[:-1], found[:-1]


@pytest.mark.parametrize("encoding", ["z_score", "quantile"])
def test_each_decile_of_train_has_a_tenth(encoding):
    shares, found = shares_of_train(np.random.default_rng(0).normal(size=10_000), encoding)
    assert len(shares) == BINS
    assert shares == pytest.approx(np.full(BINS, 0.1), abs=1e-4)
    assert found == pytest.approx(np.full(BINS, 0.1), abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(200, 3000), st.integers(1, 40))
def test_shares_of_repeated_numbers_are_known_to_a_hundredth(seed, n_rows, n_values):
    random = np.random.default_rng(seed)
    values = random.choice(random.normal(size=n_values), n_rows, p=random.dirichlet(np.full(n_values, 0.3)))
    shares, found = shares_of_train(values, "z_score")
    assert np.abs(shares - found).max() <= 0.01 + 3 / n_rows
