"""Export of a model, as a program that runs without Torchlane or as plain weights; checked before it is kept."""

import json
import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.dates import DateEncoder
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.encoding.images import BRIGHTEST, ImageEncoder
from torchlane.core.exchange.formats import FORMATS, predict_features, require_onnx
from torchlane.core.exchange.interface import describe_interface, other_level
from torchlane.core.machine.files import replacing
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.trained import TrainedModel

TOLERANCE = 1e-5  # largest difference of a probability, or of a value as a share of the target's scale
CHECKED_ROWS = 65
MISSING_SHARE = 0.1  # of the numbers in the rows that are compared


@dataclass(frozen=True)
class Export:
    """The files written. `difference` is the largest difference from the model's predictions on `n_rows` rows."""

    path: Path
    interface: Path
    n_members: int
    n_rows: int
    difference: float


def export_model(model: TrainedModel, path: str | Path, to: str | None = None, member: int | None = None) -> Export:
    """Export `model` to `path`, and write its interface to `<path>.json`.

    The format is `to`, or follows from the ending of the path. `state_dict` is a file of `torch.save`. For a
    single member, or for the one given by `member`, it holds the `state_dict` of the network, with the names
    of the network's own class; otherwise it holds the weights of all members, with a leading member axis.
    `onnx` and `torch_export` are programs: they map encoded features of any number of rows to what `predict`
    gives, which is values and their spread, or probabilities. The interface says how to encode rows; a
    program contains it, too. Before a file is kept, it is read back and compared with the model on drawn rows.

    Raises:
        ValueError: the format, ending or member does not exist, the packages for ONNX are not installed, the
            network cannot be exported, or the predictions differ by more than `TOLERANCE`.
    """
    path = Path(path)
    to = _format(path, to)
    if to == "onnx":
        require_onnx()
    if member is not None:
        model = _only(model, member)
    interface = describe_interface(model)
    features = torch.from_numpy(model.encoder.encode_features(drawn_rows(model.encoder, CHECKED_ROWS)))
    expected = predict_features(model, features)
    with replacing(path) as partial, _quietly():
        FORMATS[to].write(model, partial, interface)
        difference = max(
            _difference(given, wanted[: len(some)])
            for some in (features, features[:1])
            for given, wanted in zip(FORMATS[to].run(model, partial, some), expected, strict=True)
        )
        allowed = TOLERANCE * _scale(model, expected[0])
        if not difference <= allowed:
            raise ValueError(
                f"{path} was not kept: its predictions differ from those of the model by up to {difference:.3g}, "
                f"and at most {allowed:.3g} is allowed; export another format, and report this"
            )
    interface_path = path.with_name(f"{path.name}.json")
    with replacing(interface_path) as partial:
        partial.write_text(json.dumps(interface, indent=2), encoding="utf-8")
    return Export(path, interface_path, model.n_members, CHECKED_ROWS, difference)


def drawn_rows(encoder: Encoder, n_rows: int) -> pd.DataFrame:
    """Draw clean rows for an encoder: known and unseen levels, numbers and dates in train's range, missing values."""
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {}
    for column in encoder.columns:
        if isinstance(column, ImageEncoder):
            pixels = random.integers(0, BRIGHTEST, (n_rows, *column.size), dtype=np.uint8, endpoint=True)
            columns[column.name] = pd.Series([image.tobytes() for image in pixels], dtype=object)
        elif isinstance(column, CategoryEncoder):
            cells = np.array([*column.levels, other_level(column), None], dtype=object)
            columns[column.name] = random.choice(cells, n_rows)
        else:
            quantiles = column.elapsed.quantiles if isinstance(column, DateEncoder) else column.quantiles
            values = np.interp(random.random(n_rows), np.linspace(0, 1, len(quantiles)), quantiles)
            values = np.where(random.random(n_rows) < MISSING_SHARE, np.nan, values)
            columns[column.name] = column.after(values) if isinstance(column, DateEncoder) else values
    return pd.DataFrame(columns)


def _format(path: Path, to: str | None) -> str:
    endings = "; ".join(f"{name}: {' or '.join(known.endings)}" for name, known in FORMATS.items())
    if to is None:
        to = next((name for name, known in FORMATS.items() if path.suffix in known.endings), None)
        if to is None:
            raise ValueError(f"{path} has the ending of no export format; the formats are {endings}")
    if to not in FORMATS:
        raise ValueError(f"there is no export format '{to}'; the formats are {endings}")
    if path.suffix not in FORMATS[to].endings:
        raise ValueError(f"{path} does not have an ending of {to}; the formats are {endings}")
    return to


def _only(model: TrainedModel, member: int) -> TrainedModel:
    if not 0 <= member < model.n_members:
        raise ValueError(f"there is no member {member}; the model has {model.n_members}, counted from 0")
    weights = {name: stacked[member : member + 1] for name, stacked in model.weights.items()}
    return replace(model, weights=weights, calibration=Calibration())  # the model's holds for all members together


def _scale(model: TrainedModel, expected: Tensor) -> float:
    """The unit of `TOLERANCE`: 1 for probabilities, otherwise the target's spread or the largest value predicted."""
    target = model.encoder.target
    if target.task != "regression":
        return 1.0
    decoded = (expected - target.decode(torch.zeros(()))).abs().max().item()
    return max(decoded, abs(1 / target.factor) if target.factor != 1 else 0.0)


def _difference(found: Tensor, expected: Tensor) -> float:
    return (found - expected).abs().max().item() if found.shape == expected.shape else math.inf


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence the logs and warnings of torch's exporters. Their errors are raised, and the result is checked."""
    loggers = [
        logging.getLogger(name) for name in ("torch.export", "torch.onnx", "torch._dynamo", "onnxscript", "onnx_ir")
    ]
    levels = [each.level for each in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in loggers:
            each.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)
