import csv
import tempfile
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from torchlane.core.scoring.contracts import Predictions
from torchlane.datasets.prediction_lines import PredictionLines
from torchlane.datasets.predictions import PredictionFolder


def write(folder, file_format, **columns):
    store = PredictionFolder(folder, file_format)
    with store.writer("new.csv", "0" * 64) as files:
        for start in (0, 1, 2):  # the last chunk is empty
            table = pa.table(columns)
            index = pa.array([start] if start < 2 else [], pa.int64())
            files.write(
                Predictions(pa.table({"row": pa.array([start] * len(index), pa.int64())}), table, index), pa.table({})
            )
        files.close()
        files.publish()
    return store.path_of(store.output_name("new.csv", "0" * 64))


@pytest.mark.parametrize("labels", [[2.0, 1.0], [True, False], [2, 1], ["b", "a"]])
def test_labels_are_written_as_in_the_names_of_their_probabilities(tmp_path, labels):
    probabilities = {f"probability_{label}": [0.5, 0.5] for label in labels}
    path = write(tmp_path, "csv", prediction=labels, **probabilities)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [f"probability_{row['prediction']}" for row in rows] == list(probabilities)


def test_predicted_numbers_stay_numbers_and_parquet_keeps_the_type_of_labels(tmp_path):
    assert write(tmp_path, "csv", prediction=[2.5, 1.5]).read_text() == '"row","prediction"\n0,2.5\n1,1.5\n'
    path = write(tmp_path, "parquet", **{"prediction": [2.0, 1.0], "probability_2.0": [0.5, 0.5]})
    assert parquet.read_table(path)["prediction"].to_pylist() == [2.0, 1.0]


KINDS = {
    "text": (pa.string(), st.text(st.sampled_from('ab",\n\r ;é'), max_size=5)),
    "long text": (pa.large_string(), st.text(st.sampled_from('ab",'), max_size=5)),
    "float": (pa.float64(), st.floats()),
    "float32": (pa.float32(), st.floats(width=32)),
    "int": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "bool": (pa.bool_(), st.booleans()),
    "time": (pa.timestamp("us"), st.datetimes(datetime(1, 1, 1), datetime(9999, 1, 1))),
    "zoned": (pa.timestamp("s", "Europe/Paris"), st.integers(0, 2**31)),
    "date": (pa.date32(), st.dates()),
    "decimal": (pa.decimal128(20, 3), st.decimals(-1000, 1000, places=3)),
    "null": (pa.null(), st.none()),
}


@st.composite
def predicted(draw):
    def table(n_rows: int, kinds: list[str], prefix: str) -> pa.Table:
        columns = {}
        for number, name in enumerate(kinds):
            kind, values = KINDS[name]
            each = draw(st.lists(st.none() | values, min_size=n_rows, max_size=n_rows))
            columns[f'{prefix} "{number}", {name}'] = pa.array(each, kind)
        return pa.table(columns)

    n_rows, n_shared = draw(st.integers(0, 6)), draw(st.integers(1, 4))
    index = draw(st.lists(st.integers(0, n_shared - 1), min_size=n_rows, max_size=n_rows))
    some = st.lists(st.sampled_from([*KINDS]), min_size=1, max_size=4)
    return Predictions(
        table(n_rows, draw(some), "own"), table(n_shared, draw(some), "shared"), pa.array(index, pa.int64())
    )


@settings(max_examples=150, deadline=None)
@given(chunk=predicted())
def test_lines_are_those_of_pyarrow_for_columns_of_every_type(chunk):
    with tempfile.TemporaryDirectory() as folder:
        lines = PredictionLines(Path(folder) / "ours.csv")
        lines.write(chunk)
        lines.write(chunk)
        lines.close()
        table = chunk.table()
        options = arrow_csv.WriteOptions(quoting_style="needed")
        with arrow_csv.CSVWriter(Path(folder) / "theirs.csv", table.schema, write_options=options) as writer:
            writer.write_table(table)
            writer.write_table(table)
        assert (Path(folder) / "ours.csv").read_bytes() == (Path(folder) / "theirs.csv").read_bytes()
