"""A model file as a program that runs without Torchlane, or as plain weights; each checked before it is kept."""

import json
import logging
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.encoding.images import BRIGHTEST, ImageEncoder
from torchlane.core.exchange.interface import INPUT, describe_interface, other_level, output_names
from torchlane.core.machine.files import replacing
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks.named import SCALE
from torchlane.core.networks.state_dicts import read_state_dict

FORMATS: Mapping[str, tuple[str, ...]] = {  # and the endings of their files
    "state_dict": (".pt", ".pth"),
    "onnx": (".onnx",),
    "torch_export": (".pt2",),
}
TOLERANCE = 1e-5  # of a probability, or of the target's scale
CHECKED_ROWS = 65
MISSING_SHARE = 0.1  # of the numbers in the rows of the check
ROWS = "rows"  # name of the dimension
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
PLAIN = ("weight_", "tensor_")  # names of the tensors in a .pt2 file that are stored as their bytes
EXTRA = "torchlane.json"  # entry of the interface in a .pt2 file


@dataclass(frozen=True)
class Export:
    """What was written, and how far its predictions are from the model's on `n_rows` rows, in their units."""

    path: Path
    interface: Path
    n_members: int
    n_rows: int
    difference: float


class Predictor(nn.Module):
    """All members of a model and what joins them, as one network.

    Shape: encoded features (n_rows, …) to float64 values and their spread, both (n_rows,), or probabilities
    (n_rows, n_labels).
    """

    def __init__(self, model: TrainedModel):
        super().__init__()
        self.members = nn.ModuleList(model.network(member) for member in range(model.n_members))
        self._of_members = model.task.predict
        self._target = model.encoder.target
        self._join = model.join_members

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        outputs = torch.stack([member(features) for member in self.members])  # (members, n_rows, width)
        of_members = self._of_members(outputs, self._target)
        joint = self._join(of_members)
        return (joint, of_members.std(0, correction=0)) if self._target.task == "regression" else (joint,)


def export_model(model: TrainedModel, path: str | Path, to: str | None = None, member: int | None = None) -> Export:
    """Write `model` in the format `to`, or the one of the path's ending, and beside it `<path>.json`.

    `state_dict` is what `torch.save` makes of the weights: with one member, or the one given, the
    `state_dict` of its network, which has the names that its own class gives them; else all of them, with
    the member axis in front. `onnx` and `torch_export` take encoded features, any number of rows, and
    give what `predict` gives: values and their spread, or probabilities. Before the file takes its place it
    is read back and compared with the model on drawn rows. The JSON says how to encode rows; it is part of
    the programs, too.

    Raises:
        ValueError: there is no such format, ending or member, the packages for ONNX are not there, the
            network cannot be exported, or the predictions differ by more than `TOLERANCE`.
    """
    path = Path(path)
    to = _format(path, to)
    if to == "onnx":
        _require_onnx()
    if member is not None:
        model = _only(model, member)
    interface = describe_interface(model)
    features = torch.from_numpy(model.encoder.encode_features(drawn_rows(model.encoder, CHECKED_ROWS)))
    expected = _predict(model, features)
    write, run = WRITERS[to]
    with replacing(path) as partial, _quietly():
        write(model, partial, interface)
        difference = max(
            _difference(given, wanted[: len(some)])
            for some in (features, features[:1])
            for given, wanted in zip(run(model, partial, some), expected, strict=True)
        )
        allowed = TOLERANCE * _scale(model, expected[0])
        if not difference <= allowed:
            raise ValueError(
                f"{path} was not kept: its predictions differ from those of the model by up to {difference:.3g}, "
                f"and {allowed:.3g} is allowed; export another format, and report this"
            )
    beside = path.with_name(f"{path.name}.json")
    with replacing(beside) as partial:
        partial.write_text(json.dumps(interface, indent=2), encoding="utf-8")
    return Export(path, beside, model.n_members, CHECKED_ROWS, difference)


def drawn_rows(encoder: Encoder, n_rows: int) -> pd.DataFrame:
    """Draw clean rows that an encoder takes: all levels and other ones, numbers of train's range, missing values."""
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
            shares = np.linspace(0, 1, len(column.quantiles))
            values = np.interp(random.random(n_rows), shares, column.quantiles)
            columns[column.name] = np.where(random.random(n_rows) < MISSING_SHARE, np.nan, values)
    return pd.DataFrame(columns)


def plain_names(model: TrainedModel) -> dict[str, str]:
    """Give each weight the name that it has in the class of its network, without what Torchlane puts around it.

    The scale of the pixels is no weight of that class and left out.
    """
    around = "" if model.encoder.image is None else "network."
    around += "model." if model.model.kind == "torchvision" else ""
    return {name: name.removeprefix(around) for name in model.weights if not name.endswith(SCALE)}


def _format(path: Path, to: str | None) -> str:
    endings = "; ".join(f"{name}: {' or '.join(known)}" for name, known in FORMATS.items())
    if to is None:
        to = next((name for name, known in FORMATS.items() if path.suffix in known), "")
    if to not in FORMATS:
        raise ValueError(f"{path} has the ending of no format that a model is exported to; there are {endings}")
    if path.suffix not in FORMATS[to]:
        raise ValueError(f"{path} has not the ending of {to}; {endings}")
    return to


def _only(model: TrainedModel, member: int) -> TrainedModel:
    if not 0 <= member < model.n_members:
        raise ValueError(f"there is no member {member}; the model has {model.n_members}, counted from 0")
    weights = {name: stacked[member : member + 1] for name, stacked in model.weights.items()}
    return replace(model, weights=weights, calibration=Calibration())  # valid has spoken of all of them


