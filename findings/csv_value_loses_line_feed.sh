#!/usr/bin/env bash
# pyarrow 26.0.1: reading a CSV file with values over several lines loses a character at the end of a block.
#
# With newlines_in_values, a quoted value may hold CR LF, as files from spreadsheets do. Where a block of the reader
# (1 MiB by default) ends between the two, the LF is taken for the rest of a line end and dropped: the value comes back
# with a lone CR. Nothing is said, read_csv and open_csv both do it, with and without threads, and which value it hits
# depends on how many bytes stand before it, such as the length of a column's name.
#
# Seen: of 200,000 equal values 199,999 are 'one\r\ntwo' and one is 'one\rtwo' where the header is 2 bytes longer than
# 'id,note'; with the header 'id,note' all are whole
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyarrow==26.0.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import io

from pyarrow import csv

options = csv.ParseOptions(newlines_in_values=True)
readers = {
    "read_csv": lambda file: csv.read_csv(file, parse_options=options),
    "read_csv, one thread": lambda file: csv.read_csv(
        file, read_options=csv.ReadOptions(use_threads=False), parse_options=options
    ),
    "open_csv": lambda file: csv.open_csv(file, parse_options=options).read_all(),
}
for header, lost in (("id,note", 0), ("id,notexx", 1)):
    content = header.encode() + b"\r\n" + b'1,"one\r\ntwo"\r\n' * 200_000
    for name, read in readers.items():
        values = read(io.BytesIO(content)).column(1).to_pylist()
        counts = {value: values.count(value) for value in sorted(set(values))}
        print(f"{header}, {name}: {counts}")
        assert counts.get("one\rtwo", 0) == lost and sum(counts.values()) == 200_000
PYTHON
