"""Models of each kind with drawn weights, for the tests of exchange: nothing has to be trained for them."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.layers.numbers import learn_numbers
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks import build_network
from torchlane.core.options import DataOptions, EncodingOptions, ModelOptions, TrainingOptions
from torchlane.core.rows.checking import apply_rules, check_rows


def table_rows(n_rows: int = 200) -> pd.DataFrame:
    """Rows as text: a skewed number, one with gaps, a category with a gap and a rare level, and targets."""
    random = np.random.default_rng(0)
    ages = random.integers(0, 50, n_rows)
    return pd.DataFrame(
        {
            "size": [str(size) for size in random.lognormal(3, 1, n_rows).round(2)],
            "age": [str(age) if age > 3 else "" for age in ages],
            "weight": [str(weight) for weight in random.normal(70, 9, n_rows).round(1)],
            "place": [*random.choice(["town", "village", "sea"], n_rows - 2), "", "moon"],
            "price": [str(price) for price in random.normal(100_000, 30_000, n_rows).round(1)],
            "pair": random.choice(["no", "yes"], n_rows),
            "kind": random.choice(["a", "b", "c"], n_rows),
        }
    )


def image_rows(size: tuple[int, int, int], n_rows: int = 40) -> pd.DataFrame:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (n_rows, *size), dtype=np.uint8)
    return pd.DataFrame({"image": list(pixels), "label": random.choice(list("01234"), n_rows)})


def table_model(target: str = "price", members: int = 1, categories: str = "one_hot", **model: Any) -> TrainedModel:
    task = {"price": "regression", "pair": "binary", "kind": "multiclass"}[target]
    columns = {name: {"kind": "number"} for name in ("size", "age", "weight")} | {"place": {"kind": "category"}}
    data = DataOptions.model_validate({"task": task, "target": target, "columns": columns})
    encoding = {"columns": {"size": "quantile", "weight": "min_max"}, "categories": categories}
    return drawn_model(data, EncodingOptions.model_validate(encoding), table_rows(), members, model)


def image_model(
    size: tuple[int, int, int] = (1, 12, 12), members: int = 1, pixels: str = "unit", **model: Any
) -> TrainedModel:
    columns = {"image": {"kind": "image", "size": size}, "label": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "multiclass", "target": "label", "columns": columns})
    return drawn_model(data, EncodingOptions(pixels=pixels), image_rows(size), members, model)


def drawn_model(
    data: DataOptions, encoding: EncodingOptions, rows: pd.DataFrame, members: int, model: dict[str, Any]
) -> TrainedModel:
    """Weights as they are before training, running statistics of batch norm as if after one; calibrated."""
    clean, _ = check_rows(rows, data)
    encoder, options = fit_encoder(clean, data, encoding), ModelOptions.model_validate(model)
    states = []
    for seed in range(members):
        torch.manual_seed(seed)
        network = build_network(options, encoder)
        if options.numbers.kind != "plain":
            learn_numbers([network], torch.from_numpy(encoder.encode_features(clean)))
            redrawn = ("numbers.weight", "linear_1.weight")  # parts of them are 0 before training
            for parameter in (each for name, each in network.named_parameters() if name in redrawn):
                torch.nn.init.normal_(parameter, std=0.2)
        state = network.state_dict()
        for name, tensor in state.items():
            if name.endswith("running_mean"):
                tensor.normal_(std=0.3)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
        states.append(state)
    weights = {name: torch.stack([state[name] for state in states]) for name in states[0]}
    numbers = {"n_rows": 9, "residuals": (10.0, 3000.0), "ranks": (1, 9), "spread_weight": 1e-4}
    calibration = numbers if data.task == "regression" else {"n_rows": 3, "temperature": 1.7}
    details = {"source": "drawn rows", "metrics": {"valid": 1.0}, "profile": {}}
    training = TrainingOptions(members=members)
    return TrainedModel(weights, encoder, data, options, training, details, Calibration.model_validate(calibration))


KINDS: dict[str, Callable[[], TrainedModel]] = {
    "mlp, regression, ensemble of 4": lambda: table_model(
        members=4, widths=[16, 8], batch_norm=True, dropout=0.2, activation="ReLU", numbers="plain"
    ),
    "mlp, binary, bins of numbers": lambda: table_model("pair", members=2, widths=[8], numbers="bins"),
    "mlp, few bins, batch norm": lambda: table_model(
        members=2, widths=[8], batch_norm=True, numbers={"kind": "bins", "bins": 3}
    ),
    "mlp, piecewise linear numbers": lambda: table_model(members=2, widths=[8], numbers={"kind": "piecewise_linear"}),
    "mlp, periodic numbers": lambda: table_model(
        "kind", members=2, widths=[8], numbers={"kind": "periodic", "frequencies": 5, "sigma": 0.3}
    ),
    "transformer, codes": lambda: table_model(
        "kind", kind="transformer", categories="codes", blocks=1, token_width=8, heads=2, dropout=0.1
    ),
    "cnn": lambda: image_model(members=2, kind="cnn", widths=[4, 6], dropout=0.1),
    "rnn, LSTM in both directions": lambda: image_model(
        (1, 6, 6), members=2, kind="rnn", widths=[6, 4], bidirectional=True, dropout=0.1
    ),
    "rnn, GRU": lambda: image_model((1, 6, 6), kind="rnn", cell="GRU", widths=[6]),
    "mlp on scaled pixels": lambda: image_model((3, 8, 8), pixels="z_score", widths=[8]),
    "torchvision": lambda: image_model((3, 32, 32), kind="torchvision", name="resnet18"),
}


def rows_for(model: TrainedModel) -> pd.DataFrame:
    """Raw rows, among them unseen levels and missing values."""
    if model.encoder.image is not None:
        return image_rows(model.encoder.image.size)
    rows = table_rows()
    rows.loc[:2, ["place", "age"]] = [["mars", "7"], ["", ""], ["sea", ""]]
    return rows


def predicted(model: TrainedModel, rows: pd.DataFrame) -> np.ndarray:
    """What `predict` gives in the columns that a program has too, in the program's order of labels."""
    table, target = model.predict(rows), model.encoder.target
    names = [f"probability_{label}" for label in target.restore(target.labels)] or "prediction"
    return table[names].to_numpy()


def encoded(model: TrainedModel, rows: pd.DataFrame) -> np.ndarray:
    clean, _ = apply_rules(rows, model.data.feature_columns, model.data.missing_values)
    return model.encoder.encode_features(clean)


def run_onnx(path: Path, features: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"features": features})[0]


def run_program(path: Path, features: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.load(path).module()(torch.from_numpy(features))[0].numpy()


class Bomb:
    """Writes a file where it is unpickled."""

    def __init__(self, crater: Path):
        self.crater = crater

    def __reduce__(self):
        return (Path.touch, (self.crater,))
