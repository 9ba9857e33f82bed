"""How columns become features."""

from typing import Literal

from pydantic import Field

from torchlane.core.options.base import Options

CategoryEncoding = Literal["codes", "one_hot", "ordinal"]
NumberEncoding = Literal["none", "min_max", "z_score", "quantile"]
ColumnEncoding = Literal[CategoryEncoding, NumberEncoding]  # one choice, so that a misspelt one is told all of them
PixelEncoding = Literal["unit", "z_score"]


class EncodingOptions(Options):
    """How columns become float32 features, and how the target is scaled for the loss.

    `categories` says what a network makes of a category: a feature for each level (`one_hot`), an embedding of each
    level (`codes`), or the number of the level in its order (`ordinal`). In a perceptron the weights of a level in the
    first layer are its embedding, so that the first two are the same there. A level that occurs fewer than
    `min_level_count` times in train shares the code of unseen levels, unless it is one of declared levels in order
    that are encoded as `codes` or `ordinal`.
    `numbers` and `target` name the scale of numbers; year, day of the month and elapsed time of a date are numbers
    too. `columns` overrides the encoding of single columns.
    Images stay uint8. The first layer of the network scales their pixels to 0 … 1 (`unit`), or then also to
    mean 0 and standard deviation 1 for each channel (`z_score`).
    """

    categories: CategoryEncoding = "one_hot"
    numbers: NumberEncoding = "z_score"
    pixels: PixelEncoding = "unit"
    target: Literal["none", "min_max", "z_score"] = "z_score"
    min_level_count: int = Field(2, ge=1)
    columns: dict[str, ColumnEncoding] = {}
