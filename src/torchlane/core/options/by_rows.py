"""What training options are where they are `auto`: by the kind of network and the number of rows of train.

This is the one place where these numbers stand. To change them, edit `BANDS`, then run `docs/options.py`.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field

from torchlane.core.options.automatic import AUTO, Count, Rate
from torchlane.core.options.network import ModelOptions
from torchlane.core.options.numbers import PLAIN
from torchlane.core.options.training import TrainingOptions

TABLES, OTHERS = "perceptrons on tables", "all else"


class Band(NamedTuple):
    """What trainings on at most `most_rows` rows get, if they have more than those of the band before."""

    most_rows: float
    batch_size: int  # rows
    epochs: int
    patience_epochs: int
    members: int
    learning_rate: float
    sharing: Literal["none", "columns"]
    refit: bool


BANDS: Mapping[str, tuple[Band, ...]] = {
    TABLES: (
        Band(1_500, 64, 200, 16, members=16, learning_rate=0.002, sharing="columns", refit=True),
        Band(10_000, 128, 150, 12, members=16, learning_rate=0.002, sharing="columns", refit=True),
        Band(25_000, 256, 80, 8, members=8, learning_rate=0.002, sharing="columns", refit=True),
        Band(math.inf, 512, 40, 4, members=4, learning_rate=0.002, sharing="columns", refit=False),
    ),
    OTHERS: (Band(math.inf, 64, 200, 20, members=1, learning_rate=0.001, sharing="none", refit=False),),
}
MOST_BINNED = 128  # numbers; each has 16 times the weights with bins
ROWS_OF_BINNED = 10  # of train for each number, at least
CHOSEN = Band._fields[1:]  # the options that may be `auto`
SAID = {  # in the log, for one and for more
    "batch_size": ("batches of {} row", "batches of {} rows"),
    "epochs": ("at most {} epoch", "at most {} epochs"),
    "patience_epochs": ("a patience of {} epoch", "a patience of {} epochs"),
    "members": ("{} member", "{} members"),
    "learning_rate": ("a learning rate of {}",) * 2,
    "sharing": ("weights shared by column",) * 2,
    "refit": ("a refit on train and valid",) * 2,
}


class FittedTraining(TrainingOptions):
    """Training options of which none is left open: what a network is trained with."""

    members: Count
    epochs: Count
    batch_size: Count
    patience_epochs: int | None = Field(ge=1)
    learning_rate: Rate
    sharing: Literal["none", "tabm", "tabm_mini", "columns"] = "none"
    refit: bool = False


def fitting(training: TrainingOptions, model: ModelOptions, n_rows: int, *, is_table: bool) -> FittedTraining:
    """Set each option that is `auto`; all others are kept.

    Weights are shared only where several members train together and have hidden layers.
    """
    band = find_band(model, n_rows, is_table=is_table)
    fitted = FittedTraining.model_validate(
        {**dict(training), **{name: getattr(band, name) for name in _open(training)}}
    )
    can_share = fitted.members > 1 and fitted.stacked and bool(model.widths)
    return fitted if training.sharing != AUTO or can_share else fitted.model_copy(update={"sharing": "none"})


def fitting_network(model: ModelOptions, n_numbers: int, n_rows: int) -> ModelOptions:
    """Decide how a perceptron takes the numbers of a table, if that is `auto`, by how many there are."""
    if model.numbers.kind != AUTO:
        return model
    few = n_numbers <= MOST_BINNED and n_numbers * ROWS_OF_BINNED <= n_rows
    numbers = model.numbers.model_copy(update={"kind": "bins"}) if few else PLAIN
    return model.model_copy(update={"numbers": numbers})


def find_band(model: ModelOptions, n_rows: int, *, is_table: bool) -> Band:
    """Find the band that trainings of a network on so many rows belong to."""
    bands = BANDS[TABLES if model.kind == "mlp" and is_table else OTHERS]
    return next(band for band in bands if n_rows <= band.most_rows)


def fitted_values(training: TrainingOptions, fitted: FittedTraining) -> dict[str, Any]:
    """Return the options that were `auto`, with their values."""
    return {name: getattr(fitted, name) for name in _open(training)}


def describe_fitting(values: Mapping[str, Any], n_rows: int) -> str:
    """Say what was chosen where options were `auto`; what is then none or off is left out.

    >>> describe_fitting({"batch_size": 64, "epochs": 200, "members": 16}, 1234)
    'for 1,234 rows of train: batches of 64 rows, at most 200 epochs, 16 members'
    >>> describe_fitting({"sharing": "none", "refit": False}, 1234)
    ''
    """
    said = [
        SAID[name][value != 1].format(value if isinstance(value, str) else f"{value:,}")
        for name, value in values.items()
        if value not in ("none", False)
    ]
    return f"for {n_rows:,} row{'s' * (n_rows > 1)} of train: {', '.join(said)}" if said else ""


def _open(training: TrainingOptions) -> tuple[str, ...]:
    return tuple(name for name in CHOSEN if getattr(training, name) == AUTO)
