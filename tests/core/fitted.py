"""Options of single trainings without the table of rows that chooses some of them, and small tables for trials."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from torchlane.core.options import FittedTraining, ModelOptions, by_rows

PLAIN = {"learning_rate": 0.001, "sharing": "none", "refit": False}
USUAL = {"members": 1, "epochs": 200, "batch_size": 64, "patience_epochs": 20, **PLAIN}
FEW = {"batch_size": 8, "epochs": 3, "patience_epochs": 1, "members": 2, **PLAIN}
MANY = {"batch_size": 16, "epochs": 4, "patience_epochs": 2, "members": 3, **PLAIN}


def fitted(settings: Mapping[str, Any] | None = None, **changes: Any) -> FittedTraining:
    """Set some options; the others have their defaults, or the usual numbers where the default is `auto`."""
    return FittedTraining.model_validate({**USUAL, **(settings or {}), **changes})


def plain_model(**options: Any) -> ModelOptions:
    """Set some options of a perceptron; the others are those of the plainest one."""
    return ModelOptions.model_validate({"numbers": "plain", "dropout": 0.0, "widths": (64, 64), **options})


def use_small_bands(patch: pytest.MonkeyPatch, most_of_few: int) -> None:
    """Give trainings on at most so many rows `FEW`, all others `MANY`; members are for perceptrons on tables only."""
    tables = (by_rows.Band(most_of_few, **FEW), by_rows.Band(math.inf, **MANY))
    others = tuple(band._replace(members=1) for band in tables)
    patch.setattr(by_rows, "BANDS", {by_rows.TABLES: tables, by_rows.OTHERS: others})
