"""One value, one text, one number: by hand, for each kind of column that pandas and Arrow have."""

import datetime as dt
import uuid
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchlane.core.options.levels import plain_level
from torchlane.core.rows.values import as_levels, as_numbers, as_texts, of_arrow

BERLIN = ZoneInfo("Europe/Berlin")
MIDNIGHT, MORNING = dt.datetime(2025, 3, 1), dt.datetime(2025, 3, 1, 6, 30, 0, 500_000)
FLOATS = [1.0, 1e16, 0.1, 1e-5, None, -0.0]
FLOAT_TEXTS = ["1", "10000000000000000", "0.1", "0.00001", None, "0"]
NUMPY_FLOATS = ["float64", ">f8", "Float64", "float64[pyarrow]", "object", "category", "Sparse[float]"]
LOW_PRECISION = ["float32", "Float32", "float32[pyarrow]"]


def listed(values: pd.Series) -> list[str | None]:
    return [None if pd.isna(value) else value for value in values]


def typed(values: list[object], kind: pa.DataType) -> pd.Series:
    return of_arrow(pa.array(values, kind))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        *((pd.Series(FLOATS, dtype=dtype), FLOAT_TEXTS) for dtype in [*NUMPY_FLOATS, *LOW_PRECISION]),
        (pd.Series([np.float32(0.1), 0.1, Decimal("0.10"), "0.10"], dtype=object), ["0.1", "0.1", "0.1", "0.10"]),
        (pd.Series(np.array([0.1, np.nan, 60_000], dtype="f2")), ["0.1", None, "60000"]),
        (of_arrow(pa.array(np.array([0.1, np.nan], dtype="f2"))), ["0.1", None]),
        (pd.Series([2**53 + 1, None], dtype="Int64"), ["9007199254740993", None]),
        (pd.Series([2**64 - 1], dtype="uint64"), ["18446744073709551615"]),
        (pd.Series([2**70, 7, True, None, "007", 1.0], dtype=object), [str(2**70), "7", "True", None, "007", "1"]),
        *((pd.Series([True, False], dtype=dtype), ["True", "False"]) for dtype in ("bool", "bool[pyarrow]", "object")),
        (pd.Series([True, None], dtype="boolean"), ["True", None]),
        *(
            (pd.Series([MIDNIGHT, None], dtype=f"datetime64[{unit}]"), ["2025-03-01", None])
            for unit in ("s", "ms", "ns")
        ),
        (pd.Series([MIDNIGHT, MORNING]), ["2025-03-01", "2025-03-01 06:30:00.5"]),
        (pd.Series([MIDNIGHT, MORNING], dtype=object), ["2025-03-01", "2025-03-01 06:30:00.5"]),
        (pd.Series([np.datetime64("2025-03-01T00:00"), dt.date(2025, 3, 1)], dtype=object), ["2025-03-01"] * 2),
        (pd.Series([MIDNIGHT]).dt.tz_localize(BERLIN), ["2025-03-01 00:00:00+01:00"]),
        (pd.Series([MIDNIGHT]).dt.tz_localize("UTC").astype(object), ["2025-03-01 00:00:00+00:00"]),
        (typed([MIDNIGHT], pa.timestamp("s", "Europe/Berlin")), ["2025-03-01 01:00:00+01:00"]),
        (typed([dt.datetime(9999, 12, 31)], pa.timestamp("us")), ["9999-12-31"]),
        (typed([dt.date(2025, 3, 1)], pa.date64()), ["2025-03-01"]),
        (typed([dt.time(6, 30), dt.time(6, 30, 0, 500)], pa.time64("ns")), ["06:30:00", "06:30:00.0005"]),
        (pd.Series([dt.timedelta(1), dt.timedelta(hours=5)]), ["1 days", "0 days 05:00:00"]),
        (pd.Series([dt.timedelta(1), None], dtype=object), ["1 days", None]),
        (typed([Decimal("1.50"), Decimal("100")], pa.decimal128(5, 2)), ["1.5", "100"]),
        (typed([b"caf\xc3\xa9"], pa.binary()), ["café"]),
        (pd.Series(["a", None], dtype="category"), ["a", None]),
        (pd.Series(["a", None], dtype="string"), ["a", None]),
        (of_arrow(pa.array(["a", None]).dictionary_encode()), ["a", None]),
        (of_arrow(pa.nulls(2)), [None, None]),
        (of_arrow(pa.array([uuid.UUID(int=5).bytes, None], pa.uuid())), [str(uuid.UUID(int=5)), None]),
        (of_arrow(pa.array(["a", None], pa.json_())), ["a", None]),
        (of_arrow(pa.array([1, None], pa.bool8())), ["True", None]),
        (of_arrow(pa.array(["a", None], pa.string_view())), ["a", None]),
        (pd.Series([uuid.UUID(int=5), pd.NA, pd.NaT], dtype=object), [str(uuid.UUID(int=5)), None, None]),
    ],
)
def test_text_of_a_value_is_that_of_its_type(values, expected):
    assert listed(as_texts(values)) == expected
    assert listed(as_levels(values, ("",))) == expected


