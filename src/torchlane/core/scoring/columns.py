"""Columns of raw values, of which each distinct value is read, checked and encoded once, over many chunks."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import Encoder, TableEncoder
from torchlane.core.encoding.spelling import MOST, known_spellings
from torchlane.core.model.profile import Profile
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import ColumnOptions
from torchlane.core.rows.checking import read_column
from torchlane.core.rows.values import of_arrow, require_single_values, unwrapped

MOST_REMEMBERED = 4096  # values of a column


@dataclass(frozen=True)
class ReadColumn:
    """One column, with distinct values read, checked and encoded; some of them may be in no row."""

    codes: np.ndarray  # int64 (n_rows,): index of each row's distinct value
    raw: pa.Array  # (n_values,)
    rules: np.ndarray  # object (n_values,): the rule that each value breaks, or ""
    features: np.ndarray  # (n_values, width); 0 for values that break a rule
    bins: np.ndarray  # int64 (n_values,): the bin of each value in the column's profile
    respelt: dict[int, tuple[str, str]]  # index of an unseen level in a row: the level, and its spelling in train


@dataclass(frozen=True)
class _Values:
    """What `ReadColumn` says of distinct values."""

    raw: pa.Array
    rules: np.ndarray
    features: np.ndarray
    bins: np.ndarray
    respelt: dict[int, tuple[str, str]] = field(default_factory=dict)

    def __add__(self, other: "_Values") -> "_Values":
        later = {len(self.rules) + index: found for index, found in other.respelt.items()}
        return _Values(
            raw=pa.concat_arrays([self.raw, other.raw]),
            rules=np.concatenate([self.rules, other.rules]),
            features=np.concatenate([self.features, other.features]),
            bins=np.concatenate([self.bins, other.bins]),
            respelt=self.respelt | later,
        )


class ColumnReader:
    """Reads one column of many chunks; several threads may use it at once.

    Texts that were read before are not read again, as long as there are at most `MOST_REMEMBERED` of them.
    """

    def __init__(
        self,
        encoder: Encoder,
        column: TableEncoder,
        options: ColumnOptions,
        missing_values: tuple[str, ...],
        profile: Profile,
    ):
        self._encoder = encoder.model_copy(update={"columns": (column,)})
        self._column, self._options = column, options
        self._missing_values, self._profile = missing_values, profile
        self._lock = threading.Lock()
        self._places: dict[str | None, int] = {}
        self._known: _Values | None = None

    def read(self, values: pa.ChunkedArray) -> ReadColumn:
        """Read a column of a chunk.

        Raises:
            ValueError: it holds lists, structs or maps.
        """
        array = unwrapped(values.combine_chunks())
        require_single_values(array.type, self._column.name)
        array = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
        distinct, codes = array.dictionary, array.indices
        if codes.null_count:
            codes = codes.fill_null(len(distinct))
            distinct = pa.concat_arrays([distinct, pa.nulls(1, distinct.type)])
        numbers = codes.to_numpy().astype(np.int64)
        is_text = pa.types.is_string(distinct.type) or pa.types.is_large_string(distinct.type)
        if is_text and len(distinct) <= MOST_REMEMBERED:
            known, places = self._remember(distinct.to_pylist())
            numbers = places[numbers]
        else:
            known = self._read(distinct)
        respelt = known.respelt
        if respelt:  # a file's dictionary may have values that no row has
            present = np.bincount(numbers, minlength=len(known.rules)) > 0
            respelt = {index: found for index, found in respelt.items() if present[index]}
        return ReadColumn(numbers, known.raw, known.rules, known.features, known.bins, respelt)

    def _remember(self, texts: Sequence[str | None]) -> tuple[_Values, np.ndarray]:
        """Give what is known about texts and others, and the place of each text there, int64 (n_texts,)."""
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text not in self._places]
            if len(self._places) + len(new) > MOST_REMEMBERED:
                self._places, self._known, new = {}, None, [*dict.fromkeys(texts)]
            if new or self._known is None:
                more = self._read(pa.array(new, pa.string()))
                start = len(self._places)
                self._known = more if self._known is None else self._known + more
                self._places |= {text: start + index for index, text in enumerate(new)}
            return self._known, np.array([self._places[text] for text in texts], dtype=np.int64)

    def _read(self, distinct: pa.Array) -> _Values:
        typed, rules = read_column(of_arrow(distinct, self._column.name), self._options, self._missing_values)
        _reject_what_does_not_fit(typed, rules, self._column)
        good = rules == ""
        encoded = self._encoder.encode_features(pd.DataFrame({self._column.name: typed[good]}))
        features = np.zeros((len(good), *encoded.shape[1:]), dtype=encoded.dtype)
        features[good] = encoded
        bins = np.zeros(len(good), dtype=np.int64)
        bins[good] = self._profile.bins(self._column.name, typed[good])
        unseen = good & (bins == self._profile.width(self._column.name) - 2)
        return _Values(distinct, rules, features, bins, self._respelt(typed, unseen, rules != ""))

    def _respelt(self, typed: pd.Series, unseen: np.ndarray, rejected: np.ndarray) -> dict[int, tuple[str, str]]:
        """Find the levels, unseen or not declared, that train knows in another spelling."""
        if not isinstance(self._column, CategoryEncoder):
            return {}
        if self._options.levels is not None:
            unseen = unseen | (rejected & typed.notna().to_numpy())
        where = np.flatnonzero(unseen)[:MOST]
        if not len(where):
            return {}
        values = typed.iloc[where].tolist()
        known = known_spellings(values, self._column.levels)
        return {int(index): (value, known[value]) for index, value in zip(where, values, strict=True) if value in known}


def readers_of(model: TrainedModel, profile: Profile) -> dict[str, ColumnReader]:
    """Make a reader for each column of a table that a model takes."""
    data = model.data
    return {
        column.name: ColumnReader(
            model.encoder, column, data.feature_columns[column.name], data.missing_values, profile
        )
        for column in model.encoder.tabular
    }


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
