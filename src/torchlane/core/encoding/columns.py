"""The encoders of a table's columns: categories and numbers."""

from collections.abc import Iterator, Sequence
from typing import Literal, Self

import numpy as np
import pandas as pd

from torchlane.core.encoding.fitted import Fitted
from torchlane.core.encoding.scales import apply_scale, normal_scores, require_finite, scale_of, to_float32
from torchlane.core.options import CategoryEncoding, NumberEncoding
from torchlane.core.rows.levels import declared_order, natural_order

MOST_CODES = 1 << 24  # float32 counts so far without gaps
QUANTILES = 101  # of a column at most, against which drift is measured
SCALE_QUANTILES = 1001  # where they are the scale too; the normal scores between them are interpolated
JOINED = 1_000_000  # values of several columns that are sorted at once


class CategoryEncoder(Fitted):
    """A category, encoded as integer codes; `encoding` says what a network makes of them.

    Levels are in natural order: numbers by value, text alphabetically. If the encoding is not `one_hot`, codes of a
    column with declared levels follow their order instead, and count all of them, whether or not train has them: the
    scale says where a level stands. Level i has code i, an unseen level `len(levels)`, and a missing value
    `len(levels) + 1`. Fine-tuning appends `grown` levels from other rows after these two codes, so that no earlier
    code changes.

    For a network, each level is a feature that is 1 or 0, unless it embeds those that are encoded as `codes`; only
    `ordinal` codes are numbers. Unseen and missing have a feature only if train has such rows (or if an earlier train
    did: `flagged`), because its weights could not be trained otherwise. Without it, such a row has 0 in every feature.
    """

    kind: Literal["category"] = "category"
    name: str
    encoding: CategoryEncoding
    levels: tuple[str, ...]
    counts: tuple[int, ...]  # rows of train per code; those of an unseen level are its rare ones
    grown: int = 0
    flagged: tuple[int, ...] = ()

    @classmethod
    def fit(
        cls, values: pd.Series, encoding: CategoryEncoding, min_level_count: int, order: tuple[str, ...] = ()
    ) -> Self:
        """Learn the levels from `values` (text, NaN where missing); `order` has the declared ones.

        Raises:
            ValueError: there are more levels than float32 can count.
        """
        counts = values.value_counts()
        if encoding != "one_hot" and order:
            levels, kept = order, counts.reindex(list(order), fill_value=0)
        else:
            kept = counts[counts >= min_level_count]
            levels = natural_order(kept.index)
        rest = (int(counts.sum() - kept.sum()), int(values.isna().sum()))
        if len(levels) + len(rest) > MOST_CODES:
            raise ValueError(
                f"'{values.name}' has {len(levels):,} levels, and a category may have {MOST_CODES - 2:,}; "
                f"leave it out, or raise encoding.min_level_count, so that rare levels share a code"
            )
        return cls(
            name=str(values.name), encoding=encoding, levels=levels, counts=(*map(int, kept[list(levels)]), *rest)
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        if self.encoding == "ordinal":
            return (self.name,)
        labels = (*self.levels[: self.unseen], "unseen", "missing", *self.levels[self.unseen :])
        return tuple(f"{self.name}={labels[code]}" for code in self.indicator_codes)

    @property
    def unseen(self) -> int:
        """The code of unseen levels. The next code is that of missing values."""
        return len(self.levels) - self.grown

    @property
    def indicator_codes(self) -> list[int]:
        """The codes that have a feature of their own, in order; none have if the codes are numbers."""
        rest = (self.unseen, self.unseen + 1)
        return [
            code
            for code in range(self.n_codes if self.encoding != "ordinal" else 0)
            if code not in rest or self.counts[code] or code in self.flagged
        ]

    def codes(self, values: pd.Series) -> np.ndarray:
        """Map `values` to int64 codes (n_rows,)."""
        found = pd.Index(self.levels).get_indexer(pd.Index(values))
        codes = np.where(found < self.unseen, found, found + 2)
        return np.where(found >= 0, codes, self.unseen + values.isna().to_numpy())

    def grow(self, values: pd.Series, min_level_count: int, order: tuple[str, ...] = ()) -> Self:
        """Append codes for levels that occur only in `values`, and replace the counts by those of `values`."""
        counts = values.value_counts()
        new = declared_order(counts[counts >= min_level_count].index.difference(list(self.levels)), order)
        grown = self.model_copy(
            update={
                "levels": (*self.levels, *new),
                "grown": self.grown + len(new),
                "flagged": tuple(code for code in self.indicator_codes if code - self.unseen in (0, 1)),
            }
        )
        of_codes = np.bincount(grown.codes(values), minlength=len(grown.levels) + 2)
        return grown.model_copy(update={"counts": tuple(map(int, of_codes))})

    @property
    def n_codes(self) -> int:
        return len(self.levels) + 2

    @property
    def width(self) -> int:
        """The number of columns of encoded rows."""
        return 1

    @property
    def measured(self) -> tuple[int, ...]:
        """The columns, among its own, of measured numbers: none, since a code stands for a level."""
        return ()

    def encode(self, values: pd.Series) -> np.ndarray:
        """Map `values` to their codes: float32 (n_rows, 1)."""
        return self.codes(values)[:, None].astype(np.float32)


class NumberEncoder(Fitted):
    """A number, scaled. Missing values are replaced by the median.

    A second column flags missing values if train has any. `quantile` maps values to normal scores through
    the quantiles of train, as scikit-learn's QuantileTransformer does with `output_distribution="normal"`.
    The one difference: a repeated lowest or highest value gets the middle of its ranks, like any other
    repeated value.
    """

    kind: Literal["number"] = "number"
    name: str
    encoding: NumberEncoding
    median: float
    offset: float = 0.0  # scaled = value * factor + offset
    factor: float = 1.0
    quantiles: tuple[float, ...]
    missing: int  # rows of train without a value
    flagged: bool  # whether there is a column for missing values

    @classmethod
    def fit(cls, values: pd.Series, encoding: NumberEncoding) -> Self:
        """Learn the scale of `values` (float64, NaN where missing).

        Raises:
            ValueError: the values are so large that their statistics overflow.
        """
        (fitted,) = cls.fit_all([values], encoding)
        return fitted

    @classmethod
    def fit_all(cls, columns: Sequence[pd.Series], encoding: NumberEncoding) -> list[Self]:
        """Learn the scales of several columns, each as `fit` does: those with as many known values at once.

        Raises:
            ValueError: as for `fit`.
        """
        by_size: dict[int, list[int]] = {}
        for index, values in enumerate(columns):
            by_size.setdefault(int(values.count()), []).append(index)
        fitted: dict[int, Self] = {}
        for size, indices in by_size.items():
            step = max(1, JOINED // max(1, size))
            for some in (indices[start : start + step] for start in range(0, len(indices), step)):
                fitted |= zip(some, cls._fit_block([columns[index] for index in some], encoding), strict=True)
        return [fitted[index] for index in range(len(columns))]

    @classmethod
    def _fit_block(cls, columns: Sequence[pd.Series], encoding: NumberEncoding) -> Iterator[Self]:
        """Learn the scales of columns that have the same number of known values."""
        known = np.stack([each[~np.isnan(each)] for each in (values.to_numpy(np.float64) for values in columns)])
        known = known if known.shape[1] else np.zeros((len(columns), 1))
        factors, offsets = scale_of(known, "none" if encoding == "quantile" else encoding)
        most = SCALE_QUANTILES if encoding == "quantile" else QUANTILES
        with np.errstate(over="ignore", invalid="ignore"):
            known = np.sort(known, axis=-1)
            medians = np.median(known, axis=-1)
            quantiles = np.quantile(known, np.linspace(0, 1, min(most, max(known.shape[1], 2))), axis=-1).T
        for values, factor, offset, median, own in zip(columns, factors, offsets, medians, quantiles, strict=True):
            require_finite([factor, offset, median, *own], str(values.name))
            missing = len(values) - int(values.count())
            yield cls(
                name=str(values.name),
                encoding=encoding,
                median=float(median),
                factor=float(factor),
                offset=float(offset),
                quantiles=tuple(own.tolist()),
                missing=missing,
                flagged=missing > 0,
            )

    def grow(self, values: pd.Series, rescale: bool) -> Self:
        """Replace the statistics of train by those of `values`, but keep the scale unless `rescale` is set.

        Missing values get a column if `values` have any. If all are missing, the scale is kept. The quantiles are
        kept only where they are the scale; otherwise they are replaced too, since drift of later rows is measured
        against them.
        """
        fitted = type(self).fit(values, self.encoding)
        flagged = self.flagged or fitted.flagged
        if rescale and values.notna().any():
            return fitted.model_copy(update={"flagged": flagged})
        changes = {"flagged": flagged, "missing": fitted.missing}
        return self.model_copy(
            update=changes if self.encoding == "quantile" else {**changes, "quantiles": fitted.quantiles}
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}=missing") if self.flagged else (self.name,)

    @property
    def width(self) -> int:
        """The number of columns of encoded rows."""
        return len(self.feature_names)

    @property
    def measured(self) -> tuple[int, ...]:
        """The columns, among its own, of measured numbers."""
        return (0,)

    def encode(self, values: pd.Series) -> np.ndarray:
        """Map `values` to float32 (n_rows, len(feature_names)).

        Raises:
            ValueError: a scaled value does not fit float32.
        """
        given = values.to_numpy(np.float64)
        missing = np.isnan(given)
        known = np.where(missing, self.median, given)
        if self.encoding == "quantile":
            scaled = normal_scores(known, np.array(self.quantiles))
        else:
            scaled = apply_scale(known, self.factor, self.offset)
        scaled = to_float32(scaled, self.name)
        columns = (scaled, missing) if self.flagged else (scaled,)
        return np.column_stack(columns).astype(np.float32)
