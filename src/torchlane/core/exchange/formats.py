"""The formats that a model can be exported to: how a file of each is written, and how it is run."""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from torchlane.core.exchange.interface import INPUT, output_names
from torchlane.core.layers.coded import CodedLinear
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks.named import SCALE
from torchlane.core.networks.state_dicts import read_state_dict

ROWS = "rows"  # name of the dimension that may have any length
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
PLAIN = ("weight_", "tensor_")  # names of the tensors in a .pt2 file that are stored as their bytes
EXTRA = "torchlane.json"  # entry of the interface in a .pt2 file


class Predictor(nn.Module):
    """All members of a model, and the step that joins their predictions, as one network.

    It maps encoded features (n_rows, …) to float64 values and their spread, both (n_rows,), or to
    probabilities (n_rows, n_labels).
    """

    def __init__(self, model: TrainedModel):
        super().__init__()
        self.members = nn.ModuleList(model.network(member) for member in range(model.n_members))
        for layer in self.modules():
            if isinstance(layer, CodedLinear):
                layer.portable = True
        self._of_members = model.task.predict
        self._target = model.encoder.target
        self._join = model.join_members

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        outputs = torch.stack([member(features) for member in self.members])  # (members, n_rows, width)
        of_members = self._of_members(outputs, self._target)
        joint = self._join(of_members)
        return (joint, of_members.std(0, correction=0)) if self._target.task == "regression" else (joint,)


def plain_names(model: TrainedModel) -> dict[str, str]:
    """Map the name of each weight to its name in the class of the network, without Torchlane's wrappers.

    The scale of the pixels is left out, since it is not a weight of that class.
    """
    indicators = model.model.kind == "class" and not model.encoder.layout().is_plain
    around = "network." if indicators or model.encoder.image is not None else ""
    around += "model." if model.model.kind == "torchvision" else ""
    return {name: name.removeprefix(around) for name in model.weights if not name.endswith(SCALE)}


def predict_features(model: TrainedModel, features: Tensor) -> tuple[Tensor, ...]:
    """Predict encoded features with the model itself; the result has the form of `Predictor`'s."""
    of_members = model.member_predictions(features)
    joint = model.joint_prediction(of_members)
    return (joint, model.spread(of_members)) if model.encoder.target.task == "regression" else (joint,)


def require_onnx() -> None:
    """Check that the packages for ONNX are installed.

    Raises:
        ValueError: one is missing.
    """
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"ONNX needs {' and '.join(missing)}; install the tested versions with uv sync --group onnx, "
            f"or the newest with pip install {' '.join(missing)}"
        )


def _write_state_dict(model: TrainedModel, path: Path, interface: dict[str, Any]) -> None:
    del interface
    alone = model.n_members == 1
    names = plain_names(model)
    saved = {plain: (model.weights[name][0] if alone else model.weights[name]).clone() for name, plain in names.items()}
    buffer = BytesIO()  # torch.save would write the name of a path into the file
    torch.save(saved, buffer)
    path.write_bytes(buffer.getvalue())


def _run_state_dict(model: TrainedModel, path: Path, features: Tensor) -> tuple[Tensor, ...]:
    saved, alone = read_state_dict(path), model.n_members == 1
    read = {name: saved[plain][None] if alone else saved[plain] for name, plain in plain_names(model).items()}
    return predict_features(replace(model, weights={**model.weights, **read}), features)


def _program(model: TrainedModel) -> torch.export.ExportedProgram:
    """Trace the network for any number of rows.

    The second, strict tracer handles networks that use the number of rows in Python code.

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
        except Exception as error:  # the tracer raises errors of any kind
            errors.append(str(error).strip().partition("\n")[0])
            continue
        for node in program.graph.nodes:
            node.meta.pop("stack_trace", None)  # it contains paths of this machine
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
    """Check that a .pt2 file contains no pickle, since `torch.export.load` would unpickle it without asking.

    A .pt2 file is a zip archive. The graph and the tables are JSON, tensors are stored as their bytes, and
    the example inputs as `torch.save` writes tensors.

    Raises:
        ValueError: the file contains a pickle.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith("_config.json"):
                payloads = json.loads(archive.read(name))["config"].values()
                if any(each["use_pickle"] or not each["path_name"].startswith(PLAIN) for each in payloads):
                    raise ValueError(f"{path} contains pickled objects, listed in {name}")
            elif "/sample_inputs/" in name:
                torch.load(BytesIO(archive.read(name)), weights_only=True)
            elif name.endswith(".pt"):
                raise ValueError(f"{path} contains the pickle {name}")


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


@dataclass(frozen=True)
class Format:
    """The endings of a format's files, and the functions that write a file and run it on encoded features."""

    endings: tuple[str, ...]
    write: Writer
    run: Runner


FORMATS: Mapping[str, Format] = {
    "state_dict": Format((".pt", ".pth"), _write_state_dict, _run_state_dict),
    "onnx": Format((".onnx",), _write_onnx, _run_onnx),
    "torch_export": Format((".pt2",), _write_torch_export, _run_torch_export),
}
