from typing import Any

import pytest

from tests.core.training.stacked.test_options import check_same_as_alone, make_member, make_rows, recipe_of
from torchlane.core.options import (
    AugmentationOptions,
    LossOptions,
    OptimizerOptions,
    SchedulerOptions,
    TrainingOptions,
)
from torchlane.core.search.space import default_space
from torchlane.core.training.grouping import group_alike


def check_apart(kind: str, task: str, name: str, values: list[Any]) -> None:
    """Check that members with different values of an option are not stacked."""
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
    "sharing": "tabm",
    "refit": True,
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
