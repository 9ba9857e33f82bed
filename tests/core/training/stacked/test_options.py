"""Trials that differ in one option give the same results stacked as alone, for every option that can be searched."""

import copy
from contextlib import suppress
from typing import Any, Literal, get_args, get_origin

import annotated_types
import numpy as np
import pandas as pd
import pytest
import torch
from pydantic.fields import FieldInfo
from torch import nn
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted
from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks import build_network
from torchlane.core.options import (
    DataOptions,
    Recipe,
)
from torchlane.core.options.searchable import OPEN, known_options
from torchlane.core.options.searchable import SEARCHED as SECTIONS
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.grouping import group_alike
from torchlane.core.training.members import Member, make_members

CPU = torch.device("cpu")
ROWS, TRAIN_ROWS = 30, 18
SIZE = (1, 4, 4)
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"widths": [6, 4], "dropout": 0.2, "activation": "Tanh"},
    "transformer": {"kind": "transformer", "token_width": 8, "heads": 2, "blocks": 1, "dropout": 0.2},
    "cnn": {"kind": "cnn", "widths": [3, 4], "depth": 1, "dropout": 0.2},
    "rnn": {"kind": "rnn", "widths": [4], "dropout": 0.2},
    "class": {"class": "own_nets.Net"},
}
SLOW = pytest.mark.slow
CASES = [
    ("mlp", "multiclass"),
    ("transformer", "regression"),
    ("cnn", "multiclass"),
    ("rnn", "binary"),
    ("class", "regression"),
    pytest.param("mlp", "regression", marks=SLOW),
    pytest.param("mlp", "binary", marks=SLOW),
    pytest.param("transformer", "multiclass", marks=SLOW),
    pytest.param("cnn", "regression", marks=SLOW),
    pytest.param("rnn", "multiclass", marks=SLOW),
    pytest.param("class", "multiclass", marks=SLOW),
]
VALUES: dict[str, list[Any]] = {  # of options whose type does not say what they take
    "encoding.columns": [{"size": "quantile"}, {"place": "codes"}, {}],
    "encoding.columns.size": ["quantile", "min_max"],
    "encoding.columns.place": ["codes", "one_hot"],
    "model.widths": [[6, 4], [5, 4], [4]],
    "model.numbers": ["plain", "bins", {"kind": "bins", "bins": 4}, "periodic"],
    "model.activation": ["Tanh", "ReLU", "SiLU", None],
    "model.token_width": [8, 16],
    "model.heads": [1, 2, 4],
    "model.arguments": [{}, {"power": 2.0}, {"width": 4}, {"rates": (0.3, 0.2)}],
    "model.arguments.power": [1.0, 2.0, 0.5],
    "model.arguments.rates": [(0.1, 0.4), (0.3, 0.2)],
    "model.weights": [],  # those that are published belong to torchvision alone
    "model.weights_folder": [],
    "training.batch_size": [8, 12],
    "training.learning_rate": [0.01, 0.002],
    "training.loss": ["mse", "l1", "huber", {"label_smoothing": 0.5}],
    "training.loss.name": ["mse", "l1", "huber", None],
    "training.loss.class_weights": [None, "balanced", {"a": 3.0}, {"b": 0.2}],
    "training.optimizer": [{"name": "SGD"}, {"name": "AdamW", "arguments": {"weight_decay": 0.3}}, {"name": "NAdam"}],
    "training.optimizer.name": ["AdamW", "Adam", "SGD", "RMSprop"],
    "training.optimizer.arguments": [
        {},
        {"weight_decay": 0.3},
        {"betas": (0.5, 0.9)},
        {"eps": 0.01},
        {"amsgrad": True},
    ],
    "training.optimizer.arguments.weight_decay": [0.0, 0.3],
    "training.optimizer.arguments.betas": [(0.9, 0.999), (0.5, 0.9)],
    "training.scheduler": [None, {"name": "CosineAnnealingLR"}, {"name": "OneCycleLR", "step": "batch"}],
    "training.scheduler.name": ["CosineAnnealingLR", "LinearLR", "CosineAnnealingWarmRestarts"],
    "training.scheduler.step": ["epoch", "batch"],
    "training.scheduler.arguments": [{"T_0": 2}, {"T_0": 3}],
    "training.scheduler.arguments.T_0": [2, 3],
    "training.augmentation": [None, {"shift": 0.3}],
    "training.patience_epochs": [1, 2, None],
    "training.clip_norm": [None, 0.01, 0.1],
    "model.width": [4, 6],
}
BESIDE: dict[str, dict[str, Any]] = {  # what an option needs, to be of any effect
    "training.scheduler": {"name": "CosineAnnealingWarmRestarts", "arguments": {"T_0": 2}},
    "training.augmentation": {"shift": 0.1},
}


def field_of(name: str) -> FieldInfo | None:
    model: Any = SECTIONS[name.split(".")[0]]
    field = None
    for key in name.split(".")[1:]:
        field = getattr(model, "model_fields", {}).get(key)
        if field is None:
            return None
        inner = [each for each in (field.annotation, *get_args(field.annotation)) if hasattr(each, "model_fields")]
        model = inner[0] if inner else None
    return field


