"""Columns that are read alike are joined, so that one call reads many of them: a call takes longer than a value."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from torchlane.core.options import ColumnOptions
from torchlane.core.rows.plain_numbers import whole

JOINED = 1_000_000  # values that are read at once; a longer column is read alone


def joined(raw_rows: pd.DataFrame, columns: Mapping[str, ColumnOptions]) -> Iterator[tuple[list[str], pd.Series]]:
    """Give the columns of one type and with equal options, one below the other, with their names.

    Values do not depend on each other, so they are read as each column alone would be. Only text and plain numbers
    are joined: reading them raises no error that would have to name the column. A column that is not joined keeps its
    name and index.
    """
    step = max(1, JOINED // max(1, len(raw_rows)))
    dtypes = dict(zip(raw_rows.columns, raw_rows.dtypes, strict=True))
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, column in columns.items():
        dtype = dtypes[name]
        key = (dtype, column) if is_plain(dtype) else (name,)
        groups.setdefault(key, []).append(name)
    for names in groups.values():
        for start in range(0, len(names), step):
            some = names[start : start + step]
            yield some, stacked([raw_rows[name] for name in some])


def stacked(columns: list[pd.Series]) -> pd.Series:
    """Put columns of one type one below the other, text in one chunk; a single column stays as it is."""
    if len(columns) == 1:
        return columns[0]
    dtype = columns[0].dtype
    if isinstance(dtype, pd.StringDtype):
        # Arrow compiles a pattern anew for each chunk
        return pd.Series(pa.concat_arrays([_large(whole(each)) for each in columns]), dtype=dtype)
    return pd.concat(columns, ignore_index=True)


def _large(array: pa.Array) -> pa.Array:
    return array if pa.types.is_large_string(array.type) else array.cast(pa.large_string())


def is_plain(dtype: object) -> bool:
    """Whether values of a type are text or plain numbers."""
    if isinstance(dtype, pd.ArrowDtype):
        return dtype.type is str or dtype.kind in "biuf"
    return isinstance(dtype, pd.StringDtype) or (isinstance(dtype, np.dtype) and dtype.kind in "biuf")
