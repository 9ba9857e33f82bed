"""Values as text and as numbers, the same for every kind of file and data frame.

The result for a value depends on its type alone, and never on other values: slicing or sorting a column, or adding
missing values to it, does not change the others. Numbers of lower precision are read by their shortest decimal
representation, so 0.1 as float32 is 0.1.
"""

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from torchlane.core.options.levels import RESPELT, plain_level, plain_number
from torchlane.core.rows.plain_numbers import read_plain

MISSING_NUMBERS = ("na", "n/a", "nan", "null", "none", "-", "?")  # mean "missing" in a column of numbers, in any case
WAY_OUT = "leave the column out of data.columns and prediction.keys, or write its parts as plain columns"
CONTAINERS = (list, tuple, dict, set, frozenset, np.ndarray, pd.Series, pd.DataFrame)


def of_arrow(values: pa.Array | pa.ChunkedArray, name: str = "") -> pd.Series:
    """Convert an Arrow column to pandas without a change of type; pandas would infer a type of its own."""
    return pd.Series(values, dtype=pd.ArrowDtype(values.type), name=name)


def unwrapped(array: pa.Array) -> pa.Array:
    """Give values of an extension type, and views of text, as what they are: uuid and JSON as text, bool8 as bool."""
    kind = array.type
    if isinstance(kind, pa.UuidType):
        return pa.array([None if each is None else str(uuid.UUID(bytes=each)) for each in array.storage.to_pylist()])
    if isinstance(kind, pa.BaseExtensionType):
        return array.storage.cast(pa.bool_()) if isinstance(kind, pa.Bool8Type) else array.storage
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return array.cast(pa.string() if pa.types.is_string_view(kind) else pa.binary())
    return array


def as_written(array: pa.Array, name: str) -> pa.Array:
    """Give keys as predictions list them: numbers, text and times as they are, and as text what CSV has no form for.

    Raises:
        ValueError: as for `as_texts`.
    """
    array = unwrapped(array)
    array = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    kind = array.type
    is_number = _is_exact(kind) or (_is_inexact(kind) and not pa.types.is_float16(kind))
    is_time = pa.types.is_temporal(kind) and not pa.types.is_duration(kind)
    if is_number or is_time or _is_text(kind) or pa.types.is_null(kind):
        return array
    return pa.array(as_texts(of_arrow(array, name)), pa.string(), from_pandas=True)


def as_texts(values: pd.Series) -> pd.Series:
    """Write each value as text (n_rows,), NaN where missing, with the index of `values`.

    Text is unchanged. Typed values are spelled as by `plain_level`, without trailing zeros of a fraction.

    Raises:
        ValueError: a cell holds a list, a struct or another container.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _by_category(as_texts(_categories(values)), values)
    if isinstance(values.dtype, pd.StringDtype):
        return values.astype("str")
    array = _arrow(values)
    if array is None:
        written = pd.Series([_written(value, values.name) for value in values], dtype="str")
    else:
        written = pd.Series(_text(array, values.name), dtype="str")
        if not _is_text(array.type):
            written = _respelt(written)
    return pd.Series(written.array, values.index, name=values.name)


def as_levels(values: pd.Series, missing_values: tuple[str, ...]) -> pd.Series:
    """Write each value as `plain_level` does; NaN if it is missing or one of `missing_values`, however spelt."""
    text = _respelt(as_texts(values).str.strip())
    missing = text.isin({*missing_values, *_respelt(pd.Series(missing_values, dtype="str"))})
    return text.mask(missing) if missing.any() else text


def as_numbers(values: pd.Series, missing_values: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Read each value as float64, NaN where missing, and mark the values that are neither missing nor a number.

    True is 1, False is 0, and zero has no sign. Integers and decimals are rounded to the nearest float64. A number
    among `missing_values` is missing however it is written: -999 as -999.0 too.

    Raises:
        ValueError: as for `as_texts`.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        read, failed = as_numbers(_categories(values), missing_values)
        codes = values.cat.codes.to_numpy()
        return np.append(read, np.nan)[codes], np.append(failed, False)[codes]
    array = None if isinstance(values.dtype, pd.StringDtype) else _arrow(values)
    if array is not None and pa.types.is_temporal(array.type):
        return np.full(len(array), np.nan), array.is_valid().to_numpy(zero_copy_only=False)
    if array is not None and (_is_exact(array.type) or _is_inexact(array.type)):
        array = array if _is_exact(array.type) else _text(array, values.name)
        read = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        read = np.where(np.isin(read, _numbers_among(missing_values)), np.nan, read)
        return read + 0.0, np.zeros(len(read), dtype=bool)
    text = as_texts(values).str.strip()
    missing = (text.isna() | text.isin(missing_values)).to_numpy(bool, copy=True)
    read = read_plain(text.mask(missing) if missing.any() else text) + 0.0
    missing |= np.isin(read, _numbers_among(missing_values))
    read[missing] = np.nan
    others = np.flatnonzero(np.isnan(read) & ~missing)
    if len(others):
        words = text.iloc[others].str.lower()
        read[others] = np.select([words == "true", words == "false"], [1.0, 0.0], np.nan)
        missing[others] = words.isin(MISSING_NUMBERS)
    return read, np.isnan(read) & ~missing


def _numbers_among(missing_values: tuple[str, ...]) -> np.ndarray:
    read = pd.to_numeric(pd.Series(missing_values, dtype="str"), errors="coerce")
    return read.dropna().to_numpy(np.float64)


def typed_as(
    values: pd.Series, of_column: Callable[[pa.DataType], bool], of_value: Callable[[object], bool]
) -> np.ndarray:
    """Mark the values that are of a type, by that of the column or, if values may differ, by their own: bool (n_rows,).

    `NUMBERS` and `TIMES` are the two pairs of functions.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        found = typed_as(_categories(values), of_column, of_value)
        return np.append(found, False)[values.cat.codes.to_numpy()]
    if isinstance(values.dtype, pd.StringDtype):
        return np.zeros(len(values), dtype=bool)
    array = _arrow(values)
    if array is None:
        return np.array([of_value(value) for value in values], dtype=bool)
    return np.full(len(values), of_column(array.type))


