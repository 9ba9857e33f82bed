"""A trained model and new rows to a model that knows both."""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import pandas as pd
from torch import nn

from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import CheckpointStore
from torchlane.core.machine.devices import choose_device
from torchlane.core.model.learning import Lesson, conclude, identify
from torchlane.core.model.trained import TrainedModel, build_network
from torchlane.core.networks import describe_capacity
from torchlane.core.options import (
    ColumnOptions,
    DataOptions,
    EncodingOptions,
    FineTuningOptions,
    SplitOptions,
    TrainingOptions,
)
from torchlane.core.rows.checking import check_rows, place_of
from torchlane.core.rows.splits import PARTS, rows_of, split_rows
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.adaptation import Adaptation, ParameterGroup
from torchlane.core.training.fit import fit
from torchlane.core.training.members import Member, Outcome, make_members
from torchlane.core.transfer.growth import check_task, feature_sources, grow_encoder, grow_weights, head_map
from torchlane.core.transfer.layers import Layer, Names, find_head, frozen_names, layers_of, matching, names_of, shown
from torchlane.core.transfer.prefix import cut_prefix, restored

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What trains in a network, and what the log says of it."""

    adaptation: Adaptation
    frozen: tuple[str, ...]  # layers, or single parameters, as people name them
    trained: int  # numbers
    total: int

    def describe(self) -> dict[str, Any]:
        """Give it as it stands in the model's details."""
        return {"frozen": list(self.frozen), "trained_parameters": self.trained, "parameters": self.total}


def data_for(parent: TrainedModel, data: DataOptions, options: FineTuningOptions) -> DataOptions:
    """Say how new rows are read: the parent's features by the rules of `data`, or by the parent's where it has none.

    Raises:
        ValueError: a feature of the parent is declared with another kind or size, or the parent's task is another.
    """
    check_task(parent.encoder.target, data, options.head)
    columns: dict[str, ColumnOptions] = dict(data.columns)
    for name, known in parent.data.feature_columns.items():
        declared = columns.setdefault(name, known)
        if (declared.kind, declared.size) != (known.kind, known.size):
            raise ValueError(
                f"the parent takes '{name}' as {_kind_of(known)}, and data.columns declares {_kind_of(declared)}; "
                f"name another fine_tuning.parent, or bring the new rows into that form"
            )
    if data.target in parent.data.feature_columns:
        raise ValueError(f"the target '{data.target}' is a feature of the parent; name another fine_tuning.parent")
    changes = {
        "columns": {name: column.model_dump() for name, column in columns.items()},
        "features": tuple(parent.data.feature_columns),
        "source": options.source,
        "digest": options.digest,
    }
    return DataOptions.model_validate({**data.model_dump(), **changes})


def check_new_rows(
    new_rows: pd.DataFrame, parent: TrainedModel, data: DataOptions, options: FineTuningOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part clean rows from rejected ones, as `torchlane.core.rows.checking.check_rows` does.

    Raises:
        ValueError: a column that the parent needs is missing, no row is left, there are fewer rows than classes,
            or one class alone.
    """
    for name in parent.data.feature_columns:
        if name not in new_rows:
            raise ValueError(
                f"column '{name}' is missing in {place_of(new_rows)}, and the parent needs it; its columns are "
                f"{', '.join(map(str, new_rows.columns))}; add it, or name another fine_tuning.parent"
            )
    adapted = data_for(parent, data, options)
    clean, rejected = check_rows(new_rows, adapted)
    if data.task != "regression":
        found = sorted(set(clean[data.target]))
        if len(found) == 1:
            raise ValueError(
                f"{place_of(new_rows)} holds one class only, {data.target} '{found[0]}', so nothing can be told from "
                f"it; give rows of at least two classes"
            )
        known = parent.encoder.target.labels if options.head == "grow" else ()
        n_classes = len({*found, *known})
        if len(clean) < n_classes:
            raise ValueError(
                f"{place_of(new_rows)} has {len(clean)} rows and the model {n_classes} classes; give at least as many "
                f"rows as classes, or keep those of the new rows alone with fine_tuning.head: trim"
            )
    return clean, rejected


def split_new_rows(
    clean_rows: pd.DataFrame, data: DataOptions, split: SplitOptions, options: FineTuningOptions, repeat: int = 0
) -> pd.DataFrame:
    """Give each new row its part, with the fractions of `options`; each repeat deals them anew."""
    fractions = {"valid_fraction": options.valid_fraction, "test_fraction": options.test_fraction}
    own = {**fractions, "seed": options.seed + repeat, "part_column": None, "all_rows_in": ()}
    return split_rows(clean_rows, data, split.model_copy(update=own), quiet=repeat > 0)


def training_for(parent: TrainedModel, training: TrainingOptions, options: FineTuningOptions) -> TrainingOptions:
    """Say how the parent's members are trained on."""
    names = ("epochs", "patience_epochs", "batch_size", "learning_rate", "optimizer", "scheduler", "seed")
    own = {name: getattr(options, name) for name in names}
    return training.model_copy(update={**own, "members": parent.n_members})


def make_lesson(
    parent: TrainedModel,
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    data: DataOptions,
    encoding: EncodingOptions,
    training: TrainingOptions,
    options: FineTuningOptions,
) -> Lesson:
    """Encode train and valid of the new rows with the parent's encoder, grown by what train has besides."""
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
    """Train every member of the parent on, for each lesson; members are stacked where their shapes allow.

    The model names its parent's fingerprint in `details["parent"]`. With `once` the outputs of frozen layers
    that come first are computed once.

    Raises:
        ValueError: the head or another layer cannot be mapped, `freeze` names no layer or all, or a loss explodes.
    """
    whole: list[Member] = []
    plans: list[Plan] = []
    for lesson in lessons:
        members, plan = _adapt(parent, lesson, options)
        whole += members
        plans.append(plan)
    trained = cut_prefix(whole) if once else whole
    kept = [{name: tensor.detach().cpu() for name, tensor in member.model.state_dict().items()} for member in whole]
    _log(parent, lessons[0], plans[0], options, len(trained), whole[0].model is not trained[0].model)
    identity = _identity(parent, lessons, options, once)
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
            parent.model,
            source,
            {"capacity": capacity, "parent": _ancestor(parent), "fine_tuning": plan.describe()},
        )
        for lesson, plan in zip(lessons, plans, strict=True)
    ]


