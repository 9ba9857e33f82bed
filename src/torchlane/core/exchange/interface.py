"""The interface of an exported program, as JSON: everything that its callers need to know."""

import math
from importlib.metadata import version
from typing import Any

import pandas as pd

from torchlane.core.encoding.columns import CategoryEncoder, NumberEncoder
from torchlane.core.encoding.dates import DateEncoder
from torchlane.core.encoding.encoder import ColumnEncoder
from torchlane.core.encoding.images import ImageEncoder
from torchlane.core.encoding.storing import scales_in
from torchlane.core.exchange.widening import describe_widening
from torchlane.core.model.trained import COVERAGE, TrainedModel
from torchlane.core.networks.named import SCALE
from torchlane.core.rows.values import MISSING_NUMBERS

FORMAT = "torchlane-interface-4"
INPUT = "features"
PREPARATION = (
    "The text of a category is compared without spaces around it, whole numbers without decimals (50, not 50.0), "
    "numbers of programs without exponents (0.00001, not 1e-05), points in time as 2025-03-01 06:30:00, midnight as "
    "2025-03-01, true and false as True and False. As numbers, true and false are 1 and 0. A cell that is empty or one "
    f"of missing_values is missing, a number or a date among them however it is written; "
    f"a number also where it is {', '.join(MISSING_NUMBERS)}, in any case, and a date "
    "also where it is NaT. reading has the rules of each column: format, decimal and unit say what stands around the "
    "digits of a number that is given as text, and format how a date is written that is not ISO 8601."
)
INTERVAL = (
    "prediction - half_width * (1 + spread_weight * spread) and prediction + …, cut to minimum and maximum, "
    "but not past prediction"
)
LINEAR = "value * factor + offset, in float64; median for the value where it is missing"
QUANTILE = (
    "normal quantile of p, cut to 1e-7 … 1 - 1e-7; p is the mean of the lowest and the highest share at which "
    "the value stands among quantiles (equally spaced shares from 0 to 1, linear between); median where missing"
)

DATE_PARTS = {
    "year": "year",
    "month": "sin or cos of 2 pi (month - 1) / 12",
    "day": "day of the month",
    "weekday": "sin or cos of 2 pi weekday / 7, from 0 on Monday to 6",
    "hour": "sin or cos of 2 pi seconds / 86400, whole seconds of the time of day",
    "elapsed": "days with their fraction from origin to the date; origin is in microseconds since 1970 in UTC",
}


def describe_interface(model: TrainedModel) -> dict[str, Any]:
    """Describe how columns become features, and what the outputs mean.

    In shapes, `rows` stands for any number. `columns` are the encoder's own statistics, and `features` say in words how
    each input of a program is computed from them. In a state dict, the first linear weights of a perceptron have a
    column for each of the codes in `indicators` in place of such an input, in this order. If `numbers` is not null,
    they take the row that it describes.
    """
    target, shape = model.encoder.target, list(model.encoder.feature_shape)
    numeric = target.task == "regression"
    return {
        "format": FORMAT,
        "task": target.task,
        "target": target.name,
        "members": model.n_members,
        "input": {
            "name": INPUT,
            "dtype": "float32" if model.encoder.image is None else "uint8",
            "shape": ["rows", *shape],
        },
        "output": {
            "name": output_names(model)[0],
            "dtype": "float64",
            "shape": ["rows"] if numeric else ["rows", len(target.labels)],
            "meaning": f"{target.name}, in the units of the raw file" if numeric else "probability of each label",
            "labels": target.restore(target.labels).tolist(),
            "positive": target.restore(target.labels).tolist()[1] if target.positive else None,
        },
        "spread": {"name": output_names(model)[1], "dtype": "float64", "shape": ["rows"]} if numeric else None,
        "interval": _interval(model) if numeric else None,
        "preparation": PREPARATION,
        "reading": {
            name: column.model_dump(mode="json", exclude_defaults=True)
            for name, column in model.data.feature_columns.items()
        },
        "missing_values": list(model.data.missing_values),
        "columns": [_statistics(column) for column in model.encoder.columns],
        "features": [feature for column in model.encoder.columns for feature in _features(column)],
        "pixels": _pixels(model),
        "numbers": describe_widening(model),
        "network": model.model.model_dump(mode="json", exclude={"weights_folder"}),
        "source": model.details.get("source", ""),
        "model": model.fingerprint,
        "versions": {name: version(name) for name in ("torchlane", "torch")},
    }


