"""The same value from CSV, Parquet, JSON lines and frames of any dtype, whatever stands beside it."""

import csv
import datetime as dt
import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tests.core.model.test_trained import train_on
from torchlane.core.options import ColumnOptions, DataOptions
from torchlane.core.rows.checking import read_column
from torchlane.core.rows.values import of_arrow
from torchlane.core.scoring import columns
from torchlane.core.scoring.chunks import ChunkScorer
from torchlane.datasets.tables import open_table

BERLIN = ZoneInfo("Europe/Berlin")


class Kind(NamedTuple):
    """A type of column: what values it has, its types in Arrow and pandas, and its values as files of text hold them."""

    values: st.SearchStrategy[Any]
    arrow: pa.DataType
    dtypes: tuple[str, ...] = ()
    text: Callable[[Any], str] | None = str
    literal: Callable[[Any], str] = lambda value: json.dumps(str(value))


moments = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2100, 1, 1))
midnights = st.dates(dt.date(1970, 1, 1), dt.date(2100, 1, 1)).map(
    lambda day: dt.datetime(day.year, day.month, day.day)
)
seconds = (moments | midnights).map(lambda each: each.replace(microsecond=0))
floats = st.floats(allow_nan=False) | st.integers(-5, 5).map(float) | st.sampled_from([1e16, 1e-5, -0.0, 0.1])
short = st.floats(allow_nan=False, width=32) | st.sampled_from([0.1, 0.7, 1e16]).map(np.float32)
texts = st.sampled_from(["007", "1.50", "1E5", "true", " a ", "é", "1.0", "-", "2025-03-01T00:00:00"]) | st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=4
)
KINDS = {
    "int64": Kind(st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5), pa.int64(), ("Int64",), literal=str),
    "uint8": Kind(st.integers(0, 255), pa.uint8(), ("UInt8",), literal=str),
    "float64": Kind(floats, pa.float64(), ("float64", "Float64"), repr, json.dumps),
    "float32": Kind(
        short.map(np.float32), pa.float32(), ("float32", "Float32"), literal=lambda each: str(each).replace("inf", "Infinity")
    ),
    "bool": Kind(st.booleans(), pa.bool_(), ("boolean",), literal=json.dumps),
    "decimal": Kind(
        st.decimals(-(10**9), 10**9, places=4), pa.decimal128(20, 4), (), lambda each: format(each.normalize(), "f"), str
    ),
    "seconds": Kind(seconds, pa.timestamp("s"), ("datetime64[s]", "datetime64[ns]")),
    "microseconds": Kind(moments | midnights, pa.timestamp("us"), ("datetime64[us]",), literal=lambda each: f'"{each.isoformat()}"'),
    "utc": Kind(
        (moments | midnights).map(lambda each: each.replace(tzinfo=dt.UTC)), pa.timestamp("us", "UTC"), ("datetime64[us, UTC]",)
    ),
    "berlin": Kind(
        seconds.map(lambda each: each.replace(tzinfo=dt.UTC).astimezone(BERLIN)), pa.timestamp("s", "Europe/Berlin")
    ),
    "date": Kind(st.dates(), pa.date32()),
    "time": Kind(st.times(), pa.time64("us")),
    "duration": Kind(
        st.timedeltas(dt.timedelta(-999), dt.timedelta(999)), pa.duration("us"), ("timedelta64[us]",), lambda each: str(pd.Timedelta(each)),
        lambda each: json.dumps(str(pd.Timedelta(each))),
    ),
    "text": Kind(texts, pa.string(), ("str", "string", "category"), literal=json.dumps),
}  # fmt: skip


def from_file(content: bytes, name: str) -> pd.Series:
    """Read the column v as scoring does."""
    parts = [chunk.table["v"] for chunk in open_table(io.BytesIO(content), name, len(content)).chunks(["v"], [])]
    arrays = [array for part in parts for array in part.chunks if len(array)]
    return of_arrow(pa.chunked_array(arrays))


def from_parquet(array: pa.Array) -> pd.Series:
    file = io.BytesIO()
    parquet.write_table(pa.table({"beside": pa.nulls(len(array), pa.string()), "v": array}), file)
    return from_file(file.getvalue(), "x.parquet")


