import dataclasses
import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks.named import trust
from torchlane.core.options import DataOptions, EncodingOptions, ModelOptions, Recipe, TrainingOptions, TuningOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import split_rows
from torchlane.core.search import tuning
from torchlane.core.search.chosen import apply_chosen, no_change
from torchlane.core.search.given import given_values, held_values
from torchlane.core.search.space import resolve_space
from torchlane.core.search.tuning import Ground, choose_options
from torchlane.core.training.members import Outcome
from torchlane.core.training.optimizers import optimizer_defaults, scheduler_defaults
from torchlane.datasets.checkpoints import FolderStore
from torchlane.datasets.studies import SQLStudies

RATES = {"training.learning_rate": {"low": 1e-3, "high": 0.1, "log": True}}
WIDTHS = {"model.widths": {"choices": [[8], [16]]}}


@pytest.fixture
def ground(toy_rows: pd.DataFrame, toy_data: DataOptions):
    """What a search on the toy rows works on; `space` and options of the search are the test's own."""

    def make(
        space: dict | None = None,
        rows: pd.DataFrame = toy_rows,
        data: DataOptions = toy_data,
        training: dict | None = None,
        **options: Any,
    ) -> Ground:
        clean, _ = check_rows(rows, data)
        splits = split_rows(clean, data, tuning_split())
        recipe = Recipe(
            encoding=EncodingOptions(target="z_score"),
            model=ModelOptions(widths=(8,)),
            training=TrainingOptions.model_validate(
                {"epochs": 24, "batch_size": 16, "patience_epochs": None, **(training or {})}
            ),
        )
        options = {"trials": 6, "prune_epochs": None, "space": space or {**RATES, **WIDTHS}, **options}
        return Ground(clean, splits, data, recipe, TuningOptions.model_validate(options))

    return make


def tuning_split():
    from torchlane.core.options import SplitOptions

    return SplitOptions(valid_fraction=0.25)


class Memory:
    """Studies that end with the process."""

    def __init__(self) -> None:
        self.worker = ""

    def open(self, storage: str | None, identity: dict[str, str], direction: str) -> optuna.Study:
        self.study = optuna.create_study(direction=direction)
        return self.study

    def found(self) -> None:
        return None


def search(ground: Ground, store: Any = None, checkpoints: Any = None):
    return choose_options(ground, store or Memory(), checkpoints or NoCheckpoints())


def without_seconds(leaderboard: pd.DataFrame) -> list[dict]:
    return leaderboard.drop(columns="seconds").fillna("").to_dict("records")


def test_random_trials_are_listed_best_first_and_the_best_is_chosen(ground):
    chosen, leaderboard, _ = search(ground())
    values = leaderboard["valid_r2_score"].tolist()
    assert values == sorted(values, reverse=True)
    assert len(leaderboard) == 6
    assert chosen["trial"] == leaderboard["trial"][0]
    assert chosen["valid_r2_score"] == values[0]
    assert chosen["values"]["training.learning_rate"] == pytest.approx(
        float(leaderboard["training.learning_rate"][0]), rel=1e-5
    )
    assert (leaderboard["state"] == "complete").all()
    assert (leaderboard["epochs"] == 24).all()


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
    assert chosen["values"] == {"model.widths": [12, 8], "training.learning_rate": 0.02}
    assert leaderboard["model.width"][0] == "as given"
    assert "with the options as given: no other is better (the next is " in caplog.text
    as_given = what.recipe.model_copy(update={"trials": chosen["trials"]})
    assert apply(json.loads(json.dumps(chosen)), what) == as_given


def test_user_class_gives_its_default(ground):
    trust("tests.core.search.test_tuning.Own")
    model = ModelOptions.model_validate({"class": "tests.core.search.test_tuning.Own"})
    recipe = ground().recipe.model_copy(update={"model": model})
    space = TuningOptions.model_validate({"space": {"model.arguments.width": {"low": 2, "high": 9}}}).space
    assert given_values(recipe, space, ground().data) == held_values(recipe, space, ground().data)
    assert given_values(recipe, space, ground().data) == {"model.arguments.width": 5}


