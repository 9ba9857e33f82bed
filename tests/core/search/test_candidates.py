import dataclasses
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.search.searches import RATES, apply, assert_trains_the_same, fake_training, record_recipes, search
from torchlane.core.options import DataOptions, ModelOptions, Recipe
from torchlane.core.search.ground import Ground

DIMENSIONS = {
    "training.optimizer": {
        "choices": [
            {"name": "Adam", "arguments": {}},
            {"name": "SGD", "arguments": {"momentum": 0.9}},
            {"name": "AdamW"},
        ]
    },
    "training.optimizer.arguments.weight_decay": {"low": 1e-4, "high": 0.1, "log": True},
    "training.loss": {"choices": ["huber", {"name": "l1"}, {}]},
    "training.scheduler": {"choices": [None, {"name": "StepLR", "arguments": {"step_size": 2}}]},
    "training.clip_norm": {"choices": [None, 1.0]},
    "training.learning_rate": {"low": 1e-3, "high": 0.1, "log": True},
    "training.batch_size": {"low": 4, "high": 64, "log": True},
    "model.dropout": {"low": 0, "high": 0.5, "step": 0.1},
    "model.activation": {"choices": ["ReLU", None]},
    "encoding.numbers": {"choices": ["z_score", "quantile"]},
    "encoding.columns": {"choices": [{}, {"size": "min_max"}, {"place": "codes"}]},
    "encoding.columns.size": {"choices": ["none", "quantile"]},
}
LAYERS = [
    {},
    {"model.widths": {"choices": [[8], [], [4, 8]]}},
    {"model.width": {"low": 4, "high": 16}},
    {"model.width": {"low": 4, "high": 16}, "model.depth": {"low": 1, "high": 3}},
]


@st.composite
def searches(draw: st.DrawFn) -> tuple[dict, dict]:
    """A space, and the sections of the recipe that it starts from."""
    names = draw(st.lists(st.sampled_from(sorted(DIMENSIONS)), unique=True, max_size=5))
    space = {**{name: DIMENSIONS[name] for name in names}, **draw(st.sampled_from(LAYERS))}
    given = {
        "encoding": {"columns": draw(st.sampled_from([{}, {"size": "none"}]))},
        "model": {"widths": draw(st.sampled_from([[8], [8, 4], []]))},
        "training": {
            "optimizer": draw(
                st.sampled_from([{"name": "AdamW", "arguments": {"weight_decay": 0.5}}, {"name": "SGD"}, {}])
            ),
            "epochs": 1,
            "learning_rate": draw(st.sampled_from([0.01, 0.5])),
            "loss": draw(st.sampled_from([{}, {"name": "l1"}])),
        },
    }
    return space or {"model.dropout": DIMENSIONS["model.dropout"]}, given


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(searches(), st.randoms(use_true_random=False), st.sampled_from(["random", "tpe"]))
def test_what_is_trained_is_to_the_last_option_what_was_tried(ground, asked, random, sampler):
    space, sections = asked
    what = ground(space, trials=6, round_trials=3, sampler=sampler)
    recipe = Recipe.model_validate(sections)
    if recipe.model.numbers.kind == "auto":  # the rows of a trial decide on it
        recipe = recipe.changed({"model.numbers": "bins"})
    what = dataclasses.replace(what, recipe=recipe).fitted()
    with pytest.MonkeyPatch.context() as patch:
        recipes = record_recipes(patch)
        fake_training(patch, random.random)
        chosen, leaderboard, _ = search(what)
    assert len(recipes) == 6
    assert_trains_the_same(recipes[0], what.recipe)
    assert set(leaderboard["state"]) == {"complete"}
    trained = apply(json.loads(json.dumps(chosen)), what)
    expected = recipes[chosen["trial"]]
    if chosen["values"]:
        assert trained == expected.model_copy(update={"trials": 6})
    else:  # the options as given are the best, and stay as they are written
        assert trained == what.recipe
        assert_trains_the_same(trained, expected)


def test_one_trial_that_fails_says_why_and_leaves_the_others_alone(ground):
    space = {
        "training.learning_rate": {"choices": [0.01, 1e14]},
        "training.optimizer.name": {"choices": ["SGD"]},
        "model.widths": {"choices": [[8]]},
    }
    chosen, leaderboard, _ = search(ground(space, sampler="grid", trials=2))
    assert leaderboard["state"].tolist() == ["complete", "fail"]
    assert "loss is" in leaderboard["error"][1] and "learning rate 1e+14" in leaderboard["error"][1]
    assert math.isnan(leaderboard["valid_r2_score"][1])
    assert chosen["values"] == {
        "model.widths": [8],
        "training.learning_rate": 0.01,
        "training.optimizer.name": "SGD",
    }


def test_combination_that_the_network_refuses_fails_that_trial_alone(ground):
    space = {"model.token_width": {"choices": [8, 16]}, "model.heads": {"choices": [8, 16]}}
    what = ground(space, sampler="grid", trials=4, epochs=1)
    recipe = what.recipe.model_copy(update={"model": ModelOptions(kind="transformer", token_width=16, blocks=1)})
    _, leaderboard, _ = search(Ground(what.clean_rows, what.splits, what.data, recipe, what.options))
    assert sorted(leaderboard["state"]) == ["complete"] * 3 + ["fail"]
    assert "token_width 8 must be a multiple of heads 16" in leaderboard["error"].iloc[-1]


def test_batch_size_that_batch_norm_refuses_fails_that_trial_alone_and_one_row_left_over_does_not(ground):
    what = ground({"training.batch_size": {"choices": [1]}}, epochs=1)
    n_train = int((what.splits["part"] == "train").sum())
    sizes = [1, 16, (n_train - 1) // 2, n_train - 1]  # the last two leave one row over
    what = ground({"training.batch_size": {"choices": sizes}}, sampler="grid", trials=4, epochs=1)
    recipe = what.recipe.model_copy(update={"model": ModelOptions(widths=(8,), batch_norm=True)})
    chosen, leaderboard, _ = search(Ground(what.clean_rows, what.splits, what.data, recipe, what.options))
    failed = leaderboard[leaderboard["state"] == "fail"]
    assert failed["training.batch_size"].tolist() == [1]
    assert (
        "batch norm needs at least 2 rows in a batch of training, and training.batch_size is 1"
        in failed.iloc[0]["error"]
    )
    assert sorted(leaderboard["state"]) == ["complete"] * 3 + ["fail"]
    assert leaderboard["training.batch_size"][0] in sizes[1:] and chosen["trial"] == leaderboard["trial"][0]


def test_metric_that_is_not_defined_on_valid_fails_the_trials(ground, toy_rows):
    data = DataOptions.model_validate(
        {"task": "binary", "target": "kind", "columns": {"size": {"kind": "number"}, "place": {"kind": "category"}}}
    )
    what = ground(RATES, data=data)
    dear = what.clean_rows.loc[what.clean_rows["kind"] == "dear", "row"]
    splits = what.splits[~((what.splits["part"] == "valid") & what.splits["row"].isin(dear))]
    with pytest.raises(
        ValueError, match="roc_auc_score is not defined on valid, .* one target; set another split.seed"
    ):
        search(Ground(what.clean_rows, splits, data, what.recipe, what.options))