def values_of(name: str) -> list[Any]:
    """Give at least two valid values of an option, from the table or from its type."""
    if name in VALUES:
        return VALUES[name]
    field = field_of(name)
    if field is None:
        return []
    if get_origin(field.annotation) is Literal:
        return list(get_args(field.annotation))
    limits = {type(limit): limit for limit in field.metadata}
    for each in field.metadata:
        limits |= {type(limit): limit for limit in getattr(each, "metadata", ())}
    low: Any = getattr(limits.get(annotated_types.Ge), "ge", getattr(limits.get(annotated_types.Gt), "gt", 0))
    if field.annotation is bool:
        return [False, True]
    if field.annotation is int:
        return [low, low + 1]
    if field.annotation is float:
        return [low + 0.01, low + 0.5]
    return []


NAMES = [*known_options(), *(name for name in VALUES if name not in known_options())]


def test_every_option_that_a_search_knows_has_values_to_be_tried():
    lacking = [name for name in NAMES if len(values_of(name)) < 2 and VALUES.get(name) != []]
    assert lacking == []
    assert [group for group in OPEN if not any(name.startswith(f"{group}.") for name in VALUES)] == []


def make_rows(kind: str, task: str, seed: int = 0) -> tuple[pd.DataFrame, DataOptions]:
    draw = np.random.default_rng(seed)
    columns: dict[str, Any] = {"size": {"kind": "number"}, "place": {"kind": "category"}, "rare": {"kind": "category"}}
    size = draw.exponential(2.0, ROWS)
    table = {"size": size, "place": draw.choice(["x", "y", "z"], ROWS), "rare": ["n"] * (ROWS - 3) + ["o", "p", "o"]}
    if kind in ("cnn", "rnn"):
        columns = {"image": {"kind": "image", "size": SIZE}}
        table = {"image": [draw.integers(0, 200, SIZE, dtype=np.uint8).tobytes() for _ in range(ROWS)]}
    labels = {"binary": ["a", "b"], "multiclass": ["a", "b", "c"]}.get(task)
    table["y"] = (
        size + draw.normal(size=ROWS) if labels is None else [labels[int(4 * each) % len(labels)] for each in size]
    )
    return pd.DataFrame(table), DataOptions.model_validate({"task": task, "target": "y", "columns": columns})


def make_member(recipe: Recipe, kind: str, task: str, seed: int, rows_seed: int = 0) -> Member:
    rows, data = make_rows(kind, task, rows_seed)
    encoder: Encoder = fit_encoder(rows[:TRAIN_ROWS], data, recipe.encoding)
    train, valid = (
        build_tensors(part.reset_index(drop=True), encoder) for part in (rows[:TRAIN_ROWS], rows[TRAIN_ROWS:])
    )
    training = fitted({name: value for name, value in dict(recipe.training).items() if value != "auto"}, seed=seed)
    objective = Objective.of(encoder.target, training.loss)

    def build() -> nn.Module:
        network = build_network(recipe.model, encoder, training.augmentation).double()
        if encoder.image is not None:
            network = nn.Sequential(*network[:-1], Double(), network[-1])
        return network

    return make_members(build, in_double(train), in_double(valid), objective, training, CPU)[0]


class Double(nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values.double()


def in_double(dataset: TensorDataset) -> TensorDataset:
    return TensorDataset(*(each.double() if each.is_floating_point() else each for each in dataset.tensors))


def recipe_of(kind: str, name: str, value: Any) -> Recipe | None:
    """Give the recipe with one option changed; None if the kind of network does not allow it."""
    training: dict[str, Any] = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "patience_epochs": None}
    group = ".".join(name.split(".")[:2])
    if group in BESIDE and group != name:
        training[group.split(".")[1]] = BESIDE[group]
    try:
        given = Recipe.model_validate({"encoding": {"target": "z_score"}, "model": MODELS[kind], "training": training})
        return given.changed({name: value})
    except ValueError:
        return None


def members_of(kind: str, task: str, name: str) -> list[Member]:
    """Make a member for each value of an option that kind and task allow."""
    members = []
    for seed, value in enumerate(values_of(name)):
        recipe = recipe_of(kind, name, value)
        if recipe is None:
            continue
        with suppress(ValueError):  # this task, or a table, has no such option
            members.append(make_member(recipe, kind, task, seed))
    return members


def check_same_as_alone(members: list[Member], tolerance: float = 1e-8) -> bool:
    """Compare weights and history of stacked members with those of each alone; say whether any were stacked."""
    stacks = [indices for indices in group_alike(members) if len(indices) > 1]
    for indices in stacks:
        together = fit([copy.deepcopy(members[index]) for index in indices], NoCheckpoints())
        for index, outcome in zip(indices, together, strict=True):
            (alone,) = fit([copy.deepcopy(members[index])], NoCheckpoints())
            assert len(outcome["history"]) == len(alone["history"])
            for key, expected in alone["weights"].items():
                torch.testing.assert_close(outcome["weights"][key], expected, rtol=0, atol=tolerance)
            for line, expected_line in zip(outcome["history"], alone["history"], strict=True):
                for key in ("train_loss", "valid_loss", "learning_rate"):
                    assert line[key] == pytest.approx(expected_line[key], abs=tolerance, nan_ok=True), key
    return bool(stacks)


@pytest.mark.parametrize(("kind", "task"), CASES)
def test_trials_that_differ_in_one_option_give_stacked_what_they_give_alone(own_nets, kind, task):
    stacked = set()
    for name in NAMES:
        members = members_of(kind, task, name)
        if check_same_as_alone(members):
            stacked.add(name)
    assert kind == "rnn" or {"training.learning_rate", "training.optimizer.arguments"} <= stacked
