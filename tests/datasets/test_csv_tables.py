"""Training and scoring read text in one way: the same rows, torn rows and refusals, compressed, in blocks or whole."""

import csv
import gzip
import io
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kedro.io import DatasetError

from torchlane.core.rows.raw_rows import columns_of, find_torn
from torchlane.datasets import csv_tables
from torchlane.datasets.headers import MOST_HEADER_BYTES
from torchlane.datasets.rows import RawRowsDataset
from torchlane.datasets.tables import open_table

HEADERS = ["a,b", "a,b,c", "a", "a;b", '"a","b"', "\na,b", " a , b ", "a,b,"]
LINE_ENDS = ["\n", "\r\n", "\r", "\n\n"]
PIECES = ["1", "x", "ab", "3.5", "\u00e9", " ", "\t", "|", ";", "\0", "\ufeff", "", "a,b", "\n1,2", "\r1,2",
          *[",", "\n"] * 3, "\r", "\r\n", '"', '"', '""', '"x"', '"a,b"', '"a\nb"', '"a\nb" ']  # fmt: skip
Read = tuple[list[str], list[list[str]], dict[int, str]] | str


def draw_text(seed: int) -> bytes:
    """Draw what stands between sound CSV and none."""
    draw = random.Random(seed)
    pieces = [draw.choice(PIECES) for _ in range(draw.randint(0, 25))]
    return "".join([draw.choice(HEADERS), draw.choice(LINE_ENDS), *pieces]).encode()


def read_to_train(content: bytes, folder: Path, ending: str = ".csv") -> Read:
    """Give columns, rows and torn rows, or the refusal."""
    path = folder / f"x{ending}"
    path.write_bytes(content)
    try:
        rows = RawRowsDataset(filepath=str(path)).load()
    except DatasetError as error:
        return str(error).replace(str(path), "x")
    names, torn = columns_of(rows), find_torn(rows)
    return names, rows[names].fillna("").to_numpy().tolist(), {row + 1: text for row, text in torn["value"].items()}


def read_to_score(content: bytes, ending: str = ".csv") -> Read:
    """Give columns, rows and torn rows, or the refusal."""
    rows, torn = {}, {}
    try:
        table = open_table(io.BytesIO(content), f"x{ending}", len(content))
        for chunk in table.chunks((), table.names):
            torn |= {row: text for row, text, _ in chunk.broken}
            read = chunk.table.select(table.names).to_pandas().to_numpy().tolist()
            rows |= dict(zip(chunk.rows.tolist(), read, strict=True))
    except ValueError as error:
        return str(error).replace(f"x{ending}", "x")
    assert rows.keys() | torn.keys() == set(range(1, len(rows) + len(torn) + 1))
    missing = [""] * len(table.names)
    return table.names, [rows.get(row, missing) for row in range(1, len(rows) + len(torn) + 1)], torn


