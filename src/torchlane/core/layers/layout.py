"""From which columns of encoded rows the features of a network come."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

NUMBER = -1  # in place of a code: the feature is the column itself


@dataclass(frozen=True, eq=False)
class Layout:
    """What each feature of a network comes from: a column of numbers, or a code in a column of codes.

    Feature i is column `columns[i]` of the encoded rows (n_rows, n_columns) if `codes[i]` is `NUMBER`. Otherwise it
    is 1 where the column holds that code, and 0 elsewhere. Both are int64 (n_features,). `n_codes` has the number
    of codes of each column that holds codes; a code may have no feature. `embedded` has the number of codes of
    columns that the network embeds itself; they have no features. `measured` has the columns of measured numbers,
    which are neither codes nor flags, int64 (n_measured,).
    """

    n_columns: int
    columns: np.ndarray
    codes: np.ndarray
    n_codes: Mapping[int, int]
    embedded: Mapping[int, int] = field(default_factory=dict)
    measured: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def n_features(self) -> int:
        return len(self.columns)

    @property
    def indicating(self) -> np.ndarray:
        """Whether each feature indicates a code: bool (n_features,)."""
        return self.codes != NUMBER

    @property
    def n_indicators(self) -> int:
        return int(self.indicating.sum())

    @property
    def is_plain(self) -> bool:
        """Whether the features are the columns."""
        return not self.n_codes and not self.embedded

    @property
    def numbers(self) -> np.ndarray:
        """The columns of numbers, and their features: int64 (2, n_numbers)."""
        features = np.flatnonzero(~self.indicating)
        return np.stack([self.columns[features], features])

    @property
    def coded(self) -> np.ndarray:
        """The columns of codes that have features: int64 (n_coded,)."""
        return np.unique(self.columns[self.indicating])

    @property
    def of_measured(self) -> np.ndarray:
        """Whether each feature is a measured number: bool (n_features,)."""
        return np.isin(self.columns, self.measured)

    @property
    def others(self) -> np.ndarray:
        """The columns that hold no measured number: int64 (n_others,)."""
        return np.setdiff1d(np.arange(self.n_columns), self.measured)

    def widened(self, width: int) -> "Layout":
        """Give the layout of rows in which each measured number is replaced by `width` numbers, behind all others."""
        others, n_new = self.others, len(self.measured) * width
        places = np.full(self.n_columns, NUMBER)
        places[others] = np.arange(len(others))
        kept = ~self.of_measured
        return Layout(
            len(others) + n_new,
            np.concatenate([places[self.columns[kept]], len(others) + np.arange(n_new)]),
            np.concatenate([self.codes[kept], np.full(n_new, NUMBER)]),
            {int(places[column]): n_codes for column, n_codes in self.n_codes.items()},
            {int(places[column]): n_codes for column, n_codes in self.embedded.items()},
        )

    def part(self, n_columns: int) -> "Layout":
        """Give the layout of the first columns alone; no later one may hold codes."""
        kept = self.columns < n_columns
        return Layout(n_columns, self.columns[kept], self.codes[kept], self.n_codes, self.embedded)

    @property
    def digest(self) -> str:
        """The SHA-256 of everything that it says of features."""
        digest = hashlib.sha256(
            repr([self.n_columns, sorted(self.n_codes.items()), sorted(self.embedded.items())]).encode()
        )
        for array in (self.columns, self.codes):
            digest.update(np.ascontiguousarray(array, dtype=np.int64).data.cast("B") if len(array) else b";")
        return digest.hexdigest()

    def lookup(self, places: np.ndarray, nowhere: int) -> tuple[np.ndarray, np.ndarray]:
        """Make a table from codes to the places of their features, given `places` of all features (n_features,).

        It is int64 (n_codes of all columns together,), with `nowhere` for codes without a feature. The second
        result has the start of each column of `coded` in it.
        """
        sizes = [self.n_codes[int(column)] for column in self.coded]
        starts = np.cumsum([0, *sizes], dtype=np.int64)
        table = np.full(starts[-1], nowhere, dtype=np.int64)
        columns = np.searchsorted(self.coded, self.columns[self.indicating])
        table[starts[columns] + self.codes[self.indicating]] = places[self.indicating]
        return table, starts[:-1]
