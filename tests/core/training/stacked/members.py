"""Small members to stack, and the distance between two outcomes."""

import copy
from typing import Any

import torch
from torch import nn
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted, plain_model
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks import build_model
from torchlane.core.options import ModelOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.members import Member, Outcome, make_members

CPU = torch.device("cpu")
MODEL = plain_model(widths=(24, 10), dropout=0.3, activation="GELU")


def make_parts(seed: int = 0, n_rows: int = 150, dtype: torch.dtype = torch.float32) -> tuple[TensorDataset, ...]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n_rows, 13, generator=generator, dtype=torch.float64)
    targets = features[:, :1].sin() + features[:, 1:2] * features[:, 2:3]
    targets += 0.3 * torch.randn(n_rows, 1, generator=generator, dtype=torch.float64)
    features, targets = features.to(dtype), targets.to(dtype)
    return TensorDataset(features[:-40], targets[:-40]), TensorDataset(features[-40:], targets[-40:])


def member(
    seed: int,
    model: ModelOptions = MODEL,
    parts: tuple[TensorDataset, ...] | None = None,
    task: str = "regression",
    **changes: Any,
) -> Member:
    options = fitted({"epochs": 10, "batch_size": 16, "seed": seed, **changes})
    train, valid = parts if parts is not None else make_parts()
    dtype = train.tensors[0].dtype
    target = TargetEncoder.model_validate({"name": "y", "task": task})
    width = int(train.tensors[1].max()) + 1 if task == "multiclass" else 1

    def build() -> nn.Module:
        return build_model(model, train.tensors[0].shape[1], width).to(dtype)

    return make_members(build, train, valid, Objective.of(target, None), options, CPU)[0]


def train(*members: Member) -> list[Outcome]:
    return fit(copy.deepcopy(members), NoCheckpoints())


def distance(one: Outcome, other: Outcome) -> float:
    return max(float((one["weights"][name] - other["weights"][name]).abs().max()) for name in one["weights"])


def same_bits(one: Outcome, other: Outcome) -> bool:
    return all(torch.equal(one["weights"][name], other["weights"][name]) for name in one["weights"])