def assert_one_reading(texts: range, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare the ways to read each of the texts."""
    for seed in texts:
        content = draw_text(seed)
        read = read_to_train(content, folder)
        assert read_to_score(content) == read, content
        assert read_to_train(gzip.compress(content), folder, ".csv.gz") == read, content
        assert read_to_score(gzip.compress(content), ".csv.gz") == read, content
        with monkeypatch.context() as patch:
            patch.setattr(csv_tables, "BLOCK_BYTES", 64)
            in_blocks = read_to_score(content)
        too_long = isinstance(in_blocks, str) and ("row of more than" in in_blocks or "left open" in in_blocks)
        assert in_blocks == read or (too_long and len(content) > 64), content


def test_random_texts_are_read_in_one_way(tmp_path, monkeypatch):
    assert_one_reading(range(120), tmp_path, monkeypatch)


@pytest.mark.slow
def test_thousands_of_random_texts_are_read_in_one_way(tmp_path, monkeypatch):
    assert_one_reading(range(120, 6500), tmp_path, monkeypatch)


cells = st.text(st.sampled_from('ab1 .,;|"\n\r\t\u00e9'), max_size=6)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(cells, min_size=3, max_size=3), max_size=8),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.booleans(),
)
def test_sound_text_is_read_as_it_was_written(table, separator, line_end, always, ended):
    special = re.compile(rf'["\n\r{re.escape(separator)}]')
    quoted = [
        ['"' + cell.replace('"', '""') + '"' if always or special.search(cell) else cell for cell in row]
        for row in [["x", "y", "z"], *table]
    ]
    content = line_end.join(map(separator.join, quoted)) + line_end * ended
    assert read_to_score(content.encode()) == (["x", "y", "z"], table, {})


unquoted = st.sampled_from(["a", '5" pipe', '5"', 'x"y"z', "1", "", '\u00e9"', ' "a"', ' "', 'a ""b'])
inside_quotes = st.sampled_from(["one\ntwo", "a,b", '5" pipe', "", '"', '\n"', '"\n', "\n", '",', 'a"\nb', "\n\n"])
fields = unquoted | inside_quotes.map(lambda text: '"' + text.replace('"', '""') + '"')


@settings(max_examples=150, deadline=None)
@given(
    st.integers(2, 4).flatmap(lambda width: st.lists(st.lists(fields, min_size=width, max_size=width), max_size=6)),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([64, 65, 66, 100, 1 << 20]),
)
def test_quotes_in_fields_and_lines_in_quotes_are_read_as_by_python(table, line_end, block):
    lines = [",".join("abcd"[: len(table[0]) if table else 2]), *map(",".join, table)]
    content = line_end.join(line.replace("\n", line_end) for line in lines) + line_end
    expected = [row for row in csv.reader(io.StringIO(content, newline="")) if row][1:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_tables, "BLOCK_BYTES", block)
        read = read_to_score(content.encode())
    if "row of more than" not in read:
        assert read[1:] == (expected, {})


@pytest.mark.parametrize("block", range(40, 60))
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_value_keeps_its_line_end_where_a_block_ends_within_it(block, ending, monkeypatch):
    content = b"a,b\r\n" + b'x,"one\r\ntwo"\r\n' * 9
    monkeypatch.setattr(csv_tables, "BLOCK_BYTES", block)
    packed = gzip.compress(content) if ending.endswith("gz") else content
    assert read_to_score(packed, ending)[1] == [["x", "one\r\ntwo"]] * 9


OPEN = "a quote is left open in x, in or before {}; close it"


@pytest.mark.parametrize(
    ("content", "read"),
    [
        (b'a,b\r1,2\r3,"4\r5,6\r', OPEN.format("row 2")),
        (b'a,b\r1,"2\r3,4,5\r"6,7\r', OPEN.format("row 1")),
        (b'a,b\n1,x\n2,"y', OPEN.format("row 2")),
        (b'a,b\n1,"x\n2,y"z\n', OPEN.format("line 3")),
        (b'a,b\n1,"x\n2,"y"\n"3",4\n', OPEN.format("line 3")),
        (b'a,b\n\n1,5" pipe\n2,"one\ntwo"\n', (["a", "b"], [["1", '5" pipe'], ["2", "one\ntwo"]], {})),
        (b'b,width (")\n1,"one\ntwo"\n', (["b", 'width (")'], [["1", "one\ntwo"]], {})),
        (b'b,6",7"\n1,2,3\n', (["b", '6"', '7"'], [["1", "2", "3"]], {})),
        (b'6" a,"b\n1,2\n', "a quote is left open in the header of x; a header is one line"),
        (b"a\tb\t\n1\t2\t\n", (["a", "b", "Unnamed: 2"], [["1", "2", ""]], {})),
        (b"a,,Unnamed: 1\n1,2,3\n", "column 'Unnamed: 1' occurs 2 times in the header of x; rename or drop one"),
        (b'a,b\n"one\r\ntwo" ,2\n3\n', (["a", "b"], [["one\r\ntwo ", "2"], ["", ""]], {2: "3"})),
    ],
    ids=[
        "old Mac",
        "torn on an old Mac",
        "cut off",
        "even quotes",
        "odd quotes",
        "inches",
        "an inch mark in the header",
        "two inch marks in the header",
        "even quotes in the header",
        "last tab",
        "a name like ours",
        "space behind a quote",
    ],
)
def test_quotes_that_swallow_rows_are_refused_and_others_read(content, read, tmp_path):
    assert read_to_score(content) == read
    assert read_to_train(content, tmp_path) == read


def test_header_longer_than_is_read_at_most_is_refused(tmp_path):
    content = b"name," * (MOST_HEADER_BYTES // 5) + b"last\n"
    assert "its header is longer than 4 MiB" in read_to_train(content, tmp_path)
    content = b"x" * 200_000 + b"\n1\n"
    assert "a name in its header is longer than 128 KiB" in read_to_train(content, tmp_path)


@pytest.mark.parametrize("before", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_header_longer_than_most_is_read_whole(tmp_path, before):
    names = [f"a_name_as_long_as_genes_have_{number}" for number in range(4_500)]
    content = before + ";".join(names).encode() + b"\r\n" + b";".join([b"1"] * 4_500) + b"\r\n"
    (tmp_path / "wide.csv").write_bytes(content)
    rows = RawRowsDataset(filepath=str(tmp_path / "wide.csv")).load()
    assert list(rows) == names
    assert set(rows.iloc[0]) == {"1"}


@pytest.mark.parametrize("ending", [".csv.gz", ".csv.bz2"])
def test_compressed_rows_are_read_by_the_ending_and_cut_off_ones_refused(tmp_path, ending):
    import bz2

    packed = {".csv.gz": gzip, ".csv.bz2": bz2}[ending].compress(b"a,b\n" + b"1,2\n" * 1000)
    assert len(read_to_train(packed, tmp_path, ending)[1]) == 1000
    assert "x" in read_to_train(packed[:-12], tmp_path, ending)


@pytest.mark.parametrize("ending", [".csv.gz", ".jsonl.gz"])
@pytest.mark.parametrize(
    "around",
    [
        lambda first, second: first + second + bytes(10_240),
        lambda first, second: first + bytes(1) + second,
        lambda first, second: first + gzip.compress(b"") + second + bytes(1 << 20),
    ],
    ids=["blocks of a tape", "between members", "empty member"],
)
def test_zeros_behind_members_of_gzip_are_no_rows_and_anything_else_is_refused(ending, around, tmp_path):
    lines = {
        ".csv.gz": (b"a,b\n" + b"1,2\n" * 50, b"3,4\n"),
        ".jsonl.gz": (b'{"a": 1, "b": 2}\n' * 50, b'{"a": 3, "b": 4}\n'),
    }
    first, second = map(gzip.compress, lines[ending])
    expected = (["a", "b"], [["1", "2"]] * 50 + [["3", "4"]], {})
    packed = around(first, second)
    assert read_to_score(packed, ending) == expected
    refused = [read_to_score(packed + b"x", ending), read_to_score(first + second[:-3], ending)]
    if ending == ".csv.gz":
        assert read_to_train(packed, tmp_path, ending) == expected
        refused += [
            read_to_train(packed + b"x", tmp_path, ending),
            read_to_train(first + second[:-3], tmp_path, ending),
        ]
    assert all("x is cut off or damaged" in each for each in refused)


def test_many_torn_rows_take_time_in_proportion(tmp_path):
    names, rows, torn = read_to_train(b"a,b\n" + b"1\n2,3\n" * 40_000, tmp_path)
    assert (names, len(rows), len(torn)) == (["a", "b"], 80_000, 40_000)