class Own(torch.nn.Module):
    def __init__(self, n_features: int, n_outputs: int, width: int = 5):
        super().__init__()


def record_recipes(patch: pytest.MonkeyPatch) -> list[Recipe]:
    """Keep what each trial is built of, in the order of the trials; `changed` makes the recipe of a trial."""
    kept, make = [], tuning.make_members
    changed = Recipe.changed

    def made(build, train, valid, objective, training, device):
        kept[-1] = kept[-1].model_copy(update={"model": build.args[0], "training": kept[-1].training})
        return make(build, train, valid, objective, training, device)

    def noted(recipe: Recipe, values: dict) -> Recipe:
        kept.append(changed(recipe, values))
        return kept[-1]

    make_ready = tuning._Search._make_ready

    def ready(search: Any, trial: Any) -> Any:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Recipe, "changed", noted)
            inner.setattr(tuning, "make_members", made)
            return make_ready(search, trial)

    patch.setattr(tuning._Search, "_make_ready", ready)
    return kept


def assert_trains_the_same(recipe: Recipe, other: Recipe) -> None:
    """Compare two recipes, where an argument that is not set has its default."""

    def whole(recipe: Recipe) -> dict:
        named = recipe.model_dump(mode="json", exclude={"trials"})
        training = named["training"]
        training["optimizer"]["arguments"] = {
            **optimizer_defaults(recipe.training.optimizer),
            **recipe.training.optimizer.arguments,
        }
        if recipe.training.scheduler:
            training["scheduler"]["arguments"] = {
                **scheduler_defaults(recipe.training.scheduler),
                **recipe.training.scheduler.arguments,
            }
        columns = {"size": recipe.encoding.numbers, "place": recipe.encoding.categories}
        named["encoding"]["columns"] = {**columns, **recipe.encoding.columns}
        return json.loads(json.dumps(named))

    assert whole(recipe) == whole(other)


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
    what = dataclasses.replace(what, recipe=Recipe.model_validate(sections))
    with pytest.MonkeyPatch.context() as patch:
        recipes = record_recipes(patch)
        patch.setattr(tuning, "fit", lambda members, *_, **__: [fake_outcome([random.random()]) for _ in members])
        chosen, leaderboard, _ = search(what)
    assert len(recipes) == 6
    assert_trains_the_same(recipes[0], what.recipe)
    assert set(leaderboard["state"]) == {"complete"}
    trained = apply(json.loads(json.dumps(chosen)), what)
    assert trained == recipes[chosen["trial"]].model_copy(update={"trials": 6})


def fake_outcome(scores: list[float], losses: list[float] | None = None) -> Outcome:
    """What a training would leave whose valid score went like this."""
    losses = losses or [-score for score in scores]
    history = [
        {"epoch": number + 1, "valid_r2_score": score, "valid_loss": loss, "seconds": 0.0}
        for number, (score, loss) in enumerate(zip(scores, losses, strict=True))
    ]
    return Outcome(weights={}, history=history, kept=min(history, key=lambda line: line["valid_loss"]), error="")


def test_same_seed_gives_the_same_search_and_another_seed_another(ground):
    first, again, other = (search(ground(seed=seed)) for seed in (3, 3, 4))
    assert without_seconds(first[1]) == without_seconds(again[1])
    assert first[0] == again[0] and first[2] == again[2]
    assert without_seconds(first[1]) != without_seconds(other[1])


def test_trials_of_one_shape_train_as_one_stack(ground, caplog):
    caplog.set_level(logging.INFO)
    _, leaderboard, _ = search(ground(trials=8))
    stacks = [record.message for record in caplog.records if "in one stack" in record.message]
    shapes = leaderboard.groupby("model.widths")["trial"].agg(lambda trials: sorted(trials))
    assert len(stacks) == len(shapes) == 2
    for trials in shapes:
        assert any(message.startswith(f"search: {tuning._counted(trials)} in one stack") for message in stacks)


