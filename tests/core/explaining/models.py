"""Untrained models of small tables, which explain just as well."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import TensorDataset

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.explaining.judged_rows import JudgedRows, judged_rows
from torchlane.core.layers.numbers import learn_numbers
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks import build_network
from torchlane.core.options import DataOptions, EncodingOptions, ModelOptions, TrainingOptions
from torchlane.core.rows.checking import check_rows

COLUMNS = {"size": {"kind": "number"}, "place": {"kind": "category"}, "built": {"kind": "date"}}


def raw_rows(n_rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Rows of every kind of column, some values missing, and a target for every task."""
    random = np.random.default_rng(seed)
    size = random.normal(size=n_rows).round(2)
    days = pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 900, n_rows), "D")
    rows = pd.DataFrame({"size": size.astype(str), "place": random.choice(["sea", "town", "hill"], n_rows)})
    rows["built"] = days.strftime("%Y-%m-%d")
    rows.loc[3, "size"] = rows.loc[5, "place"] = rows.loc[7, "built"] = ""
    rows["price"] = (size * 100 + (rows["place"] == "sea") * 50 + random.normal(size=n_rows)).round(2).astype(str)
    rows["kind"] = np.where(size + random.normal(size=n_rows) > 0, "dear", "cheap")
    rows["class"] = random.choice(["a", "b", "c"], n_rows)
    rows["weight"] = random.integers(0, 4, n_rows).astype(str)
    return rows


TARGETS = {"regression": "price", "binary": "kind", "multiclass": "class"}


def data_of(task: str = "regression", columns: dict[str, Any] = COLUMNS, **options: Any) -> DataOptions:
    return DataOptions.model_validate({"task": task, "target": TARGETS[task], "columns": columns, **options})


class Case:
    """A model of random weights, large enough that predictions differ, and the rows that it is for."""

    def __init__(self, rows: pd.DataFrame, data: DataOptions, network: ModelOptions, members: int, **encoding: Any):
        self.raw, self.data = rows, data
        self.clean, _ = check_rows(rows, data)
        encoder = fit_encoder(self.clean, data, EncodingOptions.model_validate({"target": "z_score", **encoding}))
        torch.manual_seed(0)
        networks = [build_network(network, encoder) for _ in range(members)]
        learn_numbers(networks, build_tensors(self.clean, encoder).tensors[0])
        states = [each.state_dict() for each in networks]
        weights = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        for name in sorted(weights.keys() - {"numbers.edges"}):
            started = weights[name] != 0  # weights of bins start at 0
            weights[name] = torch.where(started, 3 * weights[name], torch.randn(weights[name].shape))
        self.model = TrainedModel(weights, encoder, data, network, TrainingOptions(), {"source": "toy"})

    @property
    def tensors(self) -> TensorDataset:
        return build_tensors(self.clean, self.model.encoder)

    @property
    def splits(self) -> pd.DataFrame:
        return pd.DataFrame({"row": self.clean["row"], "part": "test"})

    @property
    def judged(self) -> JudgedRows:
        return judged_rows("test", self.model, self.tensors, self.clean, self.splits)

    @property
    def names(self) -> list[str]:
        return list(self.data.feature_columns)


def case(task: str = "regression", n_rows: int = 60, members: int = 3, **options: Any) -> Case:
    network = ModelOptions.model_validate({"widths": (8, 4), **options.pop("network", {})})
    encoding = options.pop("encoding", {})
    return Case(raw_rows(n_rows), data_of(task, **options), network, members, **encoding)
