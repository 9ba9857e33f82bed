"""Raw rows scored chunk by chunk; each distinct value and each distinct row is processed once.

The fewer distinct values the columns have, the less there is to read, check and encode. A prediction does not
depend on the other rows, so the results are bit-identical to those of `TrainedModel.predict`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from torchlane.core.encoding.spelling import Respelling
from torchlane.core.model.profile import Profile
from torchlane.core.model.seen import SeenRows
from torchlane.core.model.trained import COVERAGE, TrainedModel
from torchlane.core.options import require_coverage
from torchlane.core.rows.checking import ROW
from torchlane.core.rows.formats import as_declared
from torchlane.core.rows.raw_rows import Chunk, hint_at_header
from torchlane.core.rows.values import as_texts, as_written, of_arrow
from torchlane.core.scoring import drift
from torchlane.core.scoring.columns import ColumnReader, ReadColumn
from torchlane.core.scoring.contracts import Predictions
from torchlane.core.scoring.failures import CouldNotStartError

MAX_COMBINATIONS = 2**62  # each distinct row is numbered by one int64
REJECTED = pa.schema({ROW: pa.int64(), "column": pa.string(), "value": pa.string(), "rule": pa.string()})
NOTHING_REJECTED = REJECTED.empty_table()


@dataclass(frozen=True)
class Scored:
    """The predictions of a chunk (`row`, keys, the model's columns), its rejected rows, and its counts for drift.

    `respelt` has the columns with unseen levels that train knows in another spelling.
    """

    rows_read: int
    rows_rejected: int
    predictions: Predictions
    rejected: pa.Table
    counts: dict[str, np.ndarray]
    respelt: tuple[Respelling, ...] = ()


class ChunkScorer:
    """Scores the chunks of many files with one model.

    `keys` are columns that are copied into the predictions. Intervals are made to cover the share `coverage` of
    new rows.

    Raises:
        CouldNotStartError: the model takes images, and chunks hold none.
        ValueError: `coverage` is not a valid share.
    """

    def __init__(self, model: TrainedModel, keys: Iterable[str] = (), coverage: float = COVERAGE):
        if model.encoder.image is not None:
            raise CouldNotStartError(
                "the model takes images, and the files of an inbox hold tables; "
                "predict images with torchlane.load(…).predict(rows)"
            )
        self.model = model
        self.keys = tuple(keys)
        self._coverage = require_coverage(coverage)
        self.profile = Profile.of(model)
        self._columns = model.data.feature_columns
        self._reader = ColumnReader(model, self.profile)
        self._seen = SeenRows(model)

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the columns that the model needs."""
        return tuple(self._columns)

    @property
    def nothing(self) -> Scored:
        """The result of a chunk without rows."""
        table = pa.table({name: pa.array([], pa.string()) for name in dict.fromkeys((*self.features, *self.keys))})
        return self.score(Chunk(np.empty(0, dtype=np.int64), table))

    @cached_property
    def _schema(self) -> pa.Schema:
        """The types of the model's columns, which cannot be seen from a chunk without rows."""
        described, _ = self._describe(np.zeros((1, *self.model.encoder.feature_shape), dtype=np.float32))
        return pa.Schema.from_pandas(described, preserve_index=False)

    def check_columns(self, names: list[str], remark: str = "") -> list[str]:
        """Return the columns of a file that are not declared; `remark` says why one may be missing.

        Raises:
            ValueError: a feature or key is missing.
        """
        for name in (*self.features, *self.keys):
            if name not in names:
                what = "column" if name in self._columns else "key"
                hint = hint_at_header(names) or (f"; {remark}" if remark else "")
                raise ValueError(f"{what} '{name}' is missing; its columns are {', '.join(names)}{hint}")
        declared = {*self.model.data.checked_columns, *self.keys}
        return [name for name in names if name not in declared]

    def score(self, chunk: Chunk) -> Scored:
        """Check, encode and predict; a row that breaks a rule is rejected, with the value and the rule."""
        read = self._reader.read({name: as_declared(chunk, name, column) for name, column in self._columns.items()})
        kept = np.ones(len(chunk.rows), dtype=bool)
        for column in read.values():
            if column.rules.any():
                kept &= (column.rules == "")[column.codes]
        rejected = _rejected(chunk, read, kept)
        codes = {name: column.codes if kept.all() else column.codes[kept] for name, column in read.items()}
        distinct, index = _distinct_rows(codes, {name: len(column.rules) for name, column in read.items()})
        features = np.concatenate([read[name].features[distinct[name]] for name in read], axis=1)
        described, places = self._describe(features)
        index = places if index is None else places[index]
        predicted = pa.Table.from_pandas(described, self._schema, preserve_index=False)
        counts = {name: np.bincount(read[name].bins[codes[name]], minlength=self.profile.width(name)) for name in read}
        counts[drift.PREDICTION] = self.profile.count_predictions(described["prediction"], index)
        own = {ROW: pa.array(chunk.rows[kept])}
        for key in self.keys:
            own[key] = as_written(chunk.table[key].combine_chunks(), key).filter(pa.array(kept))
        predictions = Predictions(pa.table(own), predicted, pa.array(index))
        n_rejected = len(chunk.broken) + int((~kept).sum())
        respelt = tuple(_respelling(name, column, chunk.rows) for name, column in read.items() if column.respelt)
        return Scored(len(chunk.rows) + len(chunk.broken), n_rejected, predictions, rejected, counts, respelt)

    def _describe(self, features: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        """Describe the distinct ones among encoded rows; the second result has the place of each row among them."""
        outputs, places = self._seen.outputs(torch.from_numpy(features))
        return self.model.describe(self.model.predictions_of(outputs), self._coverage), places.numpy()


def _respelling(name: str, column: ReadColumn, rows: np.ndarray) -> Respelling:
    where = np.flatnonzero(np.isin(column.codes, list(column.respelt)))
    first = where[0]
    return Respelling(name, *column.respelt[int(column.codes[first])], int(rows[first]), len(where))


def _distinct_rows(
    codes: dict[str, np.ndarray], cardinalities: dict[str, int]
) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """Return the codes of the distinct rows, and for each row the index of its distinct row.

    If there are too many combinations to number, return the codes of all rows, and None.
    """
    n_combinations = 1
    for cardinality in cardinalities.values():
        n_combinations *= max(cardinality, 1)
    if n_combinations > MAX_COMBINATIONS:
        return codes, None
    names: np.ndarray | Any = 0
    for name, each in codes.items():
        names = names * cardinalities[name] + each
    encoded = pa.array(names).dictionary_encode()
    left = encoded.dictionary.to_numpy()
    distinct = {}
    for name in reversed(codes):
        left, distinct[name] = np.divmod(left, max(cardinalities[name], 1))
    return {name: distinct[name] for name in codes}, encoded.indices.to_numpy()


def _rejected(chunk: Chunk, read: dict[str, ReadColumn], kept: np.ndarray) -> pa.Table:
    """List each broken rule: `row`, `column`, `value` as it was in the file, `rule`."""
    if not chunk.broken and kept.all():
        return NOTHING_REJECTED
    parts = [pd.DataFrame(chunk.broken, columns=[ROW, "value", "rule"]).assign(column="")]
    if not kept.all():
        for name, column in read.items():
            where = np.flatnonzero((column.rules != "")[column.codes])
            if not len(where):
                continue
            codes = column.codes[where]
            shown = as_texts(of_arrow(column.raw)).fillna("").to_numpy()[codes]
            parts.append(
                pd.DataFrame({ROW: chunk.rows[where], "column": name, "value": shown, "rule": column.rules[codes]})
            )
    table = pd.concat(parts).sort_values([ROW, "column"], kind="stable")
    columns = [pa.array(table[ROW].to_numpy(np.int64))]
    columns += [pa.array(table[name].to_list(), pa.string()) for name in REJECTED.names[1:]]
    return pa.table(columns, schema=REJECTED)