def test_a_trial_of_a_stack_has_the_value_that_it_has_alone(ground):
    space = {
        **RATES,
        "model.dropout": {"low": 0.1, "high": 0.5},
        "training.optimizer.arguments.weight_decay": {"low": 1e-3, "high": 0.1, "log": True},
        "encoding.numbers": {"choices": ["z_score", "quantile"]},
    }
    together = search(ground(space))[1].set_index("trial")["valid_r2_score"]
    alone = search(ground(space, training={"stacked": False}))[1].set_index("trial")["valid_r2_score"]
    np.testing.assert_allclose(together.sort_index(), alone.sort_index(), atol=1e-4)


def test_tpe_asks_in_rounds_and_learns_from_those_before(ground, caplog):
    caplog.set_level(logging.INFO)
    space = {"training.learning_rate": {"low": 1e-8, "high": 0.1, "log": True}}
    _, leaderboard, _ = search(ground(space, sampler="tpe", trials=24, round_trials=8, training={"epochs": 8}))
    rounds = [record.message for record in caplog.records if "in one stack" in record.message]
    assert [message.split(" in ")[0] for message in rounds] == [
        "search: trials 0 to 7",
        "search: trials 8 to 15",
        "search: trials 16 to 23",
    ]
    values = leaderboard.set_index("trial")["valid_r2_score"]
    assert values.loc[list(range(16, 24))].mean() > values.loc[list(range(8))].mean() + 0.2


def test_grid_tries_every_combination_once(ground):
    space = {
        "model.widths": {"choices": [[8], [16]]},
        "model.dropout": {"low": 0, "high": 0.4},
        "training.learning_rate": {"choices": [0.01]},
    }
    _, leaderboard, _ = search(ground(space, sampler="grid", trials=6))
    tried = set(zip(leaderboard["model.widths"], leaderboard["model.dropout"].astype(float), strict=True))
    assert tried == {(widths, dropout) for widths in ("[8]", "[16]") for dropout in (0, 0.2, 0.4)}
    assert len(search(ground(space, sampler="grid", trials=100))[1]) == 6


def test_grid_too_large_says_how_many(ground):
    space = {f"training.optimizer.arguments.{name}": {"low": 0.1, "high": 0.2} for name in ("eps", "weight_decay")}
    with pytest.raises(
        ValueError, match=r"the grid has 1,000,000 combinations, more than tuning.trials 6; raise trials"
    ):
        search(ground(space, sampler="grid", grid_points=1000))


def test_search_never_sees_test(ground, toy_rows):
    given = ground()
    test_rows = given.splits.loc[given.splits["part"] == "test", "row"] - 1
    assert len(test_rows)
    rows = toy_rows.copy()
    rows.loc[test_rows, "price"] = [str(10_000 + number) for number in range(len(test_rows))]
    assert (ground(rows=rows).splits == given.splits).all(axis=None)
    first, second = search(given), search(ground(rows=rows))
    assert without_seconds(first[1]) == without_seconds(second[1])
    assert first[0] == second[0]


def test_losses_are_made_small_and_scores_large(ground, monkeypatch):
    assert ground().direction == "maximize"
    monkeypatch.setattr(Ground, "metric", property(lambda self: "mean_absolute_error"))
    assert ground().direction == "minimize"
    monkeypatch.setattr(Ground, "metric", property(lambda self: "cross_entropy_loss"))
    assert ground().direction == "minimize"
    values = [0.3, 0.1, 0.2]
    assert min(values, key=ground().better) == 0.1


def test_worse_half_is_given_up_early_and_never_chosen(ground):
    space = {"training.learning_rate": {"low": 1e-6, "high": 0.1, "log": True}}
    chosen, leaderboard, _ = search(ground(space, trials=8, prune_epochs=6))
    pruned = leaderboard[leaderboard["state"] == "pruned"]
    assert len(pruned) == 6
    assert sorted(pruned["epochs"]) == [6, 6, 6, 6, 12, 12]
    assert (leaderboard["epochs"][:2] == 24).all()
    whole = search(ground(space, trials=8))[1]
    assert chosen["trial"] == whole["trial"][0]
    assert leaderboard.columns.tolist()[:6] == ["trial", "state", "valid_r2_score", "epochs", "seconds", "error"]


