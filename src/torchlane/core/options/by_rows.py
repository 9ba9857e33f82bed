"""How large batches are, how long a network trains and how many networks there are, by the number of rows of train.

This is the one place where these numbers stand. To change them, edit `BANDS`, then run `docs/options.py`.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import Field

from torchlane.core.options.automatic import AUTO, Count
from torchlane.core.options.network import ModelOptions
from torchlane.core.options.training import TrainingOptions

TABLES, OTHERS = "perceptrons on tables", "all else"


class Band(NamedTuple):
    """What trainings on at most `most_rows` rows get, if they have more than those of the band before."""

    most_rows: float
    batch_size: int  # rows
    epochs: int
    patience_epochs: int
    members: int


BANDS: Mapping[str, tuple[Band, ...]] = {
    TABLES: (
        Band(most_rows=1_500, batch_size=64, epochs=200, patience_epochs=16, members=16),
        Band(most_rows=10_000, batch_size=128, epochs=150, patience_epochs=16, members=16),
        Band(most_rows=30_000, batch_size=256, epochs=100, patience_epochs=12, members=16),
        Band(most_rows=math.inf, batch_size=512, epochs=60, patience_epochs=8, members=8),
    ),
    OTHERS: (Band(most_rows=math.inf, batch_size=64, epochs=200, patience_epochs=20, members=1),),
}
CHOSEN = Band._fields[1:]  # the options that may be `auto`
WORDS = {  # before and after each of them in the log
    "batch_size": ("batches of ", "row"),
    "epochs": ("at most ", "epoch"),
    "patience_epochs": ("a patience of ", "epoch"),
    "members": ("", "member"),
}


class FittedTraining(TrainingOptions):
    """Training options of which none is left open: what a network is trained with."""

    members: Count
    epochs: Count
    batch_size: Count
    patience_epochs: int | None = Field(ge=1)


def fitting(training: TrainingOptions, model: ModelOptions, n_rows: int, *, is_table: bool) -> FittedTraining:
    """Set each option that is `auto` by the number of rows of train; all others are kept."""
    band = find_band(model, n_rows, is_table=is_table)
    return FittedTraining.model_validate({**dict(training), **{name: getattr(band, name) for name in _open(training)}})


def find_band(model: ModelOptions, n_rows: int, *, is_table: bool) -> Band:
    """Find the band that trainings of a network on so many rows belong to."""
    bands = BANDS[TABLES if model.kind == "mlp" and is_table else OTHERS]
    return next(band for band in bands if n_rows <= band.most_rows)


def fitted_values(training: TrainingOptions, fitted: FittedTraining) -> dict[str, int]:
    """Return the options that were `auto`, with their values."""
    return {name: getattr(fitted, name) for name in _open(training)}


def describe_fitting(values: Mapping[str, int], n_rows: int) -> str:
    """Say what the number of rows of train chose.

    >>> describe_fitting({"batch_size": 64, "epochs": 200, "members": 16}, 1234)
    'batches of 64 rows, at most 200 epochs, 16 members, by the 1,234 rows of train'
    """
    said = [
        f"{before}{value:,} {one}{'s' * (value > 1)}"
        for (before, one), value in ((WORDS[name], value) for name, value in values.items())
    ]
    return f"{', '.join(said)}, by the {n_rows:,} row{'s' * (n_rows > 1)} of train"


def _open(training: TrainingOptions) -> tuple[str, ...]:
    return tuple(name for name in CHOSEN if getattr(training, name) == AUTO)