def from_json_lines(values: list[Any], kind: Kind) -> pd.Series:
    lines = [f'{{"n": 1, "v": {"null" if value is None else kind.literal(value)}}}\n' for value in values]
    return from_file("".join(lines).encode(), "x.jsonl")


def from_csv(values: list[Any], kind: Kind) -> pd.Series:
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    rows.writerows([["n", "v"], *(["1", "" if value is None else kind.text(value)] for value in values)])
    return from_file(file.getvalue().encode(), "x.csv")


def sources(values: list[Any], kind: Kind) -> dict[str, pd.Series]:
    """Give the same values as each source has them."""
    array = pa.array(values, kind.arrow)
    padded = pa.concat_arrays([array[:1], array])[1:]
    typed = pd.Series(array, dtype=pd.ArrowDtype(kind.arrow))
    nullable = {dtype: pd.Series(values, dtype=object).astype(dtype) for dtype in kind.dtypes}
    return {
        "objects": pd.Series(values, dtype=object),
        "arrow": typed,
        "slice": of_arrow(padded),
        "dictionary": of_arrow(array.dictionary_encode()),
        "categorical": pd.Series(typed.array + 0 if pa.types.is_floating(kind.arrow) else typed).astype("category"),
        "parquet": from_parquet(array),
        "json lines": from_json_lines(values, kind),
        "csv": from_csv(values, kind),
        **nullable,
    }


def said(values: pd.Series, as_what: str) -> list[tuple[Any, str]]:
    """Read values as categories or numbers: what each is, None where missing, and the rule that it breaks."""
    read, rules = read_column(values, ColumnOptions(kind=as_what), ("",))
    return [(None if pd.isna(each) else each, rule) for each, rule in zip(read, rules, strict=True)]


def assert_the_same_from_every_source(name: str, data: st.DataObject) -> None:
    kind = KINDS[name]
    values = data.draw(st.lists(st.none() | kind.values, min_size=1, max_size=6))
    places = data.draw(st.permutations(range(len(values))))[: data.draw(st.integers(1, len(values)))]
    whole, part = sources(values, kind), sources([values[place] for place in places], kind)
    for as_what in ("category", "number"):
        alone = [said(pd.Series([value], dtype=object), as_what)[0] for value in values]
        for source in whole:
            assert said(whole[source], as_what) == alone, source
            assert said(part[source], as_what) == [alone[place] for place in places], source


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=4, deadline=None)
@given(data=st.data())
def test_a_value_says_the_same_from_every_source_and_beside_any_other(name, data):
    assert_the_same_from_every_source(name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_many_values_say_the_same_from_every_source_and_beside_any_other(name, data):
    assert_the_same_from_every_source(name, data)


N_ROWS = 60
NULLABLE = {
    pa.float32(): pd.Float32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.int8(): pd.Int8Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
TYPED = pa.table(
    {
        "share": pa.array([(0.1, 0.2, 0.7)[row % 3] for row in range(N_ROWS)], pa.float32()),
        "big": pa.array([2**53 + 1 + row % 4 for row in range(N_ROWS)], pa.int64()),
        "flag": pa.array([row % 2 == 0 for row in range(N_ROWS)]),
        "on": pa.array([row % 5 == 0 for row in range(N_ROWS)]),
        "grade": pa.array([row % 3 for row in range(N_ROWS)], pa.int8()),
        "month": pa.array([dt.datetime(2025, 1 + row % 3, 1) for row in range(N_ROWS)], pa.timestamp("us")),
        "price": pa.array([Decimal(row % 7) / 4 for row in range(N_ROWS)], pa.decimal128(6, 2)),
    }
)


@pytest.fixture(scope="module")
def typed_model():
    """A model that was trained on `TYPED`, written as CSV."""
    frame = TYPED.to_pandas().astype({"share": "float32"})
    text = pd.DataFrame({name: frame[name].astype("str") for name in frame})
    text["price"] = [format(value.normalize(), "f") for value in frame["price"]]
    weights = {"share": 30.0, "grade": 7.0}
    text["y"] = sum(frame[name].astype(float) * weight for name, weight in weights.items()).round(3).astype("str")
    kinds = {name: {"kind": "number" if name == "on" else "category"} for name in TYPED.column_names}
    columns = {**kinds, "y": {"kind": "number"}}
    return train_on(
        text, DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns}), epochs=3
    )


