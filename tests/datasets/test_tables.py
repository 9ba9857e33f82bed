import gzip
import io
import json

import numpy as np
import pandas as pd
import pytest

from torchlane.core.options import ColumnOptions
from torchlane.core.rows.checking import apply_rules
from torchlane.datasets import csv_tables, streams, tables
from torchlane.datasets.rows import RawRowsDataset

HEADER = "a,b,c\n"


def read(content: bytes | str, name: str = "x.csv", columns: tuple[str, ...] = ("b", "a")) -> tuple[pd.DataFrame, list]:
    """Read a whole file: the rows under their numbers, and the broken ones."""
    content = content.encode() if isinstance(content, str) else content
    table = tables.open_table(io.BytesIO(content), name, len(content))
    parts, broken = [], []
    for chunk in table.chunks(columns, ()):
        broken += chunk.broken
        parts.append(chunk.table.select(list(columns)).to_pandas().set_axis(chunk.rows).astype(object))
    return (pd.concat(parts) if parts else pd.DataFrame(columns=list(columns))), broken


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(tables, "BLOCK_BYTES", 200)
    monkeypatch.setattr(csv_tables, "BLOCK_BYTES", 200)
    monkeypatch.setattr(tables, "CHUNK_ROWS", 7)


@pytest.mark.parametrize("block", [60, 200, 1 << 20])
def test_rows_and_numbers_are_those_of_the_raw_file_also_where_blocks_end(block, tmp_path, monkeypatch):
    monkeypatch.setattr(csv_tables, "BLOCK_BYTES", block)
    lines = [f"{row},x{row},y" for row in range(1, 200)]
    for row in (3, 4, 50, 51, 52, 199):
        lines[row - 1] = f"{row},torn"
    text = HEADER + "\n\n".join("\n".join(lines[start : start + 40]) for start in range(0, 199, 40)) + "\n"
    rows, broken = read(text)
    assert [row for row, _, _ in broken] == [3, 4, 50, 51, 52, 199]
    assert broken[0][1:] == ("3,torn", "3 fields, as the header has, and not 2")
    assert rows["a"].tolist() == [str(row) for row in rows.index]
    path = tmp_path / "x.csv"
    path.write_text(text)
    raw = RawRowsDataset(filepath=str(path)).load()
    columns = {name: ColumnOptions(kind="category") for name in "ab"}
    clean, rejected = apply_rules(raw, columns, ("",))
    assert clean["row"].tolist() == rows.index.tolist()
    assert rejected["row"].tolist() == [row for row, _, _ in broken]


def test_more_broken_rows_than_good_ones(small_blocks):
    rows, broken = read(HEADER + "".join("torn\n" if row % 5 else f"{row},b,c\n" for row in range(1, 101)))
    assert rows["a"].tolist() == [str(row) for row in rows.index] == [str(row) for row in range(5, 101, 5)]
    assert [row for row, _, _ in broken] == [row for row in range(1, 101) if row % 5]


@pytest.mark.parametrize("text", [HEADER, HEADER.strip(), HEADER + "\n\n"])
def test_header_alone_has_no_rows(text):
    rows, broken = read(text)
    assert rows.empty
    assert broken == []


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("\ufeffa;b;c\r\n1;2;3\r\n", [["2", "1"]]),
        ("a\tb\tc\n1\t\t3\n", [["", "1"]]),
        ('"a","b","c"\n"1","x ""y""","3"\n', [['x "y"', "1"]]),
        ('a,b,c\n1,2,"one\ntwo"\n3,4,5\n', [["2", "1"], ["4", "3"]]),
        ('a,b,c\n1,5" pipe,x\n\n', [['5" pipe', "1"]]),
        ("a,b,c\r1,2,3\r4,5,6\r", [["2", "1"], ["5", "4"]]),
        ("\x0c\na,b,c\n1,2,3\n4,5,6\n", [["2", "1"], ["5", "4"]]),
        ("a,b,c\x85\n1,2,3\n4,5,6\n", [["2", "1"], ["5", "4"]]),
    ],
    ids=[
        "semicolons",
        "tabs",
        "quotes",
        "two lines in a field",
        "inches and an empty line",
        "old Mac",
        "form feed",
        "next line",
    ],
)
def test_text_is_read_as_it_is_meant(text, rows):
    assert read(text)[0].to_numpy().tolist() == rows


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x.csv is empty"),
        ("a,b,a\n1,2,3\n", "column 'a' occurs 2 times in the header of x.csv"),
        ("a,b,c\n1,2,3\n".encode("utf-16"), "x.csv is UTF-16"),
        ("a,b,c\n1,é,3\n".encode("latin-1"), "x.csv is not UTF-8"),
        ('a,b,c\n1,2,"3\n4,5,6\n7,8,9\n', "a quote is left open in x.csv"),
        ('a,b,c\n1,"2,3\n4,5,6\n', "a quote is left open in x.csv"),
        (gzip.compress(b"a,b\n1,2\n"), "x.csv is gzip, but its name does not end in .gz"),
        (HEADER + "1,2," + "x" * 5000 + "\n", "has a row of more than|cannot be read"),
    ],
    ids=["empty", "doubled", "utf-16", "latin-1", "open to the end", "open in the midst", "gzip", "long row"],
)
def test_unreadable_text_is_refused_in_words(content, message, small_blocks):
    with pytest.raises(ValueError, match=message):
        read(content)


