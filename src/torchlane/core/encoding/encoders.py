"""From clean rows to float32 features and targets, and back: fitted on train alone, stored as JSON."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
import pandas as pd
import torch
from pydantic import BaseModel, ConfigDict, Field

from torchlane.core.encoding.images import ImageEncoder
from torchlane.core.options import CategoryEncoding, DataOptions, EncodingOptions, NumberEncoding, TaskName
from torchlane.core.rows.levels import natural_order, restore_labels

QUANTILES = 1001  # stored per column at most; the normal scores between them are interpolated


class _Fitted(BaseModel):
    """Statistics of train, frozen, written to JSON and read back to the same bits."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CategoryEncoder(_Fitted):
    """A category as codes or indicator columns.

    Codes follow the levels in natural order (numbers by value, text by alphabet): level i is i,
    an unseen level is `len(levels)`, a missing value `len(levels) + 1`. The last `grown` levels were
    learned later, from other rows, and stand behind these, so that no code has moved. As indicators,
    the columns of unseen and missing stand only where train has such rows (or had, for those in
    `flagged`), since otherwise nothing could train their weights; without them such a row has 0 in
    every column.
    """

    kind: Literal["category"] = "category"
    name: str
    encoding: CategoryEncoding
    levels: tuple[str, ...]
    counts: tuple[int, ...]  # rows of train a code: by level, with unseen (rare) and missing before the grown ones
    grown: int = 0
    flagged: tuple[int, ...] = ()

    @classmethod
    def fit(cls, values: pd.Series, encoding: CategoryEncoding, min_level_count: int) -> Self:
        """Learn the levels of `values` (text, NaN where missing)."""
        counts = values.value_counts()
        kept = counts[counts >= min_level_count]
        levels = natural_order(kept.index)
        rest = (int(counts.sum() - kept.sum()), int(values.isna().sum()))
        return cls(
            name=str(values.name), encoding=encoding, levels=levels, counts=(*map(int, kept[list(levels)]), *rest)
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        if self.encoding == "codes":
            return (self.name,)
        labels = (*self.levels[: self.unseen], "unseen", "missing", *self.levels[self.unseen :])
        return tuple(f"{self.name}={labels[code]}" for code in self.indicator_codes)

    @property
    def unseen(self) -> int:
        """The code of levels that train does not have; that of missing values is the next."""
        return len(self.levels) - self.grown

    @property
    def indicator_codes(self) -> list[int]:
        """The codes that have an indicator column, in order."""
        rest = (self.unseen, self.unseen + 1)
        return [
            code
            for code in range(len(self.levels) + len(rest))
            if code not in rest or self.counts[code] or code in self.flagged
        ]

    def codes(self, values: pd.Series) -> np.ndarray:
        """Map `values` to int64 codes (n_rows,)."""
        places = pd.Index(self.levels).get_indexer(pd.Index(values))
        codes = np.where(places < self.unseen, places, places + 2)
        return np.where(places >= 0, codes, self.unseen + values.isna().to_numpy())

    def grow(self, values: pd.Series, min_level_count: int) -> Self:
        """Give levels that only `values` have codes of their own, behind all others; `counts` become theirs."""
        counts = values.value_counts()
        new = natural_order(counts[counts >= min_level_count].index.difference(list(self.levels)))
        grown = self.model_copy(
            update={
                "levels": (*self.levels, *new),
                "grown": self.grown + len(new),
                "flagged": tuple(code for code in self.indicator_codes if code - self.unseen in (0, 1)),
            }
        )
        of_codes = np.bincount(grown.codes(values), minlength=len(grown.levels) + 2)
        return grown.model_copy(update={"counts": tuple(map(int, of_codes))})

    def encode(self, values: pd.Series) -> np.ndarray:
        """Map `values` to float32 (n_rows, len(feature_names))."""
        codes = self.codes(values)[:, None]
        if self.encoding == "codes":
            return codes.astype(np.float32)
        return (codes == np.array(self.indicator_codes)).astype(np.float32)


class NumberEncoder(_Fitted):
    """A number, scaled; missing values become the median, flagged where train has missing ones.

    `quantile` maps to the scores of a normal distribution through the quantiles of train, as
    scikit-learn's QuantileTransformer does with `output_distribution="normal"`, but for a lowest or
    highest value that repeats: it gets the middle of its ranks, as every other repeated value does.
    """

    kind: Literal["number"] = "number"
    name: str
    encoding: NumberEncoding
    median: float
    offset: float = 0.0  # scaled = value * factor + offset
    factor: float = 1.0
    quantiles: tuple[float, ...]
    missing: int  # rows of train
    flagged: bool

    @classmethod
    def fit(cls, values: pd.Series, encoding: NumberEncoding) -> Self:
        """Learn the scale of `values` (float64, NaN where missing).

        Raises:
            ValueError: they are so large that their statistics overflow.
        """
        known = values.dropna().to_numpy(np.float64)
        known = known if len(known) else np.zeros(1)
        factor, offset = scale_of(known, "none" if encoding == "quantile" else encoding)
        with np.errstate(over="ignore", invalid="ignore"):
            median = float(np.median(known))
            quantiles = np.quantile(known, np.linspace(0, 1, min(QUANTILES, max(len(known), 2))))
        _require_finite([factor, offset, median, *quantiles], str(values.name))
        return cls(
            name=str(values.name),
            encoding=encoding,
            median=median,
            factor=factor,
            offset=offset,
            quantiles=tuple(quantiles.tolist()),
            missing=int(values.isna().sum()),
            flagged=bool(values.isna().any()),
        )

    def grow(self, values: pd.Series, rescale: bool) -> Self:
        """Take `values` for those of train, on the same scale unless `rescale`; missing ones are flagged from now on.

        The quantiles, where they are not the scale, become those of `values`, for comparison with later rows.
        """
        fitted = type(self).fit(values, self.encoding)
        flagged = self.flagged or fitted.flagged
        if rescale:
            return fitted.model_copy(update={"flagged": flagged})
        changes = {"flagged": flagged, "missing": fitted.missing}
        return self.model_copy(
            update=changes if self.encoding == "quantile" else {**changes, "quantiles": fitted.quantiles}
        )

    @property
    def feature_names(self) -> tuple[str, ...]:
        return (self.name, f"{self.name}=missing") if self.flagged else (self.name,)

    def encode(self, values: pd.Series) -> np.ndarray:
        """Map `values` to float32 (n_rows, len(feature_names)).

        Raises:
            ValueError: a scaled value does not fit float32.
        """
        known = values.fillna(self.median).to_numpy(np.float64)
        if self.encoding == "quantile":
            scaled = _normal_scores(known, np.array(self.quantiles))
        else:
            scaled = _scaled(known, self.factor, self.offset)
        scaled = _to_float32(scaled, self.name)
        columns = (scaled, values.isna().to_numpy()) if self.flagged else (scaled,)
        return np.column_stack(columns).astype(np.float32)


class TargetEncoder(_Fitted):
    """What the loss compares with: a scaled number, or the index of a label."""

    name: str
    task: TaskName
    factor: float = 1.0
    offset: float = 0.0
    labels: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()  # rows of train a label

    @classmethod
    def fit(cls, values: pd.Series, task: TaskName, scaling: Literal["none", "min_max", "z_score"]) -> Self:
        """Learn scale or labels.

        Raises:
            ValueError: train holds fewer labels than the task needs, or more, or its numbers are so
                large that their scale cannot be undone.
        """
        name = str(values.name)
        if task == "regression":
            factor, offset = scale_of(values.to_numpy(np.float64), scaling)
            _require_finite([offset, 1 / factor if factor else np.inf], name)
            return cls(name=name, task=task, factor=factor, offset=offset)
        labels = natural_order(values.unique())
        if len(labels) < 2 or (task == "binary" and len(labels) > 2):
            needed = "exactly 2" if task == "binary" else "at least 2"
            raise ValueError(
                f"a {task} task needs {needed} labels in train; '{name}' has {len(labels)}: "
                f"{', '.join(labels)}; set data.task or data.target, or give more rows"
            )
        counts = values.value_counts()[list(labels)]
        return cls(name=name, task=task, labels=labels, counts=tuple(map(int, counts)))

    def encode(self, values: pd.Series) -> np.ndarray:
        """Map raw targets to float32 (n_rows, 1) for regression and binary, int64 (n_rows,) for multiclass.

        Raises:
            ValueError: a label that train does not have, or a scaled number that does not fit float32.
        """
        if self.task == "regression":
            return _to_float32(_scaled(values.to_numpy(np.float64), self.factor, self.offset), self.name)[:, None]
        index = self.label_index(values)
        return index.astype(np.float32)[:, None] if self.task == "binary" else index

    def label_index(self, values: pd.Series) -> np.ndarray:
        """Give the place of each label among `labels`: int64 (n_rows,)."""
        index = pd.Index(self.labels).get_indexer(pd.Index(values))
        if (index < 0).any():
            unseen = natural_order(values[index < 0].unique())
            raise ValueError(
                f"label {', '.join(unseen)} of '{self.name}' stands in valid or test but not in train; "
                f"give more rows of it, or set another split.seed"
            )
        return index

    def restore(self, labels: Iterable[str]) -> np.ndarray:
        """Give labels the type that they had in the file; see `restore_labels`."""
        return restore_labels(labels, self.labels)

    def decode(self, scaled: torch.Tensor) -> torch.Tensor:
        """Undo the scaling of a regression target, in float64 and any shape."""
        return (scaled.double() - self.offset) / self.factor


class Encoder(_Fitted):
    """All that turns clean rows into tensors: the features in order, then the target."""

    columns: tuple[Annotated[CategoryEncoder | NumberEncoder | ImageEncoder, Field(discriminator="kind")], ...]
    target: TargetEncoder

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name a column of the feature matrix."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @property
    def image(self) -> ImageEncoder | None:
        """The encoder of the image, where the features are one."""
        (first, *_) = self.columns
        return first if isinstance(first, ImageEncoder) else None

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape of one row's features: (n_features,), or (channels, height, width)."""
        return (len(self.feature_names),) if self.image is None else self.image.size

    @property
    def code_counts(self) -> dict[int, int]:
        """How many codes there are in each feature that holds codes, by its place."""
        places = np.cumsum([0, *(len(column.feature_names) for column in self.columns)])
        return {
            int(place): len(column.levels) + 2
            for place, column in zip(places, self.columns, strict=False)
            if isinstance(column, CategoryEncoder) and column.encoding == "codes"
        }

    def encode_features(self, rows: pd.DataFrame) -> np.ndarray:
        """Encode clean rows: float32 (n_rows, n_features), or images as uint8 (n_rows, channels, height, width)."""
        if self.image is not None:
            return self.image.encode(rows[self.image.name])
        return np.concatenate([column.encode(rows[column.name]) for column in self.columns], axis=1)


def fit_encoder(train_rows: pd.DataFrame, data: DataOptions, options: EncodingOptions) -> Encoder:
    """Learn levels, scales and labels from the rows of train.

    Raises:
        ValueError: an encoding is set for a column that is no feature, or does not fit its kind.
    """
    _check_column_encodings(options.columns, data)
    encodings: dict[str, Any] = dict(options.columns)
    columns: list[CategoryEncoder | NumberEncoder | ImageEncoder] = []
    for name, column in data.feature_columns.items():
        values = train_rows[name]
        if column.kind == "category":
            encoding = encodings.get(name, options.categories)
            columns.append(CategoryEncoder.fit(values, encoding, options.min_level_count))
        elif column.size is not None:
            columns.append(ImageEncoder.fit(values, column.size, options.pixels))
        else:
            columns.append(NumberEncoder.fit(values, encodings.get(name, options.numbers)))
    target = TargetEncoder.fit(train_rows[data.target], data.task, options.target)
    return Encoder(columns=tuple(columns), target=target)


def scale_of(values: np.ndarray, scaling: str) -> tuple[float, float]:
    """Give factor and offset of `value * factor + offset`, as scikit-learn's scalers define them."""
    if scaling == "none":
        return 1.0, 0.0
    limits = np.finfo(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        low, spread = (values.min(), np.ptp(values)) if scaling == "min_max" else (values.mean(), values.std())
        factor = 1.0 / spread if spread > max(10 * limits.eps * abs(low), limits.tiny) else 1.0
        return float(factor), float(-low * factor)


def _scaled(values: np.ndarray, factor: float, offset: float) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return values * factor + offset


def _to_float32(values: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = values.astype(np.float32)
    _require_finite(rounded, name)
    return rounded


def _require_finite(values: np.ndarray | list[float], name: str) -> None:
    if not np.isfinite(values).all():
        raise ValueError(
            f"'{name}' holds numbers too large or too far apart for float32; "
            f"set minimum and maximum in data.columns.{name}"
        )


def _normal_scores(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    levels = np.linspace(0, 1, len(quantiles))
    # Repeated values have many levels: take the middle between the lowest and the highest.
    lower = np.interp(values, quantiles, levels)
    upper = -np.interp(-values, -quantiles[::-1], -levels[::-1])
    share = torch.from_numpy(np.clip((lower + upper) / 2, 1e-7, 1 - 1e-7))
    return torch.special.ndtri(share).numpy()


def _check_column_encodings(encodings: Mapping[str, str], data: DataOptions) -> None:
    fitting = {"category": get_args(CategoryEncoding), "number": get_args(NumberEncoding)}
    for name, encoding in encodings.items():
        if name not in data.feature_columns:
            raise ValueError(
                f"encoding.columns names '{name}', which is no feature; "
                f"the features are {', '.join(data.feature_columns)}"
            )
        choices = fitting.get(data.feature_columns[name].kind, ())
        if encoding not in choices:
            raise ValueError(
                f"encoding.columns: '{encoding}' does not fit column '{name}'; "
                + (f"choose one of {', '.join(choices)}" if choices else "images have encoding.pixels")
            )
