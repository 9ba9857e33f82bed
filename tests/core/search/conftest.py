from typing import Any

import pandas as pd
import pytest

from tests.core.fitted import plain_model
from tests.core.search.searches import RATES, WIDTHS
from torchlane.core.options import (
    DataOptions,
    EncodingOptions,
    Recipe,
    SplitOptions,
    TrainingOptions,
    TuningOptions,
)
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import split_rows
from torchlane.core.search.ground import Ground

TRAINING = {"epochs": 24, "batch_size": 16, "learning_rate": 0.001, "patience_epochs": None}


@pytest.fixture
def ground(toy_rows: pd.DataFrame, toy_data: DataOptions):
    """What a search on the toy rows works on; `space` and options of the search are the test's own."""

    def make(
        space: dict | None = None,
        rows: pd.DataFrame = toy_rows,
        data: DataOptions = toy_data,
        training: dict | None = None,
        **options: Any,
    ) -> Ground:
        clean, _ = check_rows(rows, data)
        splits = split_rows(clean, data, SplitOptions(valid_fraction=0.25))
        recipe = Recipe(
            encoding=EncodingOptions(target="z_score"),
            model=plain_model(widths=(8,)),
            training=TrainingOptions.model_validate({**TRAINING, **(training or {})}),
        )
        options = {
            "trials": 6,
            "prune_epochs": None,
            "keep_given": False,
            "space": space or {**RATES, **WIDTHS},
            **options,
        }
        return Ground(clean, splits, data, recipe, TuningOptions.model_validate(options))

    return make
