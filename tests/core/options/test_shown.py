import math

from hypothesis import given
from hypothesis import strategies as st

from torchlane.core.options import shown_limit, shown_number

numbers = st.floats(allow_nan=False, allow_infinity=False)


@given(numbers)
def test_limit_is_shown_with_all_its_digits_and_no_exponent(number):
    text = shown_limit(number)
    assert float(text) == number
    assert set(text) <= set("-.0123456789")


@given(st.floats(-1e14, 1e14))
def test_number_is_shown_with_four_digits_or_whole(number):
    text = shown_number(number)
    assert math.isclose(float(text.replace(",", "")), number, rel_tol=5.1e-4, abs_tol=0)
    assert "e+" not in text


def test_large_numbers_have_separators_and_what_is_not_defined_says_so():
    assert [shown_number(each) for each in (999.96, 30156.4, -1e6, 0.6467)] == [
        "1,000",
        "30,156",
        "-1,000,000",
        "0.6467",
    ]
    assert [shown_number(each) for each in (None, math.nan, math.inf)] == ["undefined", "undefined", "inf"]
    assert (shown_number(0.01234, 2), shown_number(1234.5, 2)) == ("0.012", "1,234")
