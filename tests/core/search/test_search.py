import logging
from pathlib import Path

import numpy as np
import optuna
import pytest

from tests.core.search.searches import RATES, WIDTHS, Memory, search, without_seconds
from torchlane.core.search import halving
from torchlane.core.search import search as searching
from torchlane.core.search.chosen import no_change
from torchlane.core.search.ground import Ground
from torchlane.core.search.store import Found
from torchlane.core.search.trials import name_trials
from torchlane.datasets.checkpoints import FolderStore
from torchlane.datasets.studies import SQLStudies


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
        assert any(message.startswith(f"search: {name_trials(trials)} in one stack") for message in stacks)


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


def test_valid_without_rows_is_refused_with_the_way_out(ground):
    what = ground()
    splits = what.splits[what.splits["part"] != "valid"]
    with pytest.raises(
        ValueError,
        match=r"compares options on valid, which has no rows; set split.valid_fraction above 0, or tuning.trials to 0",
    ):
        search(Ground(what.clean_rows, splits, what.data, what.recipe, what.options))


def test_all_trials_failing_say_why_each_failed(ground):
    space = {"training.learning_rate": {"choices": [1e13, 1e14]}, "training.optimizer.name": {"choices": ["SGD"]}}
    with pytest.raises(ValueError) as caught:
        search(ground(space, sampler="grid", trials=2))
    message = str(caught.value)
    assert message.startswith("all 2 trials of the search failed: trial 0: the training loss is ")
    assert "learning rate 1e+13" in message and "learning rate 1e+14" in message


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, tuple]:
    """What the searches that are killed below end with when nobody kills them, by sampler."""
    return {}


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
def test_a_search_killed_anywhere_goes_on_and_ends_the_same(
    ground, undisturbed, tmp_path, monkeypatch, sampler, place, when
):
    training = {"checkpoint_epochs": 4}
    what = ground(trials=8, prune_epochs=6, sampler=sampler, round_trials=4, keep_given=True, training=training)
    if sampler not in undisturbed:
        undisturbed[sampler] = search(what, SQLStudies("toy", tmp_path / "whole.sqlite"))
    expected = undisturbed[sampler]
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
            patch.setattr(searching, "fit", dying(searching.fit))
        elif place == "epoch":
            patch.setattr(halving.Halving, "__call__", dying(halving.Halving.__call__))
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
        patch.setattr(searching, "fit", None)
        again = search(ground(), store)
    assert without_seconds(first[1]) == without_seconds(again[1])
    more = search(ground(trials=8), store)[1]
    assert set(more["trial"]) == set(range(8))
    before, after = (each.set_index("trial")["valid_r2_score"] for each in (first[1], more))
    assert after.reindex(range(6)).tolist() == before.reindex(range(6)).tolist()


def test_no_trials_change_nothing_and_open_nothing(ground):
    chosen, leaderboard, importances = search(ground(trials=0))
    assert chosen == no_change()
    assert leaderboard.empty and importances == {}


class Finder(Memory):
    """A store that has found something before."""

    def __init__(self, found: Found):
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
        "search: the last choice is dropped, since rows or splits have changed since; "
        "search again with tuning.trials above 0"
    )
    earlier = ({"trials": 3, "encoding": {}}, *found[1:])
    assert search(ground(trials=0), Finder(earlier))[0] == no_change()
    assert "an earlier version wrote it" in caplog.messages[-1]


def test_every_file_of_the_search_can_be_removed(tmp_path: Path, ground):
    search(ground(trials=2), SQLStudies("toy", tmp_path / "search.sqlite"))
    assert [path.name for path in tmp_path.iterdir()] == ["search.sqlite"]
