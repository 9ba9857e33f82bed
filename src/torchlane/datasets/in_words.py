"""Artifacts in words, as the rows of small tables: what a model is, what an encoder does, how good the metrics are.

Tables rather than HTML: Kedro-Viz reads HTML as Markdown too, so `salary_in_usd` would lose its underscores.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro_datasets._typing import TablePreview

from torchlane.core.options import shown_number
from torchlane.core.rows.levels import natural_order
from torchlane.datasets.previews import preview_table

if TYPE_CHECKING:  # they import torch, and a run asks for the place of its model before it does anything
    from torchlane.core.encoding.columns import CategoryEncoder
    from torchlane.core.encoding.encoder import ColumnEncoder, Encoder
    from torchlane.core.encoding.target import TargetEncoder
    from torchlane.core.model.trained import TrainedModel

LAYERS = 50  # of a model
LEVELS = 12  # of a column
LINES = 200  # of metrics, and files of a folder
UNTRAINED = ("running_mean", "running_var", "num_batches_tracked")  # tensors of a network that are no parameters
PARTS = ("test", "valid", "train", "baseline")  # of metrics


def preview_rows(rows: Iterable[Iterable[Any]], columns: Iterable[str], nothing: str = "") -> TablePreview:
    """Show rows under the names of their columns, or `nothing` if there are no rows."""
    data, names = [list(row) for row in rows], list(columns)
    if nothing and not data:
        data, names = [[nothing]], names[:1]
    return preview_table({"index": range(len(data)), "columns": names, "data": data})


def preview_entries(entries: Iterable[Mapping[str, Any]], columns: Iterable[str], nothing: str) -> TablePreview:
    """Show entries of these names."""
    names = list(columns)
    return preview_rows(([entry.get(name) for name in names] for entry in entries), names, nothing)


def preview_files(files: Iterable[Path], nothing: str) -> TablePreview:
    """Show the files of a folder, the newest first, or say in words that there are none."""
    found = sorted(((path, path.stat()) for path in files if path.is_file()), key=lambda each: -each[1].st_mtime)
    lines = [
        (path.name, f"{about.st_size:,}", f"{datetime.fromtimestamp(about.st_mtime):%Y-%m-%d %H:%M:%S}")
        for path, about in found[:LINES]
    ]
    return preview_rows(lines, ("file", "bytes", "written"), nothing)


def preview_model(model: "TrainedModel") -> TablePreview:
    """Show what a model predicts, from what, by which layers, how well, and what it was made with."""
    return preview_rows(_lines_of_model(model), ("this model", ""))


def _lines_of_model(model: "TrainedModel") -> list[tuple[str, str]]:
    details, target, options, training = model.details, model.encoder.target, model.model, model.training
    unit = model.data.target_column.unit
    labels = f", one of {_some(target.labels)}" if target.labels else ""
    labels += f"; the positive label is {target.positive}" if target.positive is not None else ""
    shapes = {name: tuple(stacked.shape[1:]) for name, stacked in model.weights.items()}
    layers = _layers(shapes)
    n_parameters = sum(count for *_, count in layers)
    n_columns, n_features = len(model.data.feature_columns), len(model.encoder.feature_names)
    image = model.encoder.image
    taken = f"images of {_pixels(image.size)}" if image else f"{n_columns} columns, as {n_features:,} numbers"
    widths = f", widths {', '.join(map(str, options.widths))}" if options.widths else ""
    kind = f"{options.kind or 'a network of yours'}{widths}, {options.activation}, dropout {options.dropout:g}"
    lines = [
        ("predicts", f"{target.name}{f' in {unit}' if unit else ''}{labels}"),
        ("task", target.task),
        ("from", taken),
        ("network", kind),
        ("members", f"{model.n_members} of {n_parameters:,} parameters each"),
        *((f"layer {name}", f"{text}: {count:,} parameters") for name, text, count in layers[:LAYERS]),
        *([("…", f"{len(layers) - LAYERS} more layers")] if len(layers) > LAYERS else []),
        *((name.replace("_", " ", 1), shown_number(value)) for name, value in details.get("metrics", {}).items()),
    ]
    rows, source = {**details.get("profile", {}), **details.get("refit", {})}.get("rows"), details.get("source")
    lines += [("trained on", f"{rows:,} rows of {source}")] if rows else []
    trained = f"{training.epochs} epochs at most, batches of {training.batch_size}, {training.optimizer.name}"
    rate = training.learning_rate
    lines.append(("training", f"{trained}, learning rate {rate if isinstance(rate, str) else f'{rate:g}'}"))
    versions = ", ".join(f"{name} {version}" for name, version in details.get("versions", {}).items())
    lines += [("made with", versions)] if versions else []
    return lines


def _layers(shapes: Mapping[str, tuple[int, ...]]) -> list[tuple[str, str, int]]:
    """Join the tensors of each layer: its name, their shapes, and the number of parameters; the head comes last."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for name in natural_order(shapes):
        layer, _, own = name.rpartition(".")
        if own not in UNTRAINED:
            found.setdefault(layer.removeprefix("network.") or own, {})[own] = shapes[name]
    return [
        (layer, ", ".join(f"{own} {_times(shape)}" for own, shape in own_shapes.items()), _count(own_shapes.values()))
        for layer, own_shapes in sorted(found.items(), key=lambda each: each[0] == "head")
    ]


