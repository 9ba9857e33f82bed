"""Small parents and new rows, for the tests of fine-tuning."""

import numpy as np
import pandas as pd

from torchlane.core import transfer
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import (
    DataOptions,
    EncodingOptions,
    FineTuningOptions,
    ModelOptions,
    TrainingOptions,
)
from torchlane.core.rows.checking import check_rows

COLUMNS = {"size": {"kind": "number"}, "place": {"kind": "category"}}
REGRESSION = {"task": "regression", "target": "price", "columns": COLUMNS}
CLASSES = {"task": "multiclass", "target": "kind", "columns": COLUMNS}
MODEL = {"widths": [8, 6], "numbers": "plain", "dropout": 0.0}
ALONE = {"sharing": "none", "refit": False}
TRAINING = {"epochs": 4, "members": 2, "learning_rate": 0.01, "batch_size": 8, "patience_epochs": None, **ALONE}
TUNING = {"epochs": 3, "patience_epochs": None, "batch_size": 8}


def make_rows(places: str = "abc", kinds: str = "xyz", n_rows: int = 60, gap: bool = False) -> pd.DataFrame:
    """Raw rows whose price follows from size and place, and whose kind follows from the place."""
    numbers = np.arange(n_rows)
    place = [places[number % len(places)] for number in numbers]
    kind = [kinds[number % len(kinds)] for number in numbers]
    price = 10 * numbers + 100 * (numbers % len(places))
    rows = pd.DataFrame({"size": numbers.astype(str), "place": place, "price": price.astype(str), "kind": kind})
    if gap:
        rows.loc[::7, "size"] = ""
    return rows


def train_parent(raw: pd.DataFrame, data: dict, encoding: dict | None = None, model: dict = MODEL) -> TrainedModel:
    options = DataOptions.model_validate(data)
    clean, _ = check_rows(raw, options)
    encoder = fit_encoder(clean, options, EncodingOptions.model_validate(encoding or {}))
    train, valid = (build_tensors(part, encoder) for part in (clean.iloc[:-10], clean.iloc[-10:]))
    training = TrainingOptions.model_validate(TRAINING)
    lesson = Lesson(train, valid, encoder, training)
    return train_model(lesson, options, ModelOptions.model_validate(model), NoCheckpoints())[0]


def make_lesson(parent: TrainedModel, raw: pd.DataFrame, data: dict, tuning: FineTuningOptions):
    options = DataOptions.model_validate(data)
    clean, _ = transfer.check_new_rows(raw, parent, options, tuning)
    splits = transfer.split_new_rows(clean, transfer.data_for(parent, options, tuning), split_options(), tuning)
    lesson = transfer.make_lesson(
        parent, clean, splits, options, EncodingOptions(), TrainingOptions.model_validate(TRAINING), tuning
    )
    return options, clean, splits, lesson


def split_options():
    from torchlane.core.options import SplitOptions

    return SplitOptions()


def tune(
    parent: TrainedModel, raw: pd.DataFrame, data: dict, checkpoints=None, once: bool = True, **changes
) -> TrainedModel:
    tuning = FineTuningOptions.model_validate({**TUNING, **changes})
    options, _, _, lesson = make_lesson(parent, raw, data, tuning)
    ((tuned, _),) = transfer.fine_tune(parent, [lesson], options, tuning, checkpoints or NoCheckpoints(), once=once)
    return tuned