def _statistics(column: ColumnEncoder) -> dict[str, Any]:
    """Give the statistics by which a column is encoded, so quantiles only where they are the scale."""
    described = column.model_dump(mode="json")
    for scale in scales_in([described]):
        if scale["encoding"] != "quantile":
            del scale["quantiles"]  # only drift is measured against them
    return described


def output_names(model: TrainedModel) -> list[str]:
    """Name the outputs of a program: a prediction and its spread, or probabilities."""
    return ["prediction", "spread"] if model.encoder.target.task == "regression" else ["probabilities"]


def _interval(model: TrainedModel) -> dict[str, Any] | None:
    """Describe how an interval is computed from a prediction and its spread; None if valid has too few rows for one."""
    half_width, column = model.calibration.half_width(COVERAGE), model.data.target_column
    if half_width is None or not math.isfinite(half_width):
        return None
    return {
        "coverage": COVERAGE,
        "half_width": half_width,
        "spread_weight": model.calibration.spread_weight,
        "minimum": column.limits[0],
        "maximum": column.limits[1],
        "ends": INTERVAL,
    }


def _pixels(model: TrainedModel) -> dict[str, list[float]] | None:
    """Give the means and deviations, per channel, by which the network's first layer scales pixels / 255."""
    image = model.encoder.image
    if image is None:
        return None
    published = [tensor[0].flatten().tolist() for name, tensor in model.weights.items() if name.endswith(SCALE)]
    if published:
        return dict(zip(("means", "deviations"), published, strict=True))
    if image.encoding == "unit":
        return {"means": [0.0] * image.size[0], "deviations": [1.0] * image.size[0]}
    return {"means": list(image.means), "deviations": list(image.deviations)}


def other_level(column: CategoryEncoder) -> str:
    """Make a text that is not a level of the column, since it is longer than all levels."""
    return f"{''.join(column.levels)}?"


def _features(column: ColumnEncoder) -> list[dict[str, Any]]:
    """Describe the inputs of the program that come from a column; for categories, by calling the encoder."""
    named = [{"name": name, "column": column.name} for name in column.feature_names]
    if isinstance(column, ImageEncoder):
        return [{**named[0], "value": "pixels as uint8, (channels, height, width); the program brings them to scale"}]
    if isinstance(column, NumberEncoder):
        value = QUANTILE if column.encoding == "quantile" else LINEAR
        missing = {"indicates": "missing", "value": "1 where the value is missing, else 0"}
        return [each | rest for each, rest in zip(named, ({"value": value}, missing), strict=False)]
    if isinstance(column, DateEncoder):
        return _features_of_date(column, named)
    encoded = column.encode(pd.Series([*column.levels, other_level(column), None], dtype=object))
    *codes, unseen, missing_code = encoded[:, 0].astype(int).tolist()
    value = f"code of the level; {unseen} for another one, {missing_code} where missing"
    feature = {"name": column.name, "column": column.name, "codes": codes, "unseen": unseen, "missing": missing_code}
    indicators = {} if column.encoding == "ordinal" else {"indicators": column.indicator_codes}
    return [{**feature, **indicators, "value": value}]


def _features_of_date(column: DateEncoder, named: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Describe how the features of a date are computed from its clock in the zone of the column."""
    place = f"in the zone {column.zone}; median, in microseconds since 1970 in UTC, for a missing date"
    scaled = f"; then {(QUANTILE if column.encoding == 'quantile' else LINEAR).partition(';')[0]}, by its own in scales"
    scales = {scale.name for scale in column.scales}
    features = []
    for part, each in zip((*column.parts, *["missing"] * column.flagged), named, strict=True):
        what, _, wave = part.partition("_")
        if what == "missing":
            features.append({**each, "indicates": "missing", "value": "1 where the date is missing, else 0"})
            continue
        value = DATE_PARTS[what].replace("sin or cos", wave)
        features.append({**each, "part": part, "value": f"{value}, {place}{scaled if each['name'] in scales else ''}"})
    return features
