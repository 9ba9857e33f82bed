"""Columns of raw values, of which each distinct value is read, checked and encoded once, over many chunks."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import TableEncoder
from torchlane.core.encoding.spelling import MOST, known_spellings
from torchlane.core.model.profile import Profile
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import ColumnOptions
from torchlane.core.rows.alike import is_plain
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
    """Reads the columns of many chunks; several threads may use it, one at a time.

    Texts that were read before are not read again, as long as a column has at most `MOST_REMEMBERED` of them. Columns
    with equal options are read in one call, since a call takes longer than a value.
    """

    def __init__(self, model: TrainedModel, profile: Profile):
        self._data = model.data
        self._columns = {
            column.name: _Column(column, model.data.feature_columns[column.name], profile)
            for column in model.encoder.tabular
        }
        self._lock = threading.Lock()

    def read(self, given: Mapping[str, pa.ChunkedArray]) -> dict[str, ReadColumn]:
        """Read the columns of a chunk, by name.

        Raises:
            ValueError: one holds lists, structs or maps.
        """
        distinct = {name: _distinct(values, name) for name, values in given.items()}
        with self._lock:
            unread = {name: self._columns[name].unread(values) for name, (values, _) in distinct.items()}
            read = self._read_alike({name: values for name, values in unread.items() if values is not None})
            return {name: self._columns[name].take(*distinct[name], *read.get(name, ())) for name in given}

    def _read_alike(self, values: Mapping[str, pa.Array]) -> dict[str, tuple[pd.Series, np.ndarray]]:
        """Read values, joined where columns are read alike: typed values, and the rule that each one breaks."""
        alike: dict[tuple[object, ...], list[str]] = {}
        for name, array in values.items():
            options = self._data.feature_columns[name]
            key = (array.type, options) if is_plain(pd.ArrowDtype(array.type)) else (name,)
            alike.setdefault(key, []).append(name)
        read = {}
        for names in alike.values():
            together = of_arrow(pa.concat_arrays([values[name] for name in names]), names[0])
            options = self._data.feature_columns[names[0]]
            typed, rules = read_column(together, options, self._data.missing_values)
            ends = np.cumsum([len(values[name]) for name in names])
            for name, end in zip(names, ends, strict=True):
                own = slice(end - len(values[name]), end)
                read[name] = pd.Series(typed.array[own]), rules[own]
        return read


class _Column:
    """One column, and what is known about its texts."""

    def __init__(self, encoder: TableEncoder, options: ColumnOptions, profile: Profile):
        self._encoder, self._options, self._profile = encoder, options, profile
        self._places: dict[str | None, int] = {}
        self._known: _Values | None = None

    def unread(self, distinct: pa.Array) -> pa.Array | None:
        """Give the values that are to be read: those texts that are not known, or all other values; None if all are."""
        if not _is_remembered(distinct):
            return distinct
        texts = list(dict.fromkeys(distinct.to_pylist()))  # a file's dictionary may repeat a text
        new = [text for text in texts if text not in self._places]
        if len(self._places) + len(new) > MOST_REMEMBERED:
            self._places, self._known, new = {}, None, texts
        return pa.array(new, pa.string()) if new or self._known is None else None

    def take(self, distinct: pa.Array, codes: np.ndarray, *read: Any) -> ReadColumn:
        """Give a column of distinct values, of which the unread ones, if there were any, have now been `read`."""
        if not _is_remembered(distinct):
            known = self._values(distinct, *read)
        else:
            texts = distinct.to_pylist()
            if read:
                new = [text for text in dict.fromkeys(texts) if text not in self._places]
                more = self._values(pa.array(new, pa.string()), *read)
                start = len(self._places)
                self._known = more if self._known is None else self._known + more
                self._places |= {text: start + index for index, text in enumerate(new)}
            assert self._known is not None
            known = self._known
            codes = np.array([self._places[text] for text in texts], dtype=np.int64)[codes]
        respelt = known.respelt
        if respelt:  # a file's dictionary may have values that no row has
            present = np.bincount(codes, minlength=len(known.rules)) > 0
            respelt = {index: found for index, found in respelt.items() if present[index]}
        return ReadColumn(codes, known.raw, known.rules, known.features, known.bins, respelt)

    def _values(self, raw: pa.Array, typed: pd.Series, rules: np.ndarray) -> _Values:
        features = np.zeros((len(typed), self._encoder.width), dtype=np.float32)
        good = rules == ""
        try:
            features[good] = self._encoder.encode(typed[good])
        except ValueError:
            _reject_what_does_not_fit(typed, rules, self._encoder)
            good = rules == ""
            features[good] = self._encoder.encode(typed[good])
        bins = np.zeros(len(good), dtype=np.int64)
        bins[good] = self._profile.bins(self._encoder.name, typed[good])
        unseen = good & (bins == self._profile.width(self._encoder.name) - 2)
        return _Values(raw, rules, features, bins, self._respelt(typed, unseen, rules != ""))

    def _respelt(self, typed: pd.Series, unseen: np.ndarray, rejected: np.ndarray) -> dict[int, tuple[str, str]]:
        """Find the levels, unseen or not declared, that train knows in another spelling."""
        if not isinstance(self._encoder, CategoryEncoder):
            return {}
        if self._options.levels is not None:
            unseen = unseen | (rejected & typed.notna().to_numpy())
        where = np.flatnonzero(unseen)[:MOST]
        if not len(where):
            return {}
        values = typed.iloc[where].tolist()
        known = known_spellings(values, self._encoder.levels)
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


def _is_remembered(distinct: pa.Array) -> bool:
    is_text = pa.types.is_string(distinct.type) or pa.types.is_large_string(distinct.type)
    return is_text and len(distinct) <= MOST_REMEMBERED


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
