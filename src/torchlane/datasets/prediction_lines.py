"""Predictions as lines of CSV, in which rows that share a prediction share its text too.

The text is that of `pyarrow.csv.CSVWriter` with `quoting_style="needed"`, which writes each number of each row anew.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from torchlane.core.scoring.contracts import Predictions

TEXT = pa.large_string()  # whose offsets are int64


class PredictionLines:
    """A file that lines are appended to, after a header."""

    def __init__(self, path: Path):
        self._file = path.open("wb")
        self._has_header = False

    def write(self, predictions: Predictions) -> None:
        """Append a chunk."""
        shared = _with_text_labels(predictions.shared)
        own = predictions.own
        if not self._has_header:
            names = pa.array([*own.column_names, *shared.column_names], TEXT)
            self._file.write(",".join(_written(names).to_pylist()).encode() + b"\n")
            self._has_header = True
        ends = _joined([*map(_written, shared.columns)], ",")
        ends = pc.binary_join_element_wise(ends, pa.scalar("\n", TEXT), pa.scalar("", TEXT))
        lines = _joined([*map(_written, own.columns), ends.take(predictions.index)], ",")
        self._file.write(_bytes_of(lines))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _joined(columns: list[pa.Array], separator: str) -> pa.Array:
    return pc.binary_join_element_wise(*columns, pa.scalar(separator, TEXT))


def _written(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Write each value as CSV: text in quotes, a missing value as nothing."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    is_text = pa.types.is_string(array.type) or pa.types.is_large_string(array.type)
    texts = array.cast(pa.string()).cast(TEXT)
    if is_text:
        quote = pa.scalar('"', TEXT)
        doubled = pc.replace_substring(texts, '"', '""')
        texts = pc.binary_join_element_wise(quote, doubled, quote, pa.scalar("", TEXT))
    return texts.fill_null(pa.scalar("", TEXT))


def _bytes_of(texts: pa.Array) -> memoryview:
    """Give the bytes of all texts, one behind the other."""
    if not len(texts):
        return memoryview(b"")
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int64)
    return memoryview(texts.buffers()[2])[offsets[texts.offset] : offsets[texts.offset + len(texts)]]


def _with_text_labels(predictions: pa.Table) -> pa.Table:
    """Write labels such as 2.0 and True as the names of their probabilities have them; pyarrow writes 2 and true."""
    place = predictions.schema.get_field_index("prediction")
    if place < 0 or not any(name.startswith("probability_") for name in predictions.column_names):
        return predictions
    labels = predictions.column(place)
    if not (pa.types.is_floating(labels.type) or pa.types.is_boolean(labels.type)):
        return predictions
    encoded = labels.combine_chunks().dictionary_encode()
    texts = pa.array([f"{label}" for label in encoded.dictionary.to_pylist()], pa.string())
    return predictions.set_column(place, "prediction", texts.take(encoded.indices))