def test_trials_are_compared_with_those_of_other_stacks_too(ground):
    records = [{"rungs": {"6": value}} for value in (0.9, 0.8, 0.7, 0.6)]
    halving = tuning._Halving(ground(prune_epochs=6), owners=[5, 6], others=records)
    lines = {0: {"valid_r2_score": 0.75}, 1: {"valid_r2_score": 0.65}}
    assert halving(5, lines) == set()
    assert halving(6, lines) == {1}
    assert halving(12, lines) == set()
    assert tuning._Halving(ground(prune_epochs=6), [5, 6], [])(6, lines) == set()


def test_trials_are_compared_as_they_stood_after_the_epoch_and_not_later(ground):
    """The curves cross right after the comparison: who was ahead then stays."""
    what = ground(prune_epochs=2)
    judge = object.__new__(tuning._Search)
    judge._ground = what
    curves = {0: [0.1, 0.2, 0.9], 1: [0.1, 0.3, 0.8], 2: [0.1, 0.6, 0.0], 3: [0.1, 0.7, 0.0]}
    curves = {number: [*curve, *curve[-1:] * 21] for number, curve in curves.items()}
    for number, curve in curves.items():
        record = judge._record([fake_outcome(curve, [*range(24, 0, -1)])], what.recipe.training)
        assert record["rungs"]["2"] == curve[1], number
        assert record["rungs"]["4"] == curve[3], number
    records = [
        judge._record([fake_outcome(curves[number], [*range(24, 0, -1)])], what.recipe.training) for number in (0, 3)
    ]
    halving = tuning._Halving(what, owners=[1, 2], others=records)
    lines = {0: {"valid_r2_score": curves[1][1]}, 1: {"valid_r2_score": curves[2][1]}}
    assert halving(2, lines) == {0}
    assert halving(1, lines) == set() == halving(3, lines)


def test_stop_sees_no_line_of_a_later_epoch(ground, monkeypatch):
    asked, called = [], tuning._Halving.__call__

    def looking(halving, epoch, kept):
        asked.append((epoch, max(line["epoch"] for line in kept.values())))
        return called(halving, epoch, kept)

    monkeypatch.setattr(tuning._Halving, "__call__", looking)
    for stacked in (True, False):
        search(ground(trials=4, prune_epochs=6, training={"stacked": stacked}))
    assert asked
    assert all(latest <= epoch for epoch, latest in asked)


def test_options_as_given_are_compared_but_never_given_up(ground, caplog):
    caplog.set_level(logging.INFO)
    what = ground({"training.learning_rate": {"low": 0.05, "high": 0.1}}, trials=8, prune_epochs=3,
                  training={"learning_rate": 1e-7})  # fmt: skip
    chosen, leaderboard, _ = search(what)
    assert leaderboard.set_index("trial").loc[0, "state"] == "complete"
    assert leaderboard.set_index("trial").loc[0, "epochs"] == 24
    assert (leaderboard["state"] == "pruned").any()
    best, given = leaderboard["valid_r2_score"][0], leaderboard.set_index("trial")["valid_r2_score"][0]
    line = f"the best of 8 trials is trial {chosen['trial']}: valid r2_score {best:.4g}, "
    assert f"{line}{best - given:.2g} better than the options as given" in caplog.text
    lines = {0: {"valid_r2_score": 0.1}, 1: {"valid_r2_score": 0.2}}
    others = [{"rungs": {"3": value}} for value in (0.9, 0.8, 0.7, 0.6)]
    assert tuning._Halving(what, [0, 5], others, kept=0)(3, lines) == {1}
    assert tuning._Halving(what, [0, 5], others)(3, lines) == {0, 1}


