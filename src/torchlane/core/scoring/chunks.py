"""Raw rows scored chunk by chunk; each distinct value and each distinct row is processed once.

The fewer distinct values the columns have, the less there is to read, check and encode. A prediction does not
depend on the other rows, so the results are bit-identical to those of `TrainedModel.predict`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from torchlane.core.encoding.columns import CategoryEncoder, NumberEncoder
from torchlane.core.encoding.dates import DateEncoder
from torchlane.core.encoding.images import ImageEncoder
from torchlane.core.encoding.spelling import MOST, Respelling, known_spellings
from torchlane.core.model.profile import Profile
from torchlane.core.model.trained import COVERAGE, TrainedModel
from torchlane.core.options import require_coverage
from torchlane.core.rows.alike import is_plain
from torchlane.core.rows.checking import ROW, read_column
from torchlane.core.rows.formats import as_declared
from torchlane.core.rows.raw_rows import Chunk, hint_at_header
from torchlane.core.rows.values import as_texts, as_written, of_arrow, require_single_values, unwrapped
from torchlane.core.scoring import drift
from torchlane.core.scoring.failures import CouldNotStartError

TableEncoder = CategoryEncoder | NumberEncoder | DateEncoder
MAX_COMBINATIONS = 2**62  # each distinct row is numbered by one int64


@dataclass(frozen=True)
class Scored:
    """The predictions of a chunk (`row`, keys, the model's columns), its rejected rows, and its counts for drift.

    `respelt` has the columns with unseen levels that train knows in another spelling.
    """

    rows_read: int
    rows_rejected: int
    predictions: pa.Table
    rejected: pa.Table
    counts: dict[str, np.ndarray]
    respelt: tuple[Respelling, ...] = ()


@dataclass(frozen=True)
class _Read:
    """One column, with its distinct values read, checked and encoded."""

    codes: np.ndarray  # int64 (n_rows,): index of each row's distinct value
    raw: pd.Series  # (n_values,)
    rules: np.ndarray  # object (n_values,): the rule that each value breaks, or ""
    features: np.ndarray  # float32 (n_values, width); 0 for values that break a rule
    bins: np.ndarray  # int64 (n_values,): the bin of each value in the column's profile
    respelt: dict[int, tuple[str, str]]  # index of an unseen level: the level, and its spelling in train


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
        described = self._describe(np.zeros((1, *self.model.encoder.feature_shape), dtype=np.float32))
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
        encoders = {each.name: each for each in self.model.encoder.columns if not isinstance(each, ImageEncoder)}
        read = self._read_all(chunk, encoders)
        kept = np.ones(len(chunk.rows), dtype=bool)
        for column in read.values():
            if column.rules.any():
                kept &= (column.rules == "")[column.codes]
        rejected = _rejected(chunk, read, kept)
        codes = {name: column.codes if kept.all() else column.codes[kept] for name, column in read.items()}
        distinct, index = _distinct_rows(codes, {name: len(column.rules) for name, column in read.items()})
        features = np.concatenate([read[name].features[distinct[name]] for name in read], axis=1)
        described = self._describe(features)
        predicted = pa.Table.from_pandas(described, self._schema, preserve_index=False)
        counts = {name: np.bincount(read[name].bins[codes[name]], minlength=self.profile.width(name)) for name in read}
        counts[drift.PREDICTION] = self.profile.count_predictions(described["prediction"], index)
        predicted = predicted.take(pa.array(index)) if index is not None else predicted
        columns = {ROW: pa.array(chunk.rows[kept])}
        for key in self.keys:
            columns[key] = as_written(chunk.table[key].combine_chunks(), key).filter(pa.array(kept))
        columns |= {name: predicted[name] for name in predicted.column_names}
        n_rejected = len(chunk.broken) + int((~kept).sum())
        respelt = tuple(_respelling(name, column, chunk.rows) for name, column in read.items() if column.respelt)
        return Scored(len(chunk.rows) + len(chunk.broken), n_rejected, pa.table(columns), rejected, counts, respelt)

    def _describe(self, features: np.ndarray) -> pd.DataFrame:
        return self.model.describe_predictions(torch.from_numpy(features), self._coverage)

    def _read_all(self, chunk: Chunk, encoders: Mapping[str, TableEncoder]) -> dict[str, _Read]:
        """Read the distinct values of each column, those of columns that are read alike together."""
        given = {name: _distinct(as_declared(chunk, name, self._columns[name]), name) for name in self._columns}
        alike: dict[tuple[object, ...], list[str]] = {}
        for name, (distinct, _) in given.items():
            key = (distinct.type, self._columns[name]) if is_plain(pd.ArrowDtype(distinct.type)) else (name,)
            alike.setdefault(key, []).append(name)
        read = {}
        for names in alike.values():
            together = of_arrow(pa.concat_arrays([given[name][0] for name in names]), names[0])
            typed, rules = read_column(together, self._columns[names[0]], self.model.data.missing_values)
            ends = np.cumsum([len(given[name][0]) for name in names])
            for name, end in zip(names, ends, strict=True):
                own = slice(end - len(given[name][0]), end)
                read[name] = self._read(*given[name], pd.Series(typed.array[own]), rules[own], encoders[name])
        return {name: read[name] for name in self._columns}

    def _read(
        self, distinct: pa.Array, codes: np.ndarray, typed: pd.Series, rules: np.ndarray, encoder: TableEncoder
    ) -> _Read:
        features = np.zeros((len(typed), encoder.width), dtype=np.float32)
        try:
            good = rules == ""
            features[good] = encoder.encode(typed[good])
        except ValueError:
            _reject_what_does_not_fit(typed, rules, encoder)
            good = rules == ""
            features[good] = encoder.encode(typed[good])
        bins = np.zeros(len(typed), dtype=np.int64)
        bins[good] = self.profile.bins(encoder.name, typed[good])
        respelt = {}
        if isinstance(encoder, CategoryEncoder):
            present = np.bincount(codes, minlength=len(typed)) > 0  # a file's dictionary may have values of no row
            unseen = good & (bins == self.profile.width(encoder.name) - 2)
            respelt = self._respelt(encoder, typed, unseen & present, (rules != "") & present)
        return _Read(codes, of_arrow(distinct, encoder.name), rules, features, bins, respelt)

    def _respelt(
        self, encoder: CategoryEncoder, typed: pd.Series, unseen: np.ndarray, rejected: np.ndarray
    ) -> dict[int, tuple[str, str]]:
        """Find the levels, unseen or not declared, that train knows in another spelling."""
        if self._columns[encoder.name].levels is not None:
            unseen = unseen | (rejected & typed.notna().to_numpy())
        where = np.flatnonzero(unseen)[:MOST]
        if not len(where):
            return {}
        values = typed.iloc[where].tolist()
        known = known_spellings(values, encoder.levels)
        return {int(index): (value, known[value]) for index, value in zip(where, values, strict=True) if value in known}


def _distinct(values: pa.ChunkedArray, name: str) -> tuple[pa.Array, np.ndarray]:
    """Give the distinct values of a column, and the index of each row's: int64 (n_rows,)."""
    array = unwrapped(values.combine_chunks())
    require_single_values(array.type, name)
    array = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    distinct, codes = array.dictionary, array.indices
    if codes.null_count:
        codes = codes.fill_null(len(distinct))
        distinct = pa.concat_arrays([distinct, pa.nulls(1, distinct.type)])
    return distinct, codes.to_numpy().astype(np.int64)


def _respelling(name: str, column: _Read, rows: np.ndarray) -> Respelling:
    where = np.flatnonzero(np.isin(column.codes, list(column.respelt)))
    first = where[0]
    return Respelling(name, *column.respelt[int(column.codes[first])], int(rows[first]), len(where))


def _reject_what_does_not_fit(typed: pd.Series, rules: np.ndarray, encoder: TableEncoder) -> None:
    """Mark the numbers that overflow float32 once they are scaled; they are found by bisection."""
    ranges = [np.flatnonzero(rules == "")] if encoder.kind == "number" else []
    while ranges:
        where = ranges.pop()
        try:
            encoder.encode(typed.iloc[where])
        except ValueError:
            if len(where) == 1:
                rules[where] = "a number that fits float32 when it is scaled"
            else:
                ranges += np.array_split(where, 2)


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


def _rejected(chunk: Chunk, read: dict[str, _Read], kept: np.ndarray) -> pa.Table:
    """List each broken rule: `row`, `column`, `value` as it was in the file, `rule`."""
    parts = [pd.DataFrame(chunk.broken, columns=[ROW, "value", "rule"]).assign(column="")]
    if not kept.all():
        for name, column in read.items():
            where = np.flatnonzero((column.rules != "")[column.codes])
            if not len(where):
                continue
            codes = column.codes[where]
            shown = as_texts(column.raw).fillna("").to_numpy()[codes]
            parts.append(
                pd.DataFrame({ROW: chunk.rows[where], "column": name, "value": shown, "rule": column.rules[codes]})
            )
    table = pd.concat(parts).sort_values([ROW, "column"], kind="stable")
    return pa.table(
        {
            ROW: pa.array(table[ROW].to_numpy(np.int64)),
            **{name: pa.array(table[name].to_list(), pa.string()) for name in ("column", "value", "rule")},
        }
    )