def test_gzip_is_unpacked_and_a_cut_off_or_damaged_one_refused():
    packed = gzip.compress((HEADER + "1,2,3\n" * 1000).encode())
    assert len(read(packed, "x.csv.gz")[0]) == 1000
    assert len(read(packed + gzip.compress(b"4,5,6\n"), "x.csv.gz")[0]) == 1001
    for damaged in (packed[:-9], packed[:40], packed[:30] + b"\x00" * 9 + packed[39:], b"no gzip"):
        with pytest.raises(ValueError, match=r"x.csv.gz"):
            read(damaged, "x.csv.gz")


@pytest.mark.parametrize("name", ["x.csv.gz", "x.jsonl.gz"])
def test_compression_bomb_is_refused_before_it_fills_anything(name, monkeypatch):
    monkeypatch.setattr(streams, "FREE_BYTES", 100_000)
    start = HEADER if "csv" in name else ""
    line = "1,2,3\n" if "csv" in name else '{"a": 1, "b": 2}\n'
    bomb = gzip.compress(start.encode() + line.encode() * 1_000_000)
    with pytest.raises(ValueError, match=f"{name} expands to more than .* 200 times its size"):
        read(bomb, name)


def test_parquet_keeps_types_and_reads_chunk_by_chunk(small_blocks):
    frame = pd.DataFrame({"a": range(30), "b": ["x", None, "y"] * 10, "other": 1.5})
    rows, _ = read(frame.to_parquet(index=False), "x.parquet")
    assert rows["a"].tolist() == list(range(30))
    assert rows["b"].isna().sum() == 10
    assert rows.index.tolist() == list(range(1, 31))


def test_damaged_parquet_is_refused():
    content = pd.DataFrame({"a": np.arange(1000), "b": "x"}).to_parquet(index=False)
    for damaged in (content[:-4], content[: len(content) // 2], b"PAR1", b"", content.replace(b"PAR1", b"PAR2")):
        with pytest.raises(ValueError, match=r"x.parquet"):
            read(damaged, "x.parquet")


def test_parquet_with_a_column_twice_is_refused():
    import pyarrow as pa
    from pyarrow import parquet

    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), sink)
    with pytest.raises(ValueError, match="column 'a' occurs 2 times in x.parquet"):
        read(sink.getvalue(), "x.parquet")


@pytest.mark.parametrize("name", ["x.jsonl", "x.ndjson.gz"])
def test_json_lines_keep_all_digits_of_numbers_and_set_broken_lines_apart(name, small_blocks):
    lines = [
        json.dumps({"a": 1, "b": "x"}),
        '{"a": 1.50, "b": null}',
        '{"b": true}',
        "{no json",
        "",
        '{"a": 1, "a": 2}',
        '{"a": [1]}',
        "[" * 100_000,
        '"text"',
        '{"a": ' + "9" * 5000 + "}",
        *(json.dumps({"a": number, "b": "z"}) for number in range(20)),
    ]
    content = "\n".join(lines).encode()
    rows, broken = read(gzip.compress(content) if name.endswith(".gz") else content, name)
    assert rows.loc[1].tolist() == ["x", "1"]
    assert rows.loc[2, "a"] == "1.5"
    assert rows.loc[3, "b"] == "True"
    assert rows.isna().to_numpy().nonzero()[0].tolist() == [1, 2, 3]
    assert len(rows.loc[10, "a"]) == 5000
    assert rows.index.tolist() == [1, 2, 3, 10, *range(11, 31)]
    assert [row for row, _, _ in broken] == [4, 6, 7, 8, 9]
    assert broken[0][1:] == ("{no json", "one JSON object with plain values, each name once")


def test_json_without_an_object_or_with_a_line_without_end_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="x.jsonl does not have one JSON object per line"):
        read("{no json\n", "x.jsonl")
    monkeypatch.setattr(tables, "LINE_BYTES", 1000)
    with pytest.raises(ValueError, match="line 2 of x.jsonl is longer than"):
        read('{"a": 1}\n' + "x" * 2000, "x.jsonl")


def test_json_lines_with_a_byte_order_mark_and_half_characters():
    lines = ['\ufeff{"a": 1, "b": "x"}', '{"a": "\\ud800", "b": 2}', '{"a": 3, "b": "\\u00e9"}']
    rows, broken = read("\n".join(lines), "x.jsonl")
    assert rows["a"].tolist() == ["1", "3"]
    assert rows["b"].tolist() == ["x", "é"]
    assert [row for row, _, _ in broken] == [2]
