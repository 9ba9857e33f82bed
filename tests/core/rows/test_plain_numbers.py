import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.rows.plain_numbers import read_plain

texts = st.one_of(
    st.floats().map(repr),
    st.decimals(-1000, 1000, places=4).map(str),
    st.integers(-(10**25), 10**25).map(str),
    st.text("0123456789.eE+-", max_size=12),
    st.sampled_from(
        ["", " 1", "1 ", "1_000", "0x10", "٣", "½", "1e400", "-1e-400", "inf", "-Infinity", "nan", "true", "1\n"]
    ),
    st.none(),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, max_size=12))
def test_numbers_are_those_of_pandas_to_the_bit(values):
    column = pd.Series(values, dtype="str")
    expected = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    for given_as in (column, column.to_numpy(object)):
        assert np.array_equal(read_plain(given_as), expected, equal_nan=True)
        assert (np.signbit(read_plain(given_as)) == np.signbit(expected))[~np.isnan(expected)].all()