def _require_onnx() -> None:
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"ONNX needs {' and '.join(missing)}; uv sync --group onnx installs what was tested, "
            f"pip install {' '.join(missing)} what is newest"
        )


def _predict(model: TrainedModel, features: Tensor) -> tuple[Tensor, ...]:
    of_members = model.member_predictions(features)
    joint = model.joint_prediction(of_members)
    return (joint, model.spread(of_members)) if model.encoder.target.task == "regression" else (joint,)


def _scale(model: TrainedModel, expected: Tensor) -> float:
    """What a difference is compared with: 1 for probabilities, else the target's spread or the largest value seen."""
    target = model.encoder.target
    if target.task != "regression":
        return 1.0
    decoded = (expected - target.decode(torch.zeros(()))).abs().max().item()
    return max(decoded, abs(1 / target.factor) if target.factor != 1 else 0.0)


def _difference(found: Tensor, expected: Tensor) -> float:
    return (found - expected).abs().max().item() if found.shape == expected.shape else math.inf


def _write_state_dict(model: TrainedModel, path: Path, interface: dict[str, Any]) -> None:
    del interface
    alone = model.n_members == 1
    names = plain_names(model)
    saved = {plain: (model.weights[name][0] if alone else model.weights[name]).clone() for name, plain in names.items()}
    buffer = BytesIO()  # a path would leave its name in the file
    torch.save(saved, buffer)
    path.write_bytes(buffer.getvalue())


def _run_state_dict(model: TrainedModel, path: Path, features: Tensor) -> tuple[Tensor, ...]:
    saved, alone = read_state_dict(path), model.n_members == 1
    read = {name: saved[plain][None] if alone else saved[plain] for name, plain in plain_names(model).items()}
    return _predict(replace(model, weights={**model.weights, **read}), features)


def _program(model: TrainedModel) -> torch.export.ExportedProgram:
    """Trace the network for any number of rows; what Python does with their number asks for the strict tracer.

    Raises:
        ValueError: the network cannot be traced.
    """
    dtype = torch.float32 if model.encoder.image is None else torch.uint8
    example = torch.zeros(2, *model.encoder.feature_shape, dtype=dtype)
    shapes = {INPUT: {0: torch.export.Dim(ROWS)}}
    predictor = Predictor(model).eval().requires_grad_(False)
    errors = []
    for strict in (False, True):
        try:
            program = torch.export.export(predictor, (example,), dynamic_shapes=shapes, strict=strict)
        except Exception as error:  # whatever a network does that cannot be traced
            errors.append(str(error).strip().partition("\n")[0])
            continue
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # it names files of this machine
        return program
    raise ValueError(f"the network cannot be exported: {errors[0]}; export its state_dict instead")


def _write_torch_export(model: TrainedModel, path: Path, interface: dict[str, Any]) -> None:
    buffer = BytesIO()
    torch.export.save(_program(model), buffer, extra_files={EXTRA: json.dumps(interface)})
    path.write_bytes(buffer.getvalue())


def _run_torch_export(model: TrainedModel, path: Path, features: Tensor) -> tuple[Tensor, ...]:
    del model
    require_no_pickle(path)
    with torch.inference_mode():
        found: tuple[Tensor, ...] = torch.export.load(path).module()(features)
    return found


def require_no_pickle(path: Path) -> None:
    """Make sure that `torch.export.load` has nothing to unpickle but tensors: it would, without asking.

    A .pt2 file is a zip archive: graph and tables are JSON, tensors their bytes, and the example inputs
    what `torch.save` writes.

    Raises:
        ValueError: something in it is pickled.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("_config.json"):
                payloads = json.loads(archive.read(name))["config"].values()
                if any(each["use_pickle"] or not each["path_name"].startswith(PLAIN) for each in payloads):
                    raise ValueError(f"{path} holds pickled objects, listed in {name}")
            elif "/sample_inputs/" in name:
                torch.load(BytesIO(archive.read(name)), weights_only=True)
            elif name.endswith(".pt"):
                raise ValueError(f"{path} holds the pickle {name}")


def _write_onnx(model: TrainedModel, path: Path, interface: dict[str, Any]) -> None:
    program = torch.onnx.export(
        _program(model),
        (),
        input_names=[INPUT],
        output_names=output_names(model),
        dynamic_shapes={INPUT: {0: ROWS}},
        external_data=False,
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props["torchlane"] = json.dumps(interface)
    program.save(path, external_data=False)


def _run_onnx(model: TrainedModel, path: Path, features: Tensor) -> tuple[Tensor, ...]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return tuple(torch.from_numpy(each) for each in session.run(output_names(model), {INPUT: features.numpy()}))


Writer = Callable[[TrainedModel, Path, dict[str, Any]], None]
Runner = Callable[[TrainedModel, Path, Tensor], tuple[Tensor, ...]]
WRITERS: Mapping[str, tuple[Writer, Runner]] = {
    "state_dict": (_write_state_dict, _run_state_dict),
    "onnx": (_write_onnx, _run_onnx),
    "torch_export": (_write_torch_export, _run_torch_export),
}


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence what torch's exporters say of their own workings; their errors are raised, and the result is checked."""
    chatty = [
        logging.getLogger(name) for name in ("torch.export", "torch.onnx", "torch._dynamo", "onnxscript", "onnx_ir")
    ]
    levels = [each.level for each in chatty]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in chatty:
            each.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for each, level in zip(chatty, levels, strict=True):
                each.setLevel(level)