def test_a_search_that_did_not_help_says_so_and_keeps_the_options_as_given(ground, caplog):
    caplog.set_level(logging.INFO)
    space = {"training.learning_rate": {"choices": [0.002, 0.001]}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "fit", lambda members, *_, **__: [fake_outcome([0.5]) for _ in members])
        chosen, leaderboard, _ = search(ground(space, sampler="grid", training={"epochs": 1}))
    assert leaderboard["training.learning_rate"].tolist()[0] == "0.001"
    assert chosen["values"] == {"training.learning_rate": 0.001}
    assert "with the options as given: no other is better (the next is 0 behind)" in caplog.text
    space = {"training.learning_rate": {"choices": [0.003, 0.002]}}
    search(ground(space, sampler="grid", training={"epochs": 1}))
    assert "the options as given are no trial of the grid" in caplog.text


def test_members_of_a_trial_count_by_their_mean_and_leave_together(ground):
    space = {"training.learning_rate": {"low": 1e-6, "high": 0.1, "log": True}}
    _, one, _ = search(ground(space, trials=4))
    _, three, _ = search(ground(space, trials=4, members=3, prune_epochs=6))
    assert sorted(three["epochs"]) == [6, 6, 24, 24]
    assert three["valid_r2_score"][0] != one["valid_r2_score"][0]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize(
    ("place", "when"),
    [
        ("add_trial", 0),
        ("add_trial", 3),
        ("fit", 0),
        ("fit", 1),
        ("tell", 0),
        ("tell", 2),
        ("tell", 7),
        ("epoch", 9),
        ("epoch", 40),
    ],
)
def test_a_search_killed_anywhere_goes_on_and_ends_the_same(ground, tmp_path, monkeypatch, sampler, place, when):
    what = ground(trials=8, prune_epochs=6, sampler=sampler, round_trials=4, training={"checkpoint_epochs": 4})
    expected = search(what, SQLStudies("toy", tmp_path / "whole.sqlite"))
    store = SQLStudies("toy", tmp_path / "search.sqlite")
    checkpoints = FolderStore(tmp_path / "checkpoints")
    calls = [0]

    def dying(function):
        def wrapped(*arguments, **options):
            calls[0] += 1
            if calls[0] == when + 1:
                raise Killed
            return function(*arguments, **options)

        return wrapped

    with monkeypatch.context() as patch:
        if place == "fit":
            patch.setattr(tuning, "fit", dying(tuning.fit))
        elif place == "epoch":
            patch.setattr(tuning._Halving, "__call__", dying(tuning._Halving.__call__))
        else:
            patch.setattr(optuna.Study, place, dying(getattr(optuna.Study, place)))
        with pytest.raises(Killed):
            search(what, store, checkpoints)
    chosen, leaderboard, importances = search(what, store, checkpoints)
    assert without_seconds(leaderboard) == without_seconds(expected[1])
    assert (chosen, importances) == (expected[0], expected[2])
    assert not list((tmp_path / "checkpoints").glob("*.safetensors"))


def test_a_finished_search_is_not_made_again_and_more_trials_go_on_from_it(ground, tmp_path, monkeypatch):
    store = SQLStudies("toy", tmp_path / "search.sqlite")
    first = search(ground(), store)
    with monkeypatch.context() as patch:
        patch.setattr(tuning, "fit", None)
        again = search(ground(), store)
    assert without_seconds(first[1]) == without_seconds(again[1])
    more = search(ground(trials=8), store)[1]
    assert set(more["trial"]) == set(range(8))
    before, after = (each.set_index("trial")["valid_r2_score"] for each in (first[1], more))
    assert after.reindex(range(6)).tolist() == before.reindex(range(6)).tolist()


def test_machines_that_share_a_storage_share_the_trials(ground, tmp_path):
    url = f"sqlite:///{tmp_path}/shared.sqlite"
    what = ground(storage=url, trials=6, round_trials=3)
    stores = [SQLStudies("toy", tmp_path / name / "search.sqlite") for name in ("one", "two")]
    searches = [tuning._Search(what, what.options.space, store, NoCheckpoints()) for store in stores]
    searches[0]._ask(6)
    assert searches[1]._open_round() == []  # those of the other machine are left to it
    _, leaderboard, _ = search(what, stores[1])
    assert sorted(leaderboard["state"]) == ["complete"] * 3 + ["running"] * 3
    _, leaderboard, _ = search(what, stores[0])
    assert (leaderboard["state"] == "complete").all()
    assert leaderboard["training.learning_rate"].nunique() == 6


