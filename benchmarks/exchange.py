"""Exports: how long they take, how far their predictions are from the model's, and how fast the programs are."""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import torch

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.exchange import export_model
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks import build_network
from torchlane.core.options import DataOptions, EncodingOptions, ModelOptions, TrainingOptions
from torchlane.core.rows.checking import check_rows

REPEATS = 5
N_ROWS = 256


def model_of(rows: pd.DataFrame, data: dict, members: int, **model: object) -> TrainedModel:
    """Make a model with drawn weights, which is as fast as a trained one."""
    options, checked = ModelOptions.model_validate(model), DataOptions.model_validate(data)
    clean, _ = check_rows(rows, checked)
    encoder = fit_encoder(clean, checked, EncodingOptions())
    states = []
    for seed in range(members):
        torch.manual_seed(seed)
        states.append(build_network(options, encoder).state_dict())
    weights = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    return TrainedModel(weights, encoder, checked, options, TrainingOptions(members=members))


def table(members: int, **model: object) -> TrainedModel:
    """Make a model of 120 features, as salaries_2025 has."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame({f"x{number}": random.normal(size=300).astype(str) for number in range(120)})
    columns = {name: {"kind": "number"} for name in rows}
    rows["y"] = random.normal(size=300).astype(str)
    return model_of(rows, {"task": "regression", "target": "y", "columns": columns}, members, **model)


def images(size: tuple[int, int, int], **model: object) -> TrainedModel:
    """Make a model of images in ten classes."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (40, *size), dtype=np.uint8)
    rows = pd.DataFrame({"image": list(pixels), "label": [str(number % 10) for number in range(40)]})
    columns = {"image": {"kind": "image", "size": size}, "label": {"kind": "category"}}
    return model_of(rows, {"task": "multiclass", "target": "label", "columns": columns}, 1, **model)


def predict(model: TrainedModel, features: torch.Tensor) -> torch.Tensor:
    """Do what `predict` does with encoded rows."""
    return model.joint_prediction(model.member_predictions(features))


def seconds(run: Callable[[torch.Tensor], object], features: torch.Tensor) -> float:
    """Give the median time of a run, after one that does not count."""
    run(features)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run(features)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print a line a model and format."""
    models = {
        "16 perceptrons 120-128-128-1": table(16, widths=[128, 128]),
        "cnn, 28 x 28": images((1, 28, 28), kind="cnn", widths=[16, 48, 96]),
        "LSTM 128, 28 x 28": images((1, 28, 28), kind="rnn", widths=[128]),
        "resnet18, 64 x 64": images((3, 64, 64), kind="torchvision", name="resnet18"),
    }
    print("model, format: seconds to export, MB, largest difference; milliseconds of 256 rows (predict's network)")
    for name, model in models.items():
        shape = (N_ROWS, *model.encoder.feature_shape)
        features = (
            torch.randn(shape) if model.encoder.image is None else torch.randint(0, 256, shape, dtype=torch.uint8)
        )
        own = seconds(partial(predict, model), features)
        with tempfile.TemporaryDirectory() as folder:
            for ending in (".onnx", ".pt2"):
                path = Path(folder) / f"model{ending}"
                start = time.perf_counter()
                done = export_model(model, path)
                taken = time.perf_counter() - start
                program = onnx_program(path) if ending == ".onnx" else torch_program(path)
                each = seconds(program, features)
                size, difference = path.stat().st_size / 1e6, done.difference
                print(
                    f"{name}, {ending}: {taken:.1f} s, {size:.1f}, {difference:.1e}; {1e3 * each:.1f} ({1e3 * own:.1f})"
                )


def onnx_program(path: Path) -> Callable[[torch.Tensor], object]:
    """Read it with ONNX Runtime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda features: session.run(None, {"features": features.numpy()})


def torch_program(path: Path) -> Callable[[torch.Tensor], object]:
    """Read it with torch.export, interpreted and not compiled."""
    program = torch.export.load(path).module()
    return torch.inference_mode()(program)


if __name__ == "__main__":
    main()
