"""From tensors and options to a `TrainedModel`: what the stage `train` calls."""

import hashlib
import json
import logging
from importlib.metadata import version

import pandas as pd
import torch
from torch.utils.data import TensorDataset

from torchlane.core.checkpoints import Checkpoints, CheckpointStore
from torchlane.core.devices import choose_device
from torchlane.core.encoders import Encoder
from torchlane.core.inference import TrainedModel, build_network
from torchlane.core.models import describe_capacity
from torchlane.core.objectives import Objective
from torchlane.core.observation import Observer
from torchlane.core.options import DataOptions, ModelOptions, TrainingOptions
from torchlane.core.tensors import fingerprint
from torchlane.core.training import fit, make_members

logger = logging.getLogger(__name__)


def train_model(
    train: TensorDataset,
    valid: TensorDataset,
    encoder: Encoder,
    data: DataOptions,
    model: ModelOptions,
    training: TrainingOptions,
    checkpoints: CheckpointStore,
    source: str = "",
    observer: Observer | None = None,
) -> tuple[TrainedModel, pd.DataFrame]:
    """Train on encoded features (n_rows, …) and targets: the model, and `history` a row an epoch.

    Raises:
        ValueError: the device is not there, the loss does not fit the task, or the loss explodes.
    """
    device = choose_device(training.device)
    objective = Objective.of(encoder.target, training.loss)
    members = make_members(lambda: build_network(model, encoder, training.augmentation), training, device)
    capacity = describe_capacity(members[0].model)
    logger.info(
        "training: %d rows, %s features, members %d, each %s; on %s with %d threads",
        len(train),
        " x ".join(map(str, encoder.feature_shape)),
        len(members),
        capacity,
        device,
        training.threads or torch.get_num_threads(),
    )
    data_fingerprint = fingerprint(train)
    run: Checkpoints = checkpoints.of_run(_identity(data_fingerprint, fingerprint(valid), encoder, model, training))
    if observer is not None:
        observer.begin(members[0].model, train, objective, training)
    fitted = fit(members, train, valid, objective, training, run, observer)
    details = {
        "source": source,
        "capacity": capacity,
        "data_fingerprint": data_fingerprint,
        "metrics": fitted.metrics,
        "versions": {name: version(name) for name in ("torchlane", "torch", "numpy", "pandas")},
        "device": str(device),
        "threads": training.threads or torch.get_num_threads(),
    }
    weights = {name: torch.stack([each[name] for each in fitted.weights]) for name in fitted.weights[0]}
    return TrainedModel(weights, encoder, data, model, training, details), fitted.history


def _identity(
    train_fingerprint: str, valid_fingerprint: str, encoder: Encoder, model: ModelOptions, training: TrainingOptions
) -> str:
    """Name all that the weights depend on, so that no checkpoint of another training is taken up."""
    named = {
        "train": train_fingerprint,
        "valid": valid_fingerprint,
        "target": encoder.target.model_dump(mode="json"),
        "model": model.model_dump(mode="json"),
        "training": training.model_dump(mode="json", exclude={"device", "checkpoint_minutes"}),
    }
    return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()