def scored(model, table: pa.Table) -> pd.Series:
    """Score a Parquet file: predictions by row number."""
    file = io.BytesIO()
    parquet.write_table(table, file, row_group_size=17)
    (chunk,) = open_table(file, "x.parquet", len(file.getvalue())).chunks(table.column_names, [])
    predictions = ChunkScorer(model).score(chunk).predictions.table().to_pandas()
    return predictions.set_index("row")["prediction"]


def with_gaps(rows: list[int]) -> pa.Table:
    """Leave all cells of these rows empty, and put an hour on the month of one more."""
    keep = pa.array([row not in rows for row in range(N_ROWS)])
    table = {
        name: pa.compute.if_else(keep, TYPED[name], pa.scalar(None, TYPED[name].type)) for name in TYPED.column_names
    }
    late = pa.array([row == N_ROWS - 1 for row in range(N_ROWS)])
    moved = pa.compute.add(TYPED["month"], pa.scalar(dt.timedelta(hours=5)))
    return pa.table({**table, "month": pa.compute.if_else(late, moved, table["month"])})


@pytest.mark.parametrize("gaps", [[], [3], [0, 1, 2, 40]])
def test_a_gap_in_a_parquet_file_changes_no_other_row_and_frames_say_the_same(typed_model, gaps):
    others = [row for row in range(N_ROWS - 1) if row not in gaps]
    whole, table = scored(typed_model, TYPED), with_gaps(gaps)
    found = scored(typed_model, table)
    assert len(found) == N_ROWS
    np.testing.assert_array_equal(found.to_numpy()[others], whole.to_numpy()[others])
    assert whole.nunique() > 9
    for frame in (table.to_pandas(types_mapper=pd.ArrowDtype), table.to_pandas(types_mapper=NULLABLE.get)):
        np.testing.assert_array_equal(typed_model.predict(frame)["prediction"], found)
    text = pd.DataFrame(
        {name: [None if each is None else str(each) for each in TYPED[name].to_pylist()] for name in TYPED.column_names}
    )
    text["share"] = TYPED["share"].to_pandas().astype("str")
    text["price"] = [format(each.normalize(), "f") for each in TYPED["price"].to_pylist()]
    np.testing.assert_array_equal(typed_model.predict(text)["prediction"], whole)


@pytest.mark.parametrize(
    ("values", "kind"), [([["a"]], "list<.*: string>"), ([{"k": "a"}], "struct<k: string>")], ids=["list", "struct"]
)
def test_nested_columns_are_ignored_where_nobody_needs_them_and_else_named_as_what_they_are(typed_model, values, kind):
    nested = pa.array(values * N_ROWS)
    extra = TYPED.append_column("extra", nested)
    np.testing.assert_array_equal(scored(typed_model, extra.select([*TYPED.column_names])), scored(typed_model, TYPED))
    np.testing.assert_array_equal(
        typed_model.predict(extra.to_pandas(types_mapper=pd.ArrowDtype))["prediction"], scored(typed_model, TYPED)
    )
    with pytest.raises(ValueError, match=f"column 'grade' holds {kind}, which is not one value a row"):
        scored(typed_model, TYPED.set_column(TYPED.column_names.index("grade"), "grade", nested))


def test_json_lines_break_only_where_a_nested_value_is_needed():
    lines = ['{"v": 1, "meta": {"a": 1, "a": [2]}}', '{"v": [1], "meta": 2}', '{"v": 3}']
    (chunk,) = open_table(io.BytesIO("\n".join(lines).encode()), "x.jsonl", 100).chunks(["v"], [])
    assert chunk.table["v"].to_pylist() == ["1", "3"]
    assert chunk.rows.tolist() == [1, 3]
    rule = "one JSON object with plain values, each name once; 'v' holds more than one value"
    assert chunk.broken == [(2, lines[1], rule)]


def test_what_pandas_infers_for_a_chunk_would_be_caught(typed_model, monkeypatch):
    monkeypatch.setattr(columns, "of_arrow", lambda values, name="": values.to_pandas().rename(name))
    whole, found = scored(typed_model, TYPED), scored(typed_model, with_gaps([3]))
    assert (whole.to_numpy()[4:-1] != found.to_numpy()[4:-1]).any()
