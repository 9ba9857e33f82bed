"""How columns become features."""

from typing import Literal

from pydantic import Field

from torchlane.core.options.base import Options

CategoryEncoding = Literal["codes", "one_hot"]
NumberEncoding = Literal["none", "min_max", "z_score", "quantile"]
PixelEncoding = Literal["unit", "z_score"]


class EncodingOptions(Options):
    """How columns become float32 features and the target becomes what the loss sees.

    A level seen fewer than `min_level_count` times in train shares the code of unseen levels.
    `columns` sets the encoding of single columns. Images stay uint8; the network's first step scales
    their pixels to 0 … 1 (`unit`), or further to mean 0 and deviation 1 a channel (`z_score`).
    """

    categories: CategoryEncoding = "one_hot"
    numbers: NumberEncoding = "z_score"
    pixels: PixelEncoding = "unit"
    target: Literal["none", "min_max", "z_score"] = "min_max"
    min_level_count: int = Field(2, ge=1)
    columns: dict[str, CategoryEncoding | NumberEncoding] = {}
