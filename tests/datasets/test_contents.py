"""A file that is not what its name says is named as what it is."""

import gzip
import io
import json

import pytest

from torchlane.datasets.tables import open_table

ROWS = [{"a": 1, "m": {"x": [2]}}, {"a": 2, "m": {}}]
LINES = "\n".join(map(json.dumps, ROWS)) + "\n"
OBJECT = "write one object a line, for example with pandas' to_json"
REFUSED = {
    "pretty array": ("x.jsonl", json.dumps(ROWS, indent=1), f"x.jsonl is one pretty-printed JSON array over several lines, not JSON lines; {OBJECT}"),
    "array of a line an object": ("x.ndjson", '[\n{"a": 1},\n{"a": 2}\n]\n', "is one pretty-printed JSON array over several lines"),
    "array": ("x.jsonl", json.dumps(ROWS), "is one JSON array, not JSON lines"),
    "array after a mark": ("x.jsonl", "\ufeff[\n{}\n]", "is one pretty-printed JSON array over several lines"),
    "long array": ("x.jsonl", "[" + '{"a": 1},' * 150_000 + "{}]", "longer than 1 MiB; it is a JSON array; write one"),
    "arrays": ("x.jsonl", "[1, 2]\n[3, 4]\n", "is a JSON array a line, not JSON lines"),
    "pretty object": ("x.jsonl", json.dumps(ROWS[0], indent=2), "is one pretty-printed JSON object over several lines, not JSON lines"),
    "pretty objects with an object on a line": ("x.jsonl", '{"a":\n{"b": 1}\n}\n' * 2, "is one pretty-printed JSON object over several lines"),
    "GeoJSON": ("x.jsonl", json.dumps({"type": "F", "features": ROWS}, indent=2), "over several lines, with the rows in its list 'features', not"),
    "concatenated": ("x.jsonl", '{"a": 1}{"a": 2}', "is a row of JSON objects without line breaks, not JSON lines"),
    "number": ("x.jsonl", "42\n", r"holds JSON values such as '42', not objects with the columns by name"),
    "text": ("x.jsonl", '"x"\n"y"\n', "holds JSON values such as"),
    "no JSON": ("x.jsonl", "{no json\n", "x.jsonl does not have one JSON object per line: its first line is '{no json'; write"),
    "CSV": ("x.jsonl", "a,b\n1,2\n", "its first line is 'a,b'; if it is a table with separators, name it .csv"),
    "empty": ("x.jsonl", "", "x.jsonl is empty, not JSON lines"),
    "blank": ("x.jsonl.gz", gzip.compress(b"\n \n"), "x.jsonl.gz is empty"),
    "Parquet": ("x.jsonl", b"PAR1\x15\x04", "x.jsonl is a Parquet file, but its name does not end in .parquet"),
    "gzip": ("x.jsonl", gzip.compress(LINES.encode()), "x.jsonl is gzip, but its name does not end in .gz"),
    "Parquet as CSV": ("x.csv", b"PAR1\x15\x04", "x.csv is a Parquet file, but its name does not end in .parquet; save it as UTF-8"),
    "workbook": ("x.csv", b"PK\x03\x04\x14", "x.csv is a zip file, such as an Excel workbook"),
    "JSON lines as CSV": ("x.csv", LINES, "x.csv is JSON, not a table with a header; name it .jsonl if"),
    "JSON as CSV": ("x.csv", json.dumps(ROWS, indent=1), "x.csv is JSON, not a table with a header"),
    "CSV as Parquet": ("x.parquet", "a,b\n1,2\n", "x.parquet is not a complete Parquet file"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), REFUSED.values(), ids=REFUSED)
def test_a_file_is_named_as_what_it_is(name, content, message):
    content = content.encode() if isinstance(content, str) else content
    with pytest.raises(ValueError, match=message):
        open_table(io.BytesIO(content), name, len(content))


@pytest.mark.parametrize(
    ("content", "rows", "broken"),
    [
        (LINES, [1, 2], []),
        ("\ufeff" + LINES, [1, 2], []),
        (LINES.replace("\n", "\r\n\r\n"), [1, 3], []),
        ('{"a": 1,\n{"a": 2}\n', [2], [1]),  # a first line that is cut off is one torn row
        ('[1]\n{"a": 2}\n', [2], [1]),
        ('{"a": 1}\n[\n{"a": 2}\n', [1, 3], [2]),
    ],
)
def test_json_lines_are_read_and_single_lines_may_be_torn(content, rows, broken):
    data = content.encode()
    (chunk,) = open_table(io.BytesIO(data), "x.jsonl", len(data)).chunks(["a"], [])
    assert chunk.rows.tolist() == rows
    assert [row for row, _, _ in chunk.broken] == broken


@pytest.mark.parametrize("header", ["a,b", '"{x}",b', "[kg],b", "{id},b"])
def test_a_header_with_brackets_is_a_header(header):
    data = f"{header}\n1,2\n".encode()
    assert len(open_table(io.BytesIO(data), "x.csv", len(data)).names) == 2