def test_valid_without_rows_is_refused_with_the_way_out(ground):
    what = ground()
    splits = what.splits[what.splits["part"] != "valid"]
    with pytest.raises(
        ValueError,
        match=r"compares options on valid, which has no rows; set split.valid_fraction above 0, or tuning.trials to 0",
    ):
        search(Ground(what.clean_rows, splits, what.data, what.recipe, what.options))


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


def test_all_trials_failing_say_why_each_failed(ground):
    space = {"training.learning_rate": {"choices": [1e13, 1e14]}, "training.optimizer.name": {"choices": ["SGD"]}}
    with pytest.raises(ValueError) as caught:
        search(ground(space, sampler="grid", trials=2))
    message = str(caught.value)
    assert message.startswith("all 2 trials of the search failed: trial 0: the training loss is ")
    assert "learning rate 1e+13" in message and "learning rate 1e+14" in message


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
    assert chosen["values"]["training.batch_size"] in sizes[1:]


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


def test_importances_name_the_option_that_matters(ground):
    space = {
        "training.learning_rate": {"low": 1e-6, "high": 0.1, "log": True},
        "training.optimizer.arguments.eps": {"low": 1e-9, "high": 1e-8},
    }
    _, _, importances = search(ground(space, trials=24, training={"epochs": 8}))
    assert next(iter(importances)) == "training.learning_rate"
    assert sum(importances.values()) == pytest.approx(1, abs=1e-5)
    assert search(ground(space, trials=2))[2]["reason"].startswith("nothing can be told: 2 trials")


def test_no_trials_change_nothing_and_open_nothing(ground):
    chosen, leaderboard, importances = search(ground(trials=0))
    assert chosen == no_change()
    assert leaderboard.empty and importances == {}


def apply(chosen: dict, what: Ground, **options: Any) -> Recipe:
    options = TuningOptions.model_validate({**what.options.model_dump(), **options})
    return apply_chosen(chosen, what.clean_rows, what.splits, what.data, what.recipe, options)


def test_chosen_options_are_applied(ground):
    what = ground()
    chosen, _, _ = search(what)
    applied = apply(chosen, what)
    assert applied.training.learning_rate == chosen["values"]["training.learning_rate"]
    assert applied.training.epochs == 24
    assert apply(no_change(), what) == what.recipe


def test_stale_chosen_options_are_left_out_with_a_log_line(ground, toy_rows, caplog):
    what = ground()
    chosen, _, _ = search(what)
    toy_rows.loc[what.splits.loc[what.splits["part"] == "valid", "row"].iloc[0] - 1, "price"] = "77"
    assert apply(chosen, ground(rows=toy_rows)) == what.recipe
    assert "what the search chose is left out, since rows or splits have changed since; search again" in caplog.text
    assert apply(chosen, what, space=WIDTHS) == what.recipe
    assert "what the search chose is left out, since tuning.space has changed since; search again" in caplog.text
    transformer = what.recipe.model_copy(update={"model": ModelOptions(kind="transformer")})
    assert apply(chosen, Ground(what.clean_rows, what.splits, what.data, transformer, what.options)) == transformer
    assert "it was found for model.kind mlp, not transformer" in caplog.text


def test_what_is_given_for_this_run_alone_wins_over_what_was_chosen(ground):
    what = ground({**RATES, "model.widths": {"choices": [[16]]}})
    chosen, _, _ = search(what)
    applied = apply(chosen, what, fixed=("training.learning_rate",))
    assert applied.training.learning_rate == what.recipe.training.learning_rate
    assert applied.model.widths == (16,)


