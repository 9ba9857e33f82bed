"""Two trials that differ in one option give, stacked, what each gives alone: for every option that a search knows."""

import copy
import sys
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

from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks import build_network, named
from torchlane.core.options import (
    AugmentationOptions,
    DataOptions,
    LossOptions,
    OptimizerOptions,
    Recipe,
    SchedulerOptions,
    TrainingOptions,
)
from torchlane.core.options.searchable import OPEN, known_options
from torchlane.core.options.searchable import SEARCHED as SECTIONS
from torchlane.core.search.space import default_space
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit, group_alike
from torchlane.core.training.members import Member, make_members

CPU = torch.device("cpu")
ROWS, TRAIN_ROWS = 30, 18
SIZE = (1, 4, 4)
OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self, shape=None, n_features=None, n_outputs=1, power=1.0, width=3, rates=(0.1, 0.4)):
        super().__init__()
        self.power = power
        self.late, self.early = nn.Dropout(rates[0]), nn.Dropout(rates[1])
        self.hidden, self.head = nn.LazyLinear(width), nn.Linear(width, n_outputs)
        self.hidden = nn.Linear(n_features or 16, width)
        self.frozen = nn.Linear(width, width)
        self.frozen.requires_grad_(False)

    def forward(self, features):
        hidden = self.early(self.frozen(self.hidden(features.flatten(1))).sigmoid())
        return self.head(self.late((hidden + 1) ** self.power))
""".replace("self.hidden, self.head = nn.LazyLinear(width), nn.Linear", "self.head = nn.Linear")
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
    """Two or more values that an option takes, from the table or from its type."""
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


@pytest.fixture
def own_nets(tmp_path, monkeypatch):
    (tmp_path / "own_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(named, "_trusted", {"own_nets.Net"})
    yield
    sys.modules.pop("own_nets", None)


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
    training = recipe.training.model_copy(update={"seed": seed})
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
    """The recipe with an option changed; None where it does not go with the kind of network."""
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
    """A member for each value of an option that kind and task take."""
    members = []
    for seed, value in enumerate(values_of(name)):
        recipe = recipe_of(kind, name, value)
        if recipe is None:
            continue
        with suppress(ValueError):  # this task, or a table, has no such option
            members.append(make_member(recipe, kind, task, seed))
    return members


def check_same_as_alone(members: list[Member], tolerance: float = 1e-8) -> bool:
    """Compare weights and history of stacks with those of the same members alone; say whether there was a stack."""
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


def check_apart(kind: str, task: str, name: str, values: list[Any]) -> None:
    """Trials that differ in an option of which a stack has one alone."""
    recipes = [recipe_of(kind, name, value) for value in values]
    members = [make_member(recipe, kind, task, 0) for recipe in recipes if recipe is not None]
    assert group_alike(members) == [[place] for place in range(len(values))]


@pytest.mark.parametrize(
    ("kind", "task", "name", "values"),
    [
        ("mlp", "multiclass", "training.loss.label_smoothing", [0.0, 0.5]),
        ("mlp", "multiclass", "training.loss.class_weights", [None, {"a": 2.0}, {"a": 3.0}]),
        ("transformer", "regression", "model.heads", [2, 8]),
        ("cnn", "multiclass", "encoding.pixels", ["unit", "z_score"]),
        ("class", "regression", "model.arguments.power", [1.0, 2.0]),
    ],
)
def test_what_a_stack_has_once_separates_trials(own_nets, kind, task, name, values):
    check_apart(kind, task, name, values)


OWN_OF_TRAINING = {"members": 3, "seed": 5, "epochs": 4, "patience_epochs": 3, "learning_rate": 0.3}
SHARED_IN_TRAINING: dict[str, Any] = {
    "stacked": False,
    "batch_size": 5,
    "loss": LossOptions(label_smoothing=0.5),
    "optimizer": OptimizerOptions(name="SGD"),
    "scheduler": SchedulerOptions(name="LinearLR"),
    "augmentation": AugmentationOptions(shift=0.1),
    "clip_norm": 0.5,
    "exact": False,
    "precision": "bfloat16",
    "matmul_precision": "high",
    "compile": "default",
    "device": "cpu",
    "threads": 1,
    "checkpoint_minutes": 2.0,
    "checkpoint_epochs": 7,
}


def test_options_of_training_separate_unless_they_are_known_to_be_a_members_own():
    assert {*OWN_OF_TRAINING, *SHARED_IN_TRAINING} == set(TrainingOptions.model_fields)
    recipe = recipe_of("mlp", "training.clip_norm", None)
    assert recipe is not None
    for name, value in {**OWN_OF_TRAINING, **SHARED_IN_TRAINING}.items():
        one, other = (make_member(recipe, "mlp", "regression", 0) for _ in range(2))
        other.options = other.options.model_copy(update={name: value})
        assert (group_alike([one, other]) == [[0, 1]]) == (name in OWN_OF_TRAINING), name


def test_images_with_scales_of_their_own_stack_and_give_what_they_give_alone():
    recipe = recipe_of("cnn", "encoding.pixels", "z_score")
    assert recipe is not None
    members = [make_member(recipe, "cnn", "multiclass", seed, rows_seed=seed) for seed in range(3)]
    scales = {float(member.model.get_buffer("0.means")) for member in members}
    assert len(scales) == 3
    assert group_alike(members) == [[0, 1, 2]]
    check_same_as_alone(members)


def test_members_of_one_recipe_and_trials_of_the_default_space_are_one_stack(own_nets):
    for kind, task in [
        ("mlp", "multiclass"),
        ("transformer", "regression"),
        ("cnn", "multiclass"),
        ("class", "binary"),
    ]:
        recipe = recipe_of(kind, "training.patience_epochs", None)
        assert recipe is not None
        assert group_alike([make_member(recipe, kind, task, seed) for seed in range(16)]) == [list(range(16))]
    _, data = make_rows("mlp", "regression")
    recipe = recipe_of("mlp", "training.patience_epochs", None)
    assert recipe is not None
    space = default_space(recipe, data)
    drawn = [
        {"training.learning_rate": 0.01 * number, "model.dropout": 0.2 * number, "encoding.numbers": scale}
        | {"training.optimizer.arguments.weight_decay": 0.1 * number}
        for number, scale in enumerate(("z_score", "quantile", "z_score"), start=0)
    ]
    drawn[0]["training.learning_rate"] = 0.3
    assert set(drawn[0]) == set(space)
    trials = [make_member(recipe.changed(values), "mlp", "regression", 0) for values in drawn]
    assert group_alike(trials) == [[0, 1, 2]]
