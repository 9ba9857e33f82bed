import dataclasses
import json
import logging

import pytest
import torch

from tests.core.search.searches import WIDTHS, apply, assert_trains_the_same, record_recipes, search, without_seconds
from torchlane.core.networks.named import trust
from torchlane.core.options import ModelOptions, TuningOptions
from torchlane.core.search.given import given_params, given_values
from torchlane.datasets.studies import SQLStudies


class Own(torch.nn.Module):
    def __init__(self, n_features: int, n_outputs: int, width: int = 5):
        super().__init__()


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize(
    ("space", "given", "shown"),
    [
        ({"training.optimizer.arguments.weight_decay": {"low": 1e-4, "high": 0.3, "log": True}}, {}, "0.01"),
        ({"training.optimizer.arguments.weight_decay": {"low": 0.1, "high": 0.3}}, {}, "0.01"),
        ({"training.optimizer.arguments.amsgrad": {"choices": [True, False]}}, {}, "False"),
        ({"training.optimizer.arguments.betas": {"choices": [[0.8, 0.9], [0.9, 0.999]]}}, {}, "[0.9, 0.999]"),
        ({"training.learning_rate": {"low": 0.01, "high": 0.1}}, {}, "0.001"),
        ({"training.batch_size": {"choices": [8, 32]}}, {}, "16"),
        ({"training.loss": {"choices": ["huber", "mse"]}}, {"loss": "mse"}, "mse"),
        ({"training.loss.name": {"choices": ["huber", "l1"]}}, {}, "none"),
        ({"training.scheduler.arguments.gamma": {"low": 0.5, "high": 0.9}},
         {"scheduler": {"name": "StepLR", "arguments": {"step_size": 9}}}, "0.1"),
        ({"training.scheduler.arguments.T_max": {"low": 2, "high": 9}}, {"scheduler": {"name": "CosineAnnealingLR"}},
         "as given"),
        ({"encoding.columns.size": {"choices": ["min_max", "quantile"]}}, {}, "z_score"),
        ({"model.width": {"low": 16, "high": 64}, "model.depth": {"low": 2, "high": 3}}, {}, "8"),
        ({"model.dropout": {"low": 0, "high": 0.5}, **WIDTHS}, {}, "0"),
    ],
)  # fmt: skip
def test_first_trial_takes_the_options_as_given(ground, tmp_path, monkeypatch, sampler, space, given, shown):
    what = ground(space, training={"epochs": 2, **given}, sampler=sampler, trials=5, round_trials=2, prune_epochs=1)
    what = what.fitted()
    store = SQLStudies("toy", tmp_path / "search.sqlite")
    with monkeypatch.context() as patch:
        recipes = record_recipes(patch)
        first = search(what, store)
    assert_trains_the_same(recipes[0], what.recipe)
    line = first[1].set_index("trial").loc[0]
    assert str(line[next(iter(space))]) in (shown, f"{shown}.0")
    assert line["state"] == "complete"
    again = search(what, store)
    assert without_seconds(first[1]) == without_seconds(again[1])
    assert first[0] == again[0]
    if first[0]["trial"] == 0:
        assert_trains_the_same(apply(first[0], what), what.recipe)


def test_options_as_given_may_be_outside_the_space_and_win(ground, caplog):
    caplog.set_level(logging.INFO)
    space = {"training.learning_rate": {"low": 1e-9, "high": 1e-8}, "model.width": {"low": 16, "high": 17}}
    what = ground(space, training={"learning_rate": 0.02})
    what = dataclasses.replace(what, recipe=what.recipe.changed({"model.widths": [12, 8]}))
    chosen, leaderboard, _ = search(what)
    assert (chosen["trial"], chosen["values"]) == (0, {})
    assert leaderboard["model.width"][0] == "as given"
    assert "kept the options given: no other of 6 trials is better (the next is " in caplog.text
    assert apply(json.loads(json.dumps(chosen)), what) == what.recipe
    assert "options: as given, which the search kept" in caplog.text


def test_user_class_gives_its_default(ground):
    trust("tests.core.search.test_given.Own")
    model = ModelOptions.model_validate({"class": "tests.core.search.test_given.Own"})
    recipe = ground().recipe.model_copy(update={"model": model})
    space = TuningOptions.model_validate({"space": {"model.arguments.width": {"low": 2, "high": 9}}}).space
    assert given_values(recipe, space, ground().data) == given_params(recipe, space, ground().data)
    assert given_values(recipe, space, ground().data) == {"model.arguments.width": 5}
