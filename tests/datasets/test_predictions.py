import csv

import pyarrow as pa
import pytest
from pyarrow import parquet

from torchlane.datasets.predictions import PredictionFolder


def write(folder, file_format, **columns):
    store = PredictionFolder(folder, file_format)
    with store.writer("new.csv", "0" * 64) as files:
        for start in (0, 1, 2):  # the last chunk is empty
            files.write(pa.table(columns).slice(start, 1 if start < 2 else 0), pa.table({}))
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
    assert write(tmp_path, "csv", prediction=[2.5, 1.5]).read_text() == '"prediction"\n2.5\n1.5\n'
    path = write(tmp_path, "parquet", **{"prediction": [2.0, 1.0], "probability_2.0": [0.5, 0.5]})
    assert parquet.read_table(path)["prediction"].to_pylist() == [2.0, 1.0]