def require_single_values(kind: pa.DataType, name: Any) -> None:
    """Check that a column holds single values.

    Raises:
        ValueError: it holds lists, structs or maps; the message has its name and type.
    """
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_nested(kind):
        raise ValueError(f"column '{name}' holds {kind}, which is not one value a row; {WAY_OUT}")


def _is_exact(type_: pa.DataType) -> bool:
    """Whether a cast to float64 gives the float64 nearest to the value's text."""
    return bool(pa.types.is_integer(type_) or pa.types.is_float64(type_) or pa.types.is_boolean(type_))


def _is_inexact(type_: pa.DataType) -> bool:
    """Whether a number must be read from its text, since a cast would add or change digits."""
    return bool(pa.types.is_floating(type_) or pa.types.is_decimal(type_))


def _is_number(type_: pa.DataType) -> bool:
    return (_is_exact(type_) or _is_inexact(type_)) and not pa.types.is_boolean(type_)


def _is_time(type_: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(type_) or pa.types.is_date(type_))


NUMBERS = (
    _is_number,
    lambda value: isinstance(value, (int, float, Decimal, np.number)) and not isinstance(value, (bool, np.bool_)),
)
TIMES = (_is_time, lambda value: isinstance(value, (datetime.date, np.datetime64)))


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))


def _categories(values: pd.Series) -> pd.Series:
    return pd.Series(values.cat.categories, name=values.name)


def _by_category(written: pd.Series, values: pd.Series) -> pd.Series:
    array = written.array.take(values.cat.codes.to_numpy(), allow_fill=True)
    return pd.Series(array, values.index, name=values.name)


def _arrow(values: pd.Series) -> pa.Array | None:
    """Convert a typed column to Arrow, NaN to null; None if the values may have different types."""
    dtype: Any = values.dtype
    if isinstance(dtype, pd.ArrowDtype):
        array = pa.array(values.array)
        array = unwrapped(array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array)
        return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    if isinstance(dtype, np.dtype) and dtype.kind in "biufmM" and dtype.itemsize <= np.dtype(np.float64).itemsize:
        return pa.array(values.to_numpy().astype(dtype.newbyteorder("="), copy=False), from_pandas=True)
    if isinstance(dtype, (pd.DatetimeTZDtype, pd.BooleanDtype)) or _is_nullable_number(dtype):
        return pa.array(values.array, from_pandas=True)
    return None