def test_text_that_is_no_number_of_a_program_stays_a_level_as_it_is():
    codes = ["007", "1.50", "1E5", "12e5", "1_000", "0x1F", "12:30:45", "inf", "Null", ".5", "+1", "1.", "٣.0"]
    assert as_levels(pd.Series(codes), ()).tolist() == codes


@pytest.mark.parametrize("dtype", ["bool", "boolean", "bool[pyarrow]", "object", "str", "category"])
def test_true_is_the_number_one_and_false_zero(dtype):
    read, failed = as_numbers(pd.Series([True, False], dtype=dtype), ("",))
    assert read.tolist() == [1, 0]
    assert not failed.any()


@pytest.mark.parametrize("said", ["-999", "-999.0"])
def test_missing_numbers_are_missing_however_the_file_and_the_options_spell_them(said):
    texts = pd.Series(["-999", "-999.0", "-999.00", "5"], dtype="str")
    read, failed = as_numbers(texts, ("", said))
    assert (np.isnan(read).tolist(), failed.any()) == ([True, True, True, False], False)
    assert as_levels(texts, ("", said)).isna().tolist()[:2] == [True, True]


@pytest.mark.parametrize("dtype", ["str", "int64", "Int64", "float32", "object", "category"])
def test_a_number_that_stands_for_missing_is_missing_from_whichever_column(dtype):
    read, failed = as_numbers(pd.Series([-999, 5], dtype=dtype), ("", "-999"))
    np.testing.assert_array_equal(read, [np.nan, 5])
    assert not failed.any()


@pytest.mark.parametrize("dtype", LOW_PRECISION)
def test_a_number_of_low_precision_is_the_shortest_decimal_that_names_it(dtype):
    read, _ = as_numbers(pd.Series([0.1, 0.7], dtype=dtype), ("",))
    assert read.tolist() == [0.1, 0.7]


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (of_arrow(pa.array([["a"]]), "tags"), "list<item: string>"),
        (of_arrow(pa.array([{"k": 1}]), "tags"), "struct<k: int64>"),
        (pd.Series([["a"]], name="tags"), "a list"),
        (pd.Series([None, {"k": 1}], name="tags"), "a dict"),
    ],
)
def test_a_column_of_lists_or_structs_is_refused_by_name_and_type(values, what):
    for read in (as_levels, as_numbers):
        with pytest.raises(ValueError, match=f"column 'tags' holds {what}, which is not one value a row"):
            read(values, ("",))


SPELLINGS = st.one_of(
    st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{1,2})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.from_regex(
        r"(20[0-9]{2}-0[1-9]-1[0-9][T ]|-?[0-9] days )?0[0-9]:00:00(\.[05]{1,3})?(Z|[+-]0[0-9]:?30)?", fullmatch=True
    ),
    st.sampled_from(["true", "FALSE", "-0", "-0.0", " 1.0 ", "x", ""]),
)


@given(st.lists(SPELLINGS, min_size=1, max_size=8))
def test_columns_are_respelt_as_each_level_is_and_once_is_enough(spellings):
    respelt = as_levels(pd.Series(spellings, dtype="str"), ())
    assert respelt.tolist() == [plain_level(each) for each in spellings]
    assert as_levels(respelt, ()).tolist() == respelt.tolist()


@given(
    st.integers(-9999, 9999), st.sampled_from(["{}", "{}.0", "{}.00", "{}e0", " {} "]), st.sampled_from(["{}", "{}.0"])
)
def test_a_number_declared_as_missing_is_missing_however_it_is_written(number, written, declared):
    missing, text = (declared.format(number),), written.format(number)
    for values in ([text, "0.5"], pd.Series([float(number), 0.5])):
        read, failed = as_numbers(pd.Series(values), missing)
        np.testing.assert_array_equal(read, [np.nan, 0.5])
        assert not failed.any()
    if "e" not in text:  # with an exponent, it is a code
        assert listed(as_levels(pd.Series([text, "0.5"], dtype="str"), missing)) == [None, "0.5"]
