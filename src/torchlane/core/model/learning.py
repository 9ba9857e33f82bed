"""Training of a `TrainedModel` from tensors and options, as the stage `train` does it."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import islice
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from torchlane.core.encoding.encoder import Encoder
from torchlane.core.encoding.tensors import fingerprint
from torchlane.core.layers.numbers import Numbers, PiecewiseLinearNumbers
from torchlane.core.machine.checkpoints import Checkpoints, CheckpointStore
from torchlane.core.machine.devices import choose_device
from torchlane.core.model.profile import summarise_training
from torchlane.core.model.refitting import fit_twice, kept_epoch, rows_of_refit, why_not_again
from torchlane.core.model.trained import FORMAT, TrainedModel
from torchlane.core.networks import build_layout, build_network, describe_capacity, fit_options, require_memory
from torchlane.core.networks.state_dicts import listed
from torchlane.core.options import (
    DataOptions,
    FittedTraining,
    ModelOptions,
    TrainingOptions,
    describe_fitting,
    fitted_values,
    fitting,
)
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.history import mean_history, mean_metrics
from torchlane.core.training.members import Member, Outcome, make_members
from torchlane.core.training.observation import Observer
from torchlane.core.training.saving import STATE

logger = logging.getLogger(__name__)

PROFILED = 10_000  # rows whose predictions are summarised, as the reference for drift


@dataclass(frozen=True)
class Lesson:
    """What one model is trained on: encoded rows, the encoder that encoded them, and the training options."""

    train: TensorDataset
    valid: TensorDataset
    encoder: Encoder
    training: TrainingOptions


@dataclass(frozen=True)
class FittedLesson(Lesson):
    """A lesson with the options of its network, which as those of training leave nothing to the rows."""

    training: FittedTraining
    model: ModelOptions


def fit_lessons(lessons: Sequence[Lesson], model: ModelOptions) -> list[FittedLesson]:
    """Set what the options of each lesson, and `model`, leave to its rows of train.

    The log says once what was chosen, also for several lessons, such as folds, whose rows choose the same.
    """
    fitted, said = [], set()
    for each in lessons:
        n_rows = len(each.train)
        training = fitting(each.training, model, n_rows, is_table=each.encoder.image is None)
        own, why_plain = fit_options(model, each.encoder, n_rows)
        fitted.append(FittedLesson(each.train, each.valid, each.encoder, training, own))
        chosen = fitted_values(each.training, training)
        description = describe_fitting(chosen, n_rows)
        lines = [(tuple(chosen.items()), description and f"training: {description}"), ("numbers", why_plain)]
        for key, line in lines:
            if line and key not in said:
                said.add(key)
                logger.info("%s", line)
    return fitted


def train_model(
    lesson: Lesson,
    data: DataOptions,
    model: ModelOptions,
    checkpoints: CheckpointStore,
    source: str = "",
    observer: Observer | None = None,
) -> tuple[TrainedModel, pd.DataFrame]:
    """Train on encoded features (n_rows, …) and targets. The second result is `history`, with a row per epoch.

    Raises:
        ValueError: the device does not exist, the loss does not fit the task, or the loss explodes.
    """
    ((trained, history),) = train_models([lesson], data, model, checkpoints, source, observer)
    return trained, history


def train_models(
    lessons: Sequence[Lesson],
    data: DataOptions,
    model: ModelOptions,
    checkpoints: CheckpointStore,
    source: str = "",
    observer: Observer | None = None,
) -> list[tuple[TrainedModel, pd.DataFrame]]:
    """Train the members of several models together, with the results of `train_model`, stacked where possible.

    With `training.refit` the networks are trained once more, on train and valid; see `refitting.fit_twice`. All that
    says how good a model is, and its calibration, comes from the weights before that, which have not seen valid.
    `observer` watches the first member of the first model.

    Raises:
        ValueError: the device does not exist, the loss does not fit the task, or a loss explodes.
    """
    fitted = fit_lessons(lessons, model)
    members = [member for lesson in fitted for member in _members(lesson)]
    first = fitted[0]
    capacity = describe_capacity(members[0].model)
    logger.info(
        "training: %d rows, %s features, members %d, each %s; on %s",
        len(first.train),
        _size_of_row(first),
        len(members),
        capacity,
        choose_device(first.training.device),
    )
    if len(lessons) == 1:
        _log_numbers(members[0].model, first)
    if observer is not None:
        observer.begin(members[0])
    run = checkpoints.of_run(identify(fitted))
    twice = [number for number, lesson in enumerate(fitted) if _is_for_refit(lesson)]
    if twice:
        outcomes, anew = _fit_twice(fitted, twice, members, run, observer)
    else:
        outcomes, anew = fit(members, run, observer=observer), {}
    of_lessons = _by_lesson(outcomes, fitted)
    trained = [
        conclude(lesson, own, data, source, {"capacity": capacity})
        for lesson, own in zip(fitted, of_lessons, strict=True)
    ]
    for number, own in anew.items():
        concluded, history = trained[number]
        trained[number] = _refitted(concluded, fitted[number], own, of_lessons[number]), history
    return trained


def _members(lesson: FittedLesson) -> list[Member]:
    """Build the networks of a lesson."""
    training, encoder, model = lesson.training, lesson.encoder, lesson.model
    objective, device = Objective.of(encoder.target, training.loss), choose_device(training.device)
    require_memory(model, encoder, training, device)
    build = partial(build_network, model, encoder, training.augmentation)
    return make_members(build, lesson.train, lesson.valid, objective, training, device)


def _by_lesson(outcomes: Sequence[Outcome], lessons: Sequence[FittedLesson]) -> list[list[Outcome]]:
    each = iter(outcomes)
    return [list(islice(each, lesson.training.members)) for lesson in lessons]


def _is_for_refit(lesson: FittedLesson) -> bool:
    if not lesson.training.refit:
        return False
    if reason := why_not_again(lesson.train, lesson.valid):
        logger.info("refit: nothing to train on once more, since %s", reason)
    return not reason


def _fit_twice(
    lessons: Sequence[FittedLesson],
    twice: Sequence[int],
    members: Sequence[Member],
    run: Checkpoints,
    observer: Observer | None,
) -> tuple[list[Outcome], dict[int, list[Outcome]]]:
    """Train the members of all lessons, and those of the lessons `twice` once more, whose outcomes come second."""
    numbers = [number for number, lesson in enumerate(lessons) for _ in range(lesson.training.members)]
    chosen = [index for index, number in enumerate(numbers) if number in twice]
    anew = []
    for lesson in (lessons[number] for number in twice):
        train, valid = rows_of_refit(lesson.train, lesson.valid)
        anew.append(replace(lesson, train=train, valid=valid))
    outcomes, again = fit_twice(
        members, chosen, lambda: [member for lesson in anew for member in _members(lesson)], run, observer
    )
    return outcomes, dict(zip(twice, _by_lesson(again, anew), strict=True))


def _refitted(trained: TrainedModel, lesson: Lesson, again: Sequence[Outcome], own: Sequence[Outcome]) -> TrainedModel:
    """Give a model the weights of its refit. What it knows of valid stays that of the weights before."""
    rows, _ = rows_of_refit(lesson.train, lesson.valid)
    refit = {"rows": len(rows), "valid_rows": len(lesson.valid), "epochs": [kept_epoch(each) for each in own]}
    details = {
        **trained.details,
        "data_fingerprint": fingerprint(rows),
        "threads": again[0]["threads"],
        "refit": refit,
    }
    outputs = trained.outputs(lesson.valid.tensors[0])
    return replace(trained, weights=_stacked(again), details=details, valid_outputs=outputs)


def _stacked(own: Sequence[Outcome]) -> dict[str, Tensor]:
    return {name: torch.stack([each["weights"][name] for each in own]) for name in own[0]["weights"]}


def _size_of_row(lesson: FittedLesson) -> str:
    """Write the number of features, or the size of an image, for the log."""
    if lesson.encoder.image is not None:
        return " x ".join(map(str, lesson.encoder.feature_shape))
    layout = build_layout(lesson.model, lesson.encoder)
    return str(layout.n_features + len(layout.embedded))


def _log_numbers(network: nn.Module, lesson: FittedLesson) -> None:
    """Say which numbers have fewer bins than the options ask for, or that there are no numbers to embed."""
    encoder, kind = lesson.encoder, lesson.model.numbers.kind
    if kind == "plain" or encoder.image is not None:
        return
    layer = next((layer for layer in network.modules() if isinstance(layer, Numbers)), None)
    if layer is None:
        logger.info("model.numbers %s: no feature is a number, so there is nothing to embed", kind)
    elif isinstance(layer, PiecewiseLinearNumbers):
        few = [f"{name} {n}" for name, n in zip(encoder.measured_names, layer.n_bins, strict=True) if n < layer.bins]
        if few:
            logger.info("model.numbers: fewer than %d bins where values repeat: %s", layer.bins, listed(few))


def conclude(
    lesson: FittedLesson,
    own: Sequence[Outcome],
    data: DataOptions,
    source: str,
    details: Mapping[str, Any],
) -> tuple[TrainedModel, pd.DataFrame]:
    """Join the members of one lesson into a model that is calibrated on valid; extend `details` by its origin."""
    details = {
        "source": source,
        **details,
        "data_fingerprint": fingerprint(lesson.train),
        "metrics": mean_metrics(own),
        "versions": {name: version(name) for name in ("torchlane", "torch", "numpy", "pandas")},
        "device": str(choose_device(lesson.training.device)),
        "threads": own[0]["threads"],
    }
    trained = TrainedModel(_stacked(own), lesson.encoder, data, lesson.model, lesson.training, details)
    trained = trained.calibrated(lesson.valid, torch.stack([each["held_out"] for each in own]))
    unseen = lesson.valid if len(lesson.valid) else lesson.train
    predictions, labels = _some_predictions(trained, unseen), lesson.encoder.target.labels
    details["profile"] = summarise_training(len(lesson.train), predictions, labels)
    return trained, mean_history(own)


def _some_predictions(model: TrainedModel, dataset: TensorDataset) -> pd.Series:
    return model.describe_predictions(dataset.tensors[0][:PROFILED])["prediction"]


def identify(lessons: Sequence[FittedLesson]) -> str:
    """Hash everything that the weights depend on, so that no checkpoint of another training is resumed."""
    named = [
        {
            "train": fingerprint(lesson.train),
            "valid": fingerprint(lesson.valid),
            "target": lesson.encoder.target.model_dump(mode="json"),
            "layout": build_layout(lesson.model, lesson.encoder).digest,
            "model": lesson.model.model_dump(mode="json"),
            "training": lesson.training.model_dump(mode="json", exclude={"device", "checkpoint_minutes"}),
        }
        for lesson in lessons
    ]
    return hashlib.sha256(json.dumps([FORMAT, STATE, named], sort_keys=True).encode()).hexdigest()
