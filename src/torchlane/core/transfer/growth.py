"""The parent's encoder and weights, adapted to new levels, other classes or another task."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import ColumnEncoder, Encoder
from torchlane.core.encoding.images import ImageEncoder
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import DataOptions, EncodingOptions, FineTuningOptions
from torchlane.core.rows.checking import SPELLINGS
from torchlane.core.rows.levels import declared_order
from torchlane.core.transfer.layers import Layer, shown

NEW = -1  # source of weights that the parent does not have
CONTINUOUS = ("transformer.cont_embeddings.weight", "transformer.cont_embeddings.bias")
NUMBERS = "numbers."  # prefix of the layer that embeds numbers; what a new number learns is drawn, not 0
EMBEDDING = "transformer.cat_embeddings.embeddings."


def grow_encoder(
    parent: Encoder,
    train_rows: pd.DataFrame,
    data: DataOptions,
    encoding: EncodingOptions,
    options: FineTuningOptions,
) -> Encoder:
    """Extend the parent's encoder by the levels that occur only in the new rows.

    Scales are kept unless `options.rescale` is set. A level with fewer than `encoding.min_level_count` rows
    counts as unseen. The positive label is that of `data`, or else the parent's if it is still a label.

    Raises:
        ValueError: the classes of the new rows cannot be combined with the parent's, or lack `data.positive`.
    """
    columns: list[ColumnEncoder] = []
    for column in parent.columns:
        values = train_rows[column.name]
        if column.kind == "category":
            order = data.columns[column.name].level_order if column.name in data.columns else ()
            columns.append(column.grow(values, encoding.min_level_count, order))
        elif isinstance(column, ImageEncoder):
            columns.append(ImageEncoder.fit(values, column.size, column.encoding) if options.rescale else column)
        else:
            columns.append(column.grow(values, options.rescale))
    target = _grow_target(parent.target, train_rows, data, encoding, options).weighted(train_rows, data.weight)
    return Encoder(columns=tuple(columns), target=target, weight=data.weight)


def _grow_target(
    parent: TargetEncoder,
    train_rows: pd.DataFrame,
    data: DataOptions,
    encoding: EncodingOptions,
    options: FineTuningOptions,
) -> TargetEncoder:
    values = train_rows[data.target]
    if data.task == "regression":
        if options.rescale or parent.task != "regression":
            return TargetEncoder.fit(values, data.task, encoding.target)
        return TargetEncoder(name=data.target, task=data.task, factor=parent.factor, offset=parent.offset)
    kept = parent.labels if options.head == "grow" else ()
    order = data.target_column.level_order if data.task == "multiclass" else ()
    labels = declared_order({*kept, *values.unique()}, order)
    if data.task == "binary" and len(labels) != 2:
        raise ValueError(
            f"the head cannot be mapped: a binary task has 2 labels, but together with the parent's there are "
            f"{len(labels)}: {', '.join(labels)}; set data.task: multiclass, or fine_tuning.head to trim or replace"
        )
    known = parent.positive if parent.positive in labels else None
    grown = TargetEncoder.of_labels(data.target, data.task, labels, values, data.positive or known)
    spellings = train_rows.attrs.get(SPELLINGS, {})
    if kept:  # the parent's labels stay as they were, and so does the type of predictions
        spellings = {**spellings, **parent.written} if parent.written else {}
    return grown.spelt(spellings)


def check_task(parent: TargetEncoder, data: DataOptions, head: str) -> None:
    """Check that the parent's head can be used for the task, if it is kept.

    Raises:
        ValueError: the head is to be kept, and only one of the two tasks is a regression.
    """
    if head != "replace" and "regression" in (parent.task, data.task) and parent.task != data.task:
        raise ValueError(
            f"the head cannot be mapped: the parent was trained for another task, {parent.task} of '{parent.name}', "
            f"not {data.task} of '{data.target}'; name another fine_tuning.parent, or keep only the layers before "
            f"the head with fine_tuning.head: replace"
        )


def feature_sources(parent: Encoder, grown: Encoder, *, embeds: bool = False) -> list[int]:
    """Find the feature of the parent from which each feature takes its weights.

    A new level takes the weights of unseen levels, since that is how the parent treated it. If the parent has
    no such feature, or if the column for missing values or a part of a date is new, the source is `NEW`: the
    weights start at zero, because the parent ignored it. If the network `embeds` codes, they are no features.
    """
    sources: list[int] = []
    start = 0
    for before, after in zip(parent.columns, grown.columns, strict=True):
        names = before.feature_names
        if embeds and isinstance(before, CategoryEncoder) and before.encoding == "codes":
            continue
        if isinstance(before, CategoryEncoder) and isinstance(after, CategoryEncoder) and before.encoding != "ordinal":
            indices = {code: start + index for index, code in enumerate(before.indicator_codes)}
            known = (code if code < before.n_codes else before.unseen for code in after.indicator_codes)
            sources += [indices.get(code, NEW) for code in known]
        else:
            places = {name: start + index for index, name in enumerate(names)}
            sources += [places.get(name, NEW) for name in after.feature_names]
        start += len(names)
    return sources


def code_sources(parent: CategoryEncoder, grown: CategoryEncoder) -> list[int]:
    """Find the code of the parent from which each code takes its embedding; a new level takes that of unseen ones."""
    return [code if code < parent.n_codes else parent.unseen for code in range(grown.n_codes)]


def widened_sources(sources: Sequence[int], parent: Encoder, grown: Encoder) -> tuple[list[int], list[int]]:
    """Split `sources` of features where the network embeds numbers: those among numbers, and those among the others."""
    before, after = parent.layout().of_measured, grown.layout().of_measured
    numbers, others = np.cumsum(before) - 1, np.cumsum(~before) - 1

    def among(places: np.ndarray, chosen: np.ndarray) -> list[int]:
        taken = np.array(sources, dtype=np.int64)[chosen]
        return np.where(taken == NEW, NEW, places[taken]).tolist()

    return among(numbers, after), among(others, ~after)


def head_map(parent: TargetEncoder, grown: TargetEncoder, head: str) -> tuple[Tensor, Tensor]:
    """Express the rows of the new head by those of the old: float64 (n_new, n_old), and bool (n_new,) for new rows.

    The logit z of a binary parent becomes the logits 0 and z, and two logits of a multiclass parent become
    their difference. So the ratio of the probabilities of two kept classes does not change.
    """
    n_new = {"multiclass": len(grown.labels)}.get(grown.task, 1)
    n_old = {"multiclass": len(parent.labels)}.get(parent.task, 1)
    new = torch.ones(n_new, dtype=torch.bool)
    mapped = torch.zeros(n_new, n_old, dtype=torch.float64)
    if head == "replace" or "regression" in (parent.task, grown.task):
        if head != "replace":
            mapped, new = torch.eye(1, dtype=torch.float64), ~new
        return mapped, new
    # The parent's logits, one per class, in terms of its outputs.
    logits = torch.eye(n_old, dtype=torch.float64) if parent.task == "multiclass" else torch.tensor([[0.0], [1.0]])
    indices = [parent.labels.index(label) if label in parent.labels else NEW for label in grown.labels]
    if grown.task == "binary":
        if NEW not in indices:
            mapped, new = (logits[indices[1]] - logits[indices[0]])[None].double(), ~new
        return mapped, new
    for row, index in enumerate(indices):
        if index != NEW:
            mapped[row], new[row] = logits[index].double(), False
    return mapped, new


def grow_weights(
    parent: TrainedModel,
    member: int,
    encoder: Encoder,
    fresh: Mapping[str, Tensor],
    head: Layer,
    options: FineTuningOptions,
) -> dict[str, Tensor]:
    """Bring a member's weights to the shapes of `fresh`, the newly drawn weights of a network for `encoder`.

    Raises:
        ValueError: a layer has another shape, and its weights cannot be mapped to it.
    """
    weights = {}
    mapped, new = head_map(parent.encoder.target, encoder.target, options.head)
    for name, drawn in fresh.items():
        if name not in parent.weights:
            raise ValueError(
                f"the parent lacks the weights '{name}' of a network with its options; set another fine_tuning.parent"
            )
        old = parent.weights[name][member]
        if name in head.parameters:
            old = _map_rows(old, drawn, mapped, new)
        if old.shape != drawn.shape:
            old = _take(name, old, drawn, parent, encoder)
        weights[name] = old.to(drawn.dtype).clone()
    return weights


def _map_rows(old: Tensor, drawn: Tensor, mapped: Tensor, new: Tensor) -> Tensor:
    if len(old) != mapped.shape[1]:  # weights of a norm in the head
        return old
    if old.shape[1:] != drawn.shape[1:] and new.all():
        return drawn.clone()
    rows = (mapped @ old.double().flatten(1) if old.ndim > 1 else mapped @ old.double()).to(drawn.dtype)
    rows = rows.view(len(mapped), *old.shape[1:])
    if old.shape[1:] == drawn.shape[1:]:
        rows[new] = drawn[new]
    return rows


def _take(name: str, old: Tensor, drawn: Tensor, parent: TrainedModel, grown: Encoder) -> Tensor:
    """Rearrange weights along the axis of the features, to the shape of `drawn`."""
    sources = _sources_for(name, parent, grown)
    n_before = max(sources, default=0) + 1
    for axis in range(old.ndim):
        if drawn.shape[axis] == len(sources) and old.shape[axis] >= n_before and old.shape[axis] != drawn.shape[axis]:
            taken = _select(old, axis, sources, drawn if name.startswith(NUMBERS) else None)
            if taken.shape == drawn.shape:
                return taken
    raise ValueError(
        f"layer {shown(name.rpartition('.')[0])} of the parent has weights of shape {tuple(old.shape)}, and the new "
        f"rows need {tuple(drawn.shape)}; its network cannot take new levels or classes there, so keep data.columns "
        f"to the parent's levels, or name the layer that gives the outputs in fine_tuning.head_layer"
    )


def _sources_for(name: str, parent: TrainedModel, grown: Encoder) -> list[int]:
    """Find from which of the parent's features, codes or numbers the weights of this name are taken."""
    before = parent.encoder
    if name.startswith(EMBEDDING):
        number = int(name.removeprefix(EMBEDDING).partition(".")[0])
        pairs = [
            (old, new)
            for old, new in zip(before.columns, grown.columns, strict=True)
            if isinstance(old, CategoryEncoder) and isinstance(new, CategoryEncoder) and old.encoding == "codes"
        ]
        return code_sources(*pairs[number])
    sources = feature_sources(before, grown, embeds=name in CONTINUOUS)
    numbers = parent.model.numbers
    if numbers.kind == "plain":
        return sources
    of_numbers, of_others = widened_sources(sources, before, grown)
    if name.startswith(NUMBERS):
        return of_numbers
    start = int((~before.layout().of_measured).sum())
    width = numbers.width
    return of_others + [
        NEW if source == NEW else start + source * width + place for source in of_numbers for place in range(width)
    ]


def _select(old: Tensor, axis: int, sources: Sequence[int], fresh: Tensor | None) -> Tensor:
    """Take slices of old weights along an axis; where there is no source, those of `fresh`, or 0 without it."""
    index = torch.tensor([0 if source == NEW else source for source in sources])
    places = torch.tensor([place for place, source in enumerate(sources) if source == NEW], dtype=torch.int64)
    taken = old.index_select(axis, index)
    if fresh is None or taken.shape != fresh.shape:
        return taken.index_fill_(axis, places, 0)
    return taken.index_copy_(axis, places, fresh.index_select(axis, places).to(old.dtype))