def _count(shapes: Iterable[tuple[int, ...]]) -> int:
    return sum(map(prod, shapes))


def preview_encoder(encoder: "Encoder") -> TablePreview:
    """Show what becomes of each column: its encoding, how many numbers it gives, and what train has in it."""
    rows: list[tuple[Any, ...]] = [
        (column.name, column.kind, column.encoding, _width(column), *_values(column)) for column in encoder.columns
    ]
    rows.append((f"{encoder.target.name} (target)", encoder.target.task, "", 1, *_values_of_target(encoder.target)))
    return preview_rows(rows, ("column", "kind", "encoding", "numbers", "values in train", "missing"))


def _width(column: "ColumnEncoder") -> int:
    return prod(column.size) if column.kind == "image" else len(column.feature_names)


def _values(column: "ColumnEncoder") -> tuple[str, int | str]:
    """Describe the values of train, and count the missing ones."""
    if column.kind == "category":
        return _levels(column), column.counts[column.unseen + 1]
    if column.kind == "image":
        means = ", ".join(f"{mean:.3g}" for mean in column.means)
        return f"{_pixels(column.size)}, mean brightness {means} of 1", ""
    if column.kind == "date":
        first, median = (
            f"{datetime.fromtimestamp(each // 1_000_000, UTC):%Y-%m-%d}" for each in (column.origin, column.median)
        )
        return f"from {first}, median {median}: {', '.join(column.parts)}", column.missing
    low, high, median = (f"{each:.6g}" for each in (column.quantiles[0], column.quantiles[-1], column.median))
    return f"{low} to {high}, median {median}", column.missing


def _levels(column: "CategoryEncoder") -> str:
    codes = [code for code in range(column.n_codes) if code not in (column.unseen, column.unseen + 1)]
    counts = dict(zip(column.levels, (column.counts[code] for code in codes), strict=True))
    rare = column.counts[column.unseen]
    text = f"{len(counts):,} {'level' if len(counts) == 1 else 'levels'}: {_counted(counts)}"
    return f"{text}; {rare:,} rows of rare ones" if rare else text


def _values_of_target(target: "TargetEncoder") -> tuple[str, int]:
    if target.labels:
        counts = dict(zip(target.labels, target.counts, strict=False))
        return f"{len(target.labels):,} labels: {_counted(counts) or _some(target.labels)}", 0
    sign = "-" if target.offset < 0 else "+"
    return f"scaled: {target.name} x {target.factor:.4g} {sign} {abs(target.offset):.4g}", 0


def _counted(counts: Mapping[str, int]) -> str:
    largest = sorted(counts, key=lambda level: -counts[level])
    return _some(f"{level}: {counts[level]:,}" for level in largest)


def _some(texts: Iterable[str]) -> str:
    named = list(texts)
    more = f", … {len(named) - LEVELS:,} more" if len(named) > LEVELS else ""
    return ", ".join(named[:LEVELS]) + more


def _pixels(size: tuple[int, int, int]) -> str:
    channels, *sides = size
    return f"{_times(sides)} pixels in {channels} {'channel' if channels == 1 else 'channels'}"


def _times(sizes: Iterable[int]) -> str:
    return " x ".join(map(str, sizes)) or "1"


def preview_metrics(values: Mapping[str, Any]) -> TablePreview:
    """Show a line for each metric, the primary one first, with a column for each part; then whatever else there is."""
    parts = [part for part in PARTS if isinstance(values.get(part), Mapping)]
    names = dict.fromkeys(name for part in parts for name in values[part])
    lines = [[name, *(_measured(values[part], name) for part in parts)] for name in names]
    rows = values.get("rows")
    if counted := bool(parts) and isinstance(rows, Mapping):
        lines.append(["rows", *(_measured(values["rows"], part) for part in parts)])
    rest = {name: each for name, each in values.items() if name not in parts and not (counted and name == "rows")}
    lines += [[name, text, *[""] * (len(parts) - 1)] for name, text in _flat(rest)]
    return preview_rows(lines[:LINES], ("metric", *parts) if parts else ("name", "value"))


def _measured(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return _short(value) if name in values else ""


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return _some(_short(each) for each in value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return shown_number(value) if is_number or value is None else str(value)


def _flat(values: Any, name: str = "") -> list[tuple[str, str]]:
    """List nested values by the names that lead to them: those of one mapping without others in one line."""
    if isinstance(values, Mapping) and name and not any(isinstance(each, Mapping) for each in values.values()):
        return [(name, _some(f"{key}: {_short(each)}" for key, each in values.items()))] if values else []
    if isinstance(values, Mapping):
        return [pair for key, each in values.items() for pair in _flat(each, f"{name} {key}".strip())]
    return [(name, _short(values))] if values not in (None, [], "") else []