def _is_nullable_number(dtype: Any) -> bool:
    known = not isinstance(dtype, (np.dtype, pd.SparseDtype))
    return known and pd.api.types.is_any_real_numeric_dtype(dtype)


def _text(array: pa.Array, name: Any) -> pa.Array:
    """Write a column of one type as text, before `plain_level` unifies the spelling."""
    kind = array.type
    if pa.types.is_float16(kind):
        halves = array.to_numpy(zero_copy_only=False)  # Arrow would write them as float64
        return pa.array(halves.astype(str).astype(object), pa.string(), mask=np.isnan(halves))
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(array), None, array).cast(pa.string())
    if pa.types.is_decimal(kind):
        codes = array.dictionary_encode()
        written = pa.array([plain_number(str(each)) for each in codes.dictionary.to_pylist()], pa.string())
        return written.take(codes.indices)
    if pa.types.is_duration(kind):
        return pa.array(array.to_pandas().astype("str"), pa.string())
    if pa.types.is_timestamp(kind) or pa.types.is_time(kind):
        return _plain_times(array) if getattr(kind, "tz", None) is None else _zoned_text(array)
    require_single_values(kind, name)
    try:
        return array.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(f"column '{name}' holds {kind}, which cannot be read as text: {error}; {WAY_OUT}") from error


def _plain_times(array: pa.Array) -> pa.Array:
    """Write times and timestamps without a zone as `plain_level` does."""
    return pc.replace_substring_regex(_without_zeros(array), " 00:00:00$", "")


def _without_zeros(array: pa.Array) -> pa.Array:
    """Write times and timestamps in full, without trailing zeros of a fraction."""
    return pc.replace_substring_regex(array.cast(pa.string()), r"(\.[0-9]*[1-9])0+$|\.0+$", r"\1")


def _zoned_text(array: pa.Array) -> pa.Array:
    """Write timestamps in the local time of their zone, with the offset from UTC.

    The rules of the zone are Python's, since Arrow's end in 2037. Timestamps in the first and last years, which
    may overflow in local time, are written in UTC.
    """
    kind, utc = array.type, array.cast(pa.timestamp(array.type.unit))
    known = pc.is_in(pc.year(utc), pa.array(range(2, 9999)))
    index = pd.DatetimeIndex(pc.if_else(known, array, pa.scalar(0, pa.int64()).cast(kind)).to_pandas())
    local = index.tz_localize(None)
    ahead = pa.array((local - index.tz_convert("UTC").tz_localize(None)).total_seconds().to_numpy()).dictionary_encode()
    offsets = pa.array([_offset(int(each)) for each in ahead.dictionary.to_pylist()], pa.string()).take(ahead.indices)
    written = pc.binary_join_element_wise(_without_zeros(pa.array(local, from_pandas=True)), offsets, "")
    return pc.if_else(known, written, pc.binary_join_element_wise(_without_zeros(utc), "+00:00", ""))


def _offset(seconds: int) -> str:
    minutes, rest = divmod(abs(seconds), 60)
    return f"{'-' if seconds < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}" + (f":{rest:02}" if rest else "")


def _written(value: Any, name: Any) -> str | None:
    """Write a value of any type as text; None if it is missing."""
    if isinstance(value, str):
        return value
    if isinstance(value, CONTAINERS):
        raise ValueError(f"column '{name}' holds a {type(value).__name__}, which is not one value a row; {WAY_OUT}")
    if pd.isna(value):
        return None
    if isinstance(value, bytes):
        return str(_text(pa.array([value]), name)[0])
    if isinstance(value, Decimal):
        return plain_number(str(value)) if value.is_finite() else str(float(value))
    if isinstance(value, (datetime.timedelta, np.timedelta64)):
        return plain_level(pd.Timedelta(value))
    if isinstance(value, np.datetime64):
        return plain_level(pd.Timestamp(value))
    return plain_level(value)


def _respelt(text: pd.Series) -> pd.Series:
    """Apply `plain_level` to stripped texts, once for each distinct text."""
    where = pc.match_substring_regex(pa.array(text), RESPELT).fill_null(False).to_numpy(zero_copy_only=False)
    if not where.any():
        return text
    codes, distinct = pd.factorize(text[where])
    changed = pd.Series([plain_level(each) for each in distinct], dtype="str")
    text = text.copy()
    text[where] = changed.array.take(codes)
    return text
