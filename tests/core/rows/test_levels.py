from hypothesis import given
from hypothesis import strategies as st

from torchlane.core.rows.levels import natural_order


@given(st.lists(st.sampled_from(["a", "b", "10", "9", "1.5"]), max_size=6))
def test_natural_order_does_not_depend_on_the_order_given(levels):
    assert natural_order(levels) == natural_order(reversed(levels))
