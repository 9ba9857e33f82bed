"""What an exported program takes and gives, as JSON: all that others need to feed it."""

from importlib.metadata import version
from typing import Any

from torchlane.core.encoders import CategoryEncoder, Encoder, NumberEncoder
from torchlane.core.images import ImageEncoder
from torchlane.core.inference import COVERAGE, TrainedModel
from torchlane.core.models.named import SCALE

FORMAT = "torchlane-interface-1"
INPUT = "features"
PREPARATION = (
    "The text of a category is compared without spaces around it, whole numbers without decimals (50, not 50.0), "
    "true and false as True and False. A cell that is empty or one of missing_values is missing."
)


def describe_interface(model: TrainedModel) -> dict[str, Any]:
    """Say how columns become features, and what the prediction made of them means.

    The shapes have the name `rows` where any number of them goes. `columns` are the encoder's own
    statistics, and `features` say in words how each one is computed from them.
    """
    target, shape = model.encoder.target, list(model.encoder.feature_shape)
    numeric = target.task == "regression"
    half_width = model.calibration.half_width(COVERAGE) if numeric else None
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
            "name": output_name(model),
            "dtype": "float64",
            "shape": ["rows"] if numeric else ["rows", len(target.labels)],
            "meaning": f"{target.name}, in the units of the raw file" if numeric else "probability of each label",
            "labels": target.restore(target.labels).tolist(),
        },
        "interval": None if half_width is None else {"coverage": COVERAGE, "half_width": half_width},
        "preparation": PREPARATION,
        "missing_values": list(model.data.missing_values),
        "columns": [column.model_dump(mode="json") for column in model.encoder.columns],
        "features": _features(model.encoder),
        "pixels": _pixels(model),
        "network": {**model.model.model_dump(mode="json"), "training_rows": model.details.get("source", "")},
        "model": model.fingerprint,
        "versions": {name: version(name) for name in ("torchlane", "torch")},
    }


def output_name(model: TrainedModel) -> str:
    """Name the one output: `prediction`, or `probabilities`."""
    return "prediction" if model.encoder.target.task == "regression" else "probabilities"


def _pixels(model: TrainedModel) -> dict[str, list[float]] | None:
    """Say what the network's first step subtracts from pixels / 255, and divides them by, a channel each."""
    image = model.encoder.image
    if image is None:
        return None
    published = [tensor[0].flatten().tolist() for name, tensor in model.weights.items() if name.endswith(SCALE)]
    if published:
        return dict(zip(("means", "deviations"), published, strict=True))
    if image.encoding == "unit":
        return {"means": [0.0] * image.size[0], "deviations": [1.0] * image.size[0]}
    return {"means": list(image.means), "deviations": list(image.deviations)}


def _features(encoder: Encoder) -> list[dict[str, Any]]:
    return [
        {"name": name, "column": column.name, "value": _rule(column, name)}
        for column in encoder.columns
        for name in column.feature_names
    ]


def _rule(column: CategoryEncoder | NumberEncoder | ImageEncoder, feature: str) -> str:
    if isinstance(column, ImageEncoder):
        return "pixels as uint8, (channels, height, width); the program brings them to scale"
    if isinstance(column, CategoryEncoder):
        n_levels = len(column.levels)
        if column.encoding == "codes":
            return f"place of the level among levels, from 0; {n_levels} for another one, {n_levels + 1} where missing"
        label = feature.removeprefix(f"{column.name}=")
        rest = {"unseen": "not among levels", "missing": "missing"}
        return f"1 where the value is {label if label in column.levels else rest[label]}, else 0"
    if column.flagged and feature == f"{column.name}=missing":
        return "1 where the value is missing, else 0"
    if column.encoding == "quantile":
        return (
            "normal quantile of p, cut to 1e-7 … 1 - 1e-7; p is the mean of the lowest and the highest share at which "
            "the value stands among quantiles (equally spaced shares from 0 to 1, linear between); median where missing"
        )
    return "value * factor + offset, in float64; median for the value where it is missing"
