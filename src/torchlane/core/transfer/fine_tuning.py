"""Fine-tuning: adapt the members of a parent to new rows, and train them."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import pandas as pd

from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import CheckpointStore
from torchlane.core.machine.devices import choose_device
from torchlane.core.model.learning import FittedLesson, Lesson, conclude, fit_lessons, identify
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks import build_network, describe_capacity, require_memory
from torchlane.core.options import DataOptions, EncodingOptions, FineTuningOptions, TrainingOptions
from torchlane.core.rows.splits import PARTS, rows_of
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.members import Member, Outcome, make_members
from torchlane.core.transfer.growth import feature_sources, grow_encoder, grow_weights, head_map
from torchlane.core.transfer.layers import find_head
from torchlane.core.transfer.new_rows import data_for
from torchlane.core.transfer.plan import Plan, make_plan
from torchlane.core.transfer.prefix import cut_prefix, restored

logger = logging.getLogger(__name__)


def training_for(parent: TrainedModel, training: TrainingOptions, options: FineTuningOptions) -> TrainingOptions:
    """Build the training options of fine-tuning.

    The number of members is the parent's, each trains on its own, and nothing is refitted.
    """
    names = ("epochs", "patience_epochs", "batch_size", "learning_rate", "optimizer", "scheduler", "seed")
    own = {name: getattr(options, name) for name in names}
    return training.model_copy(update={**own, "members": parent.n_members, "sharing": "none", "refit": False})


def make_lesson(
    parent: TrainedModel,
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    data: DataOptions,
    encoding: EncodingOptions,
    training: TrainingOptions,
    options: FineTuningOptions,
) -> Lesson:
    """Encode train and valid of the new rows with the parent's encoder, extended by the new levels of train."""
    parts = {part: rows_of(part, clean_rows, splits) for part in PARTS}
    encoder = grow_encoder(parent.encoder, parts["train"], data_for(parent, data, options), encoding, options)
    tensors = {part: build_tensors(parts[part], encoder) for part in ("train", "valid")}
    return Lesson(tensors["train"], tensors["valid"], encoder, training_for(parent, training, options))


def fine_tune(
    parent: TrainedModel,
    lessons: Sequence[Lesson],
    data: DataOptions,
    options: FineTuningOptions,
    checkpoints: CheckpointStore,
    source: str = "",
    *,
    once: bool = True,
) -> list[tuple[TrainedModel, pd.DataFrame]]:
    """Continue the training of every member of the parent, once for each lesson, stacked if the shapes allow.

    `details["parent"]` of each result holds the parent's fingerprint. With `once`, the outputs of leading
    frozen layers are computed once instead of in every epoch.

    Raises:
        ValueError: the head or another layer cannot be mapped, `freeze` matches no layer or all, or a loss
            explodes.
    """
    whole: list[Member] = []
    plans: list[Plan] = []
    fitted = fit_lessons(lessons, parent.model)
    for lesson in fitted:
        members, plan = _adapt(parent, lesson, options)
        whole += members
        plans.append(plan)
    trained = cut_prefix(whole) if once else whole
    kept = [{name: tensor.detach().cpu() for name, tensor in member.model.state_dict().items()} for member in whole]
    _log(parent, fitted[0], plans[0], options, len(trained), whole[0].model is not trained[0].model)
    identity = _identity(parent, fitted, options, once)
    outcomes = [
        Outcome(**{**outcome, "weights": restored(outcome["weights"], of_member)})
        for outcome, of_member in zip(fit(trained, checkpoints.of_run(identity)), kept, strict=True)
    ]
    each, own_data = iter(outcomes), data_for(parent, data, options)
    capacity = describe_capacity(whole[0].model)
    return [
        conclude(
            lesson,
            list(islice(each, parent.n_members)),
            own_data,
            source,
            {"capacity": capacity, "parent": _ancestor(parent), "fine_tuning": plan.describe()},
        )
        for lesson, plan in zip(fitted, plans, strict=True)
    ]


def _adapt(parent: TrainedModel, lesson: FittedLesson, options: FineTuningOptions) -> tuple[list[Member], Plan]:
    training, target = lesson.training, lesson.encoder.target
    build = partial(build_network, parent.model, lesson.encoder, training.augmentation)
    objective, device = Objective.of(target, training.loss), choose_device(training.device)
    require_memory(parent.model, lesson.encoder, training, device)
    members = make_members(build, lesson.train, lesson.valid, objective, training, device)
    network = members[0].model
    width = objective.task.width(len(target.labels))
    head = find_head(network, width, options.head_layer)
    _, new = head_map(parent.encoder.target, target, options.head)
    plan = make_plan(network, head, bool(new.any()), options)
    adapted = []
    for number, member in enumerate(members):
        fresh = member.model.state_dict()
        member.model.load_state_dict(grow_weights(parent, number, lesson.encoder, fresh, head, options))
        adapted.append(replace(member, adaptation=plan.adaptation))
    return adapted, plan


def _ancestor(parent: TrainedModel) -> dict[str, Any]:
    return {"fingerprint": parent.fingerprint, "source": parent.details.get("source", "")}


def _log(
    parent: TrainedModel, lesson: Lesson, plan: Plan, options: FineTuningOptions, n_members: int, cut: bool
) -> None:
    sources = feature_sources(parent.encoder, lesson.encoder)
    old, new = parent.encoder.target.labels, lesson.encoder.target.labels
    logger.info(
        "fine-tuning: %d rows, members %d; frozen: %s%s; %d of %d parameters train, by groups at %s; "
        "new inputs: %d; new classes: %s",
        len(lesson.train),
        n_members,
        ", ".join(plan.frozen) or "nothing",
        " (first layers computed once)" if cut else "",
        plan.trained,
        plan.total,
        ", ".join(
            f"{options.learning_rate * group.rate:.3g}" + (f" from epoch {group.first_epoch}" * (group.first_epoch > 1))
            for group in plan.adaptation.groups
        ),
        len(sources) - len(parent.encoder.feature_names),
        ", ".join(label for label in new if label not in old) or "none",
    )


def _identity(parent: TrainedModel, lessons: Sequence[FittedLesson], options: FineTuningOptions, once: bool) -> str:
    """Hash everything that the weights depend on, so that no checkpoint of another training is resumed."""
    digest = hashlib.sha256(identify(lessons).encode())
    digest.update(json.dumps([options.model_dump(mode="json", exclude={"repeats", "source"}), once]).encode())
    for name, tensor in parent.weights.items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().data.cast("B") if tensor.numel() else b"")
    return digest.hexdigest()