@pytest.mark.parametrize("part", ["training.optimizer.name", "training.optimizer.arguments.eps", "training.optimizer"])
def test_what_is_given_fixes_a_choice_above_it_and_below_it(ground, caplog, part):
    caplog.set_level(logging.INFO)
    whole = {"training.optimizer": {"choices": [{"name": "Adam"}, {"name": "NAdam"}]}, **RATES}
    chosen, _, _ = search(ground(whole, trials=4, sampler="grid", grid_points=2))
    what = ground(whole, training={"optimizer": {"name": "SGD"}})
    applied = apply(chosen, what, fixed=(part,))
    assert applied.training.optimizer == what.recipe.training.optimizer
    assert applied.training.learning_rate == chosen["values"]["training.learning_rate"]
    assert "training.optimizer stays " in caplog.text
    left = resolve_space(ground(whole, fixed=(part,)).options, what.recipe, what.data)
    assert set(left) == set(RATES)
    assert "not searched, since tuning.fixed or --params sets them or a part of them: training.optimizer" in caplog.text
    below = {"training.optimizer.arguments.eps": {"low": 1e-9, "high": 1e-8}, **RATES}
    left = resolve_space(ground(below, fixed=("training.optimizer",)).options, what.recipe, what.data)
    assert set(left) == set(RATES)


def test_options_changed_after_a_search_keep_what_was_chosen(ground):
    what = ground(RATES)
    chosen, _, _ = search(what)
    later = ground(RATES, training={"learning_rate": 0.05, "batch_size": 8})
    applied = apply(chosen, later)
    assert applied.training.learning_rate == chosen["values"]["training.learning_rate"]
    assert applied.training.batch_size == 8
    assert apply(chosen, later, trials=0, space={}) == applied


def test_choice_that_does_not_go_with_what_is_given_says_so_in_one_line(ground):
    what = ground({"model.heads": {"choices": [4]}}, trials=1, sampler="grid", epochs=1)
    model = ModelOptions(kind="transformer", token_width=16, blocks=1)
    what = dataclasses.replace(what, recipe=what.recipe.model_copy(update={"model": model}))
    chosen, _, _ = search(what)
    model = ModelOptions(kind="transformer", token_width=6, heads=2)
    what = dataclasses.replace(what, recipe=what.recipe.model_copy(update={"model": model}))
    with pytest.raises(
        ValueError, match=r"does not go with the options as given: model: token_width 6 must be .* heads 4"
    ):
        apply(chosen, what)


class Finder(Memory):
    """A store that has found something before."""

    def __init__(self, found: tuning.Found):
        super().__init__()
        self.found = lambda: found


def test_without_trials_what_was_found_stays_until_the_rows_change(ground, toy_rows, caplog):
    caplog.set_level(logging.WARNING)
    found = search(ground())
    for what in (ground(trials=0), ground(trials=0, space=WIDTHS), ground(trials=0, training={"learning_rate": 0.5})):
        assert search(what, Finder(found)) == found
    toy_rows.loc[ground().splits.loc[ground().splits["part"] == "train", "row"].iloc[0] - 1, "price"] = "77"
    assert caplog.text == ""
    chosen, leaderboard, importances = search(ground(rows=toy_rows, trials=0), Finder(found))
    assert (chosen, importances) == (no_change(), {}) and leaderboard.empty
    (line,) = caplog.messages
    assert line == (
        "search: what was chosen is dropped, since rows or splits have changed since; "
        "search again with tuning.trials above 0"
    )
    earlier = ({"trials": 3, "encoding": {}}, *found[1:])
    assert search(ground(trials=0), Finder(earlier))[0] == no_change()
    assert "an earlier version wrote it" in caplog.messages[-1]


def test_names_of_trials_are_short():
    assert tuning._counted([4, 0, 1, 2, 6]) == "trials 0 to 2, 4, 6"


def test_every_file_of_the_search_can_be_removed(tmp_path: Path, ground):
    search(ground(trials=2), SQLStudies("toy", tmp_path / "search.sqlite"))
    assert [path.name for path in tmp_path.iterdir()] == ["search.sqlite"]
