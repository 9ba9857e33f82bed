"""The encoder of a use case: clean rows to features and targets, fitted on train alone."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

import numpy as np
import pandas as pd
from pydantic import Field

from torchlane.core.encoding.columns import CategoryEncoder, NumberEncoder
from torchlane.core.encoding.dates import DateEncoder
from torchlane.core.encoding.fitted import Fitted
from torchlane.core.encoding.images import ImageEncoder
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.layers.layout import NUMBER, Layout
from torchlane.core.options import CategoryEncoding, DataOptions, EncodingOptions, NumberEncoding
from torchlane.core.options.base import is_none
from torchlane.core.rows.checking import SPELLINGS

TableEncoder = CategoryEncoder | NumberEncoder | DateEncoder
ColumnEncoder = TableEncoder | ImageEncoder


class Encoder(Fitted):
    """The encoders of all feature columns, in order, and of the target, and the name of the column of weights."""

    columns: tuple[Annotated[ColumnEncoder, Field(discriminator="kind")], ...]
    target: TargetEncoder
    weight: str | None = Field(default=None, exclude_if=is_none)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The name of each feature of a network; see `layout`."""
        return tuple(name for column in self.columns for name in column.feature_names)

    @property
    def image(self) -> ImageEncoder | None:
        """The encoder of the image, or None if the features are a table."""
        (first, *_) = self.columns
        return first if isinstance(first, ImageEncoder) else None

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """The shape of an encoded row: (n_columns,), or (channels, height, width)."""
        return (sum(column.width for column in self.tabular),) if self.image is None else self.image.size

    @property
    def tabular(self) -> tuple[TableEncoder, ...]:
        """The columns of a table; none if there is an image."""
        return tuple(column for column in self.columns if not isinstance(column, ImageEncoder))

    @property
    def measured_names(self) -> tuple[str, ...]:
        """The name of each measured number, in the order of their columns."""
        return tuple(column.feature_names[place] for column in self.tabular for place in column.measured)

    def layout(self, *, embeds: bool = False) -> Layout:
        """Say which features a network makes of an encoded row.

        Each level of a category is a feature, unless its codes are numbers (`ordinal`) or the network `embeds` those
        that are encoded as `codes`.
        """
        columns: list[np.ndarray] = []
        codes: list[np.ndarray] = []
        n_codes: dict[int, int] = {}
        embedded: dict[int, int] = {}
        measured: list[int] = []
        start = 0
        for column in self.tabular:
            measured += [start + place for place in column.measured]
            if not isinstance(column, CategoryEncoder) or column.encoding == "ordinal":
                columns.append(np.arange(start, start + column.width))
                codes.append(np.full(column.width, NUMBER))
            elif embeds and column.encoding == "codes":
                embedded[start] = column.n_codes
            else:
                codes.append(np.array(column.indicator_codes))
                columns.append(np.full(len(codes[-1]), start))
                n_codes[start] = column.n_codes
            start += column.width
        nothing = np.zeros(0, dtype=np.int64)
        of_features = np.concatenate([nothing, *columns]), np.concatenate([nothing, *codes])
        return Layout(start, *of_features, n_codes, embedded, np.array(measured, dtype=np.int64))

    def encode_features(self, rows: pd.DataFrame) -> np.ndarray:
        """Encode clean rows: float32 (n_rows, n_columns), or images as uint8 (n_rows, channels, height, width)."""
        if self.image is not None:
            return self.image.encode(rows[self.image.name])
        return np.concatenate([column.encode(rows[column.name]) for column in self.columns], axis=1)


def fit_encoder(train_rows: pd.DataFrame, data: DataOptions, options: EncodingOptions) -> Encoder:
    """Fit the encoders of all columns to the rows of train.

    Scales and levels do not depend on the weights of rows: an encoding only has to spread the values that occur.

    Raises:
        ValueError: an encoding is set for a column that is not a feature, or that its kind does not have; or the target
            cannot be encoded, see `TargetEncoder.fit`.
    """
    _check_column_encodings(options.columns, data)
    encodings: dict[str, Any] = dict(options.columns)
    numbers = _fit_numbers(train_rows, data, options)
    columns: list[ColumnEncoder] = []
    for name, column in data.feature_columns.items():
        if name in numbers:
            columns.append(numbers[name])
            continue
        values = train_rows[name]
        if column.kind == "category":
            encoding = encodings.get(name, options.categories)
            columns.append(CategoryEncoder.fit(values, encoding, options.min_level_count, column.level_order))
        elif column.size is not None:
            columns.append(ImageEncoder.fit(values, column.size, options.pixels))
        else:
            columns.append(DateEncoder.fit(values, encodings.get(name, options.numbers)))
    order = data.target_column.level_order
    target = TargetEncoder.fit(train_rows[data.target], data.task, options.target, data.positive, order)
    target = target.spelt(train_rows.attrs.get(SPELLINGS, {})).weighted(train_rows, data.weight)
    return Encoder(columns=tuple(columns), target=target, weight=data.weight)


def _fit_numbers(train_rows: pd.DataFrame, data: DataOptions, options: EncodingOptions) -> dict[str, NumberEncoder]:
    """Fit the encoders of the numbers, those of one encoding together."""
    encodings: dict[str, Any] = dict(options.columns)
    alike: dict[NumberEncoding, list[str]] = {}
    for name, column in data.feature_columns.items():
        if column.kind == "number":
            alike.setdefault(encodings.get(name, options.numbers), []).append(name)
    return {
        name: fitted
        for encoding, names in alike.items()
        for name, fitted in zip(
            names, NumberEncoder.fit_all([train_rows[name] for name in names], encoding), strict=True
        )
    }


def _check_column_encodings(encodings: Mapping[str, str], data: DataOptions) -> None:
    numbers = get_args(NumberEncoding)
    fitting = {"category": get_args(CategoryEncoding), "number": numbers, "date": numbers}
    for name, encoding in encodings.items():
        if name not in data.feature_columns:
            raise ValueError(
                f"encoding.columns names '{name}', which is not a feature; "
                f"the features are {', '.join(data.feature_columns)}"
            )
        choices = fitting.get(data.feature_columns[name].kind, ())
        if encoding not in choices:
            raise ValueError(
                f"encoding.columns: column '{name}' cannot be encoded as '{encoding}'; "
                + (f"choose one of {', '.join(choices)}" if choices else "set encoding.pixels for images")
            )
