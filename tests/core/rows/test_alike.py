from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchlane.core.options import ColumnOptions
from torchlane.core.rows import alike, checking
from torchlane.core.rows.checking import apply_rules
from torchlane.core.rows.raw_rows import mark_torn

cells = st.sampled_from(
    ["1", "2.50", " -3", "", "x", "NA", "1e5", "true", "2025-03-01", "1,5", "a\nb", "-999.0", "9" * 50]
)
columns = st.sampled_from(
    [
        {"kind": "number"},
        {"kind": "number", "nullable": False},
        {"kind": "number", "minimum": 0, "maximum": 100},
        {"kind": "number", "decimal": "comma"},
        {"kind": "category"},
        {"kind": "category", "levels": ["1", "x"]},
        {"kind": "date"},
    ]
)
types = st.sampled_from(["text", "text", "float", "integer", "object"])


def typed(texts: list[str], kind: str) -> pd.Series:
    if kind in ("float", "integer"):
        numbers = pd.to_numeric(pd.Series(texts, dtype="str"), errors="coerce").clip(-1000, 1000)
        return numbers if kind == "float" else numbers.fillna(0).astype(np.int16)
    return pd.Series(texts, dtype="str" if kind == "text" else object)


@st.composite
def tables(draw):
    n_rows = draw(st.integers(0, 5))
    n_columns = draw(st.integers(1, 7))
    declared = {f"c{number}": ColumnOptions.model_validate(draw(columns)) for number in range(n_columns)}
    rows = {name: typed(draw(st.lists(cells, min_size=n_rows, max_size=n_rows)), draw(types)) for name in declared}
    return pd.DataFrame(rows), declared


@settings(max_examples=60, deadline=None)
@given(tables(), st.booleans())
def test_columns_read_together_are_those_read_alone(table, is_torn):
    rows, declared = table
    if is_torn:
        rows = mark_torn(rows.set_axis(range(2, len(rows) + 2)).astype("str"), {1: "a torn row"})
    clean, rejected = apply_rules(rows, declared, ("", "-999"))
    with mock.patch.object(alike, "JOINED", 1):
        clean_alone, rejected_alone = apply_rules(rows, declared, ("", "-999"))
    pd.testing.assert_frame_equal(clean, clean_alone)
    pd.testing.assert_frame_equal(rejected, rejected_alone)


def test_number_of_calls_does_not_grow_with_the_columns(monkeypatch):
    calls = []
    read = checking.read_column
    monkeypatch.setattr(checking, "read_column", lambda values, *rest: calls.append(len(values)) or read(values, *rest))
    rows = pd.DataFrame({f"c{number}": ["1", "2", "x"] for number in range(400)}, dtype="str")
    kinds = {name: ColumnOptions(kind="number" if number % 2 else "category") for number, name in enumerate(rows)}
    clean, rejected = apply_rules(rows, kinds, ("",))
    assert calls == [600, 600]
    assert list(clean) == ["row", *rows]
    assert len(rejected) == 200 and set(rejected["row"]) == {3}


@pytest.mark.parametrize(("n_rows", "sizes"), [(2, [6, 4]), (5, [5] * 5), (7, [7] * 5)])
def test_so_many_values_are_joined_at_most(monkeypatch, n_rows, sizes):
    monkeypatch.setattr(alike, "JOINED", 6)
    rows = pd.DataFrame({f"c{number}": ["1"] * n_rows for number in range(5)}, dtype="str")
    found = list(alike.joined(rows, {name: ColumnOptions(kind="number") for name in rows}))
    assert [len(values) for _, values in found] == sizes
    assert [name for names, _ in found for name in names] == list(rows)


def test_joined_text_is_one_chunk():  # for each of which Arrow compiles a pattern anew
    columns = [pd.concat([pd.Series(["a"], dtype="str")] * 3, ignore_index=True)] * 2
    assert pd.array(alike.stacked(columns))._pa_array.num_chunks == 1


def test_container_in_a_column_is_refused_by_the_name_of_its_column():
    rows = pd.DataFrame(
        {"a": ["1", "2"], "b": pd.Series([[1], "2"], dtype=object), "c": pd.Series(["1", "2"], dtype=object)}
    )
    with pytest.raises(ValueError, match="column 'b' holds a list"):
        apply_rules(rows, {name: ColumnOptions(kind="number") for name in rows}, ("",))