def make_plan(network: nn.Module, head: Layer, new_head: bool, options: FineTuningOptions) -> Plan:
    """Turn the options into groups of parameters.

    Raises:
        ValueError: a pattern matches nothing, nothing is left to train, or a head that was drawn anew is frozen.
    """
    layers = layers_of(network)
    frozen = frozen_names(layers, head, options.freeze)
    if new_head and not names_of([head]).parameters.isdisjoint(frozen.parameters):
        raise ValueError(
            f"fine_tuning.freeze names the head, {shown(head.name)}, which has new weights for other classes or "
            f"another task and must train; freeze other layers"
        )
    rates = _rates_of(layers, options)
    training = [layer for layer in layers if not set(layer.parameters) <= frozen.parameters]
    place = layers.index(head)
    training.sort(key=lambda layer: abs(layers.index(layer) - place))
    groups: dict[tuple[float, int, float], list[str]] = {}
    norms: dict[str, int | None] = {name: None for layer in layers for name in layer.norms if name in frozen.norms}
    for number, layer in enumerate(training):
        first_epoch = 1 + number * (options.thaw_epochs or 0)
        distance = abs(layers.index(layer) - place)
        pull = 0.0 if layer == head and new_head and options.head == "replace" else options.pull
        for name in layer.parameters:
            if name not in frozen.parameters:
                rate = rates.get(name, options.layer_decay**distance)
                groups.setdefault((rate, first_epoch, pull), []).append(name)
        norms |= {name: first_epoch for name in layer.norms if name not in frozen.norms and first_epoch > 1}
    adaptation = Adaptation(
        tuple(
            ParameterGroup(tuple(names), rate, first_epoch, pull) for (rate, first_epoch, pull), names in groups.items()
        ),
        dict(sorted(norms.items())),
    )
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters()}
    n_frozen = sum(sizes[name] for name in frozen.parameters)
    return Plan(adaptation, tuple(_shown_frozen(layers, frozen)), sum(sizes.values()) - n_frozen, sum(sizes.values()))


def _adapt(parent: TrainedModel, lesson: Lesson, options: FineTuningOptions) -> tuple[list[Member], Plan]:
    training, target = lesson.training, lesson.encoder.target
    build = partial(build_network, parent.model, lesson.encoder, training.augmentation)
    objective, device = Objective.of(target, training.loss), choose_device(training.device)
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


def _kind_of(column: ColumnOptions) -> str:
    return f"an image of {' x '.join(map(str, column.size))}" if column.size else f"a {column.kind}"


def _rates_of(layers: Sequence[Layer], options: FineTuningOptions) -> dict[str, float]:
    """Give the rates that are set by pattern, as shares of the learning rate; a later pattern wins."""
    rates: dict[str, float] = {}
    for pattern, rate in options.learning_rates.items():
        named = matching(pattern, layers, "fine_tuning.learning_rates")
        rates |= dict.fromkeys(named.parameters, rate / options.learning_rate)
    return rates


def _shown_frozen(layers: Sequence[Layer], frozen: Names) -> list[str]:
    """Name whole layers where they are frozen, else the parameters."""
    named = []
    for layer in layers:
        if set(layer.parameters) <= frozen.parameters:
            named.append(shown(layer.name))
        else:
            named += [shown(name) for name in layer.parameters if name in frozen.parameters]
    return named


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


def _identity(parent: TrainedModel, lessons: Sequence[Lesson], options: FineTuningOptions, once: bool) -> str:
    """Name all that the weights depend on, so that no checkpoint of another training is taken up."""
    digest = hashlib.sha256(identify(lessons, parent.model).encode())
    digest.update(json.dumps([options.model_dump(mode="json", exclude={"repeats", "source"}), once]).encode())
    for name, tensor in parent.weights.items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().data.cast("B") if tensor.numel() else b"")
    return digest.hexdigest()
