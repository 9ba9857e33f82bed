"""The search for better options, and how train takes up what it found."""

import logging
from typing import Any

from torch.utils.data import TensorDataset

from torchlane.core.options import ModelOptions, TrainingOptions, TuningOptions
from torchlane.core.tensors import fingerprint

logger = logging.getLogger(__name__)

Chosen = dict[str, Any]


def choose_options(train: TensorDataset, options: TuningOptions) -> Chosen:
    """Say what a search changed in the sections `model` and `training`, and on which data.

    No trials change nothing.
    """
    return {"data_fingerprint": fingerprint(train), "trials": options.trials, "model": {}, "training": {}}


def apply_chosen(
    chosen: Chosen, train: TensorDataset, model: ModelOptions, training: TrainingOptions
) -> tuple[ModelOptions, TrainingOptions]:
    """Apply what was chosen, unless the data have changed since; the options given stay as they are."""
    if chosen["data_fingerprint"] != fingerprint(train):
        logger.warning("the chosen options belong to other data and are left out; run the stage tune again")
        return model, training
    return (
        ModelOptions.model_validate({**model.model_dump(), **chosen["model"]}),
        TrainingOptions.model_validate({**training.model_dump(), **chosen["training"]}),
    )
