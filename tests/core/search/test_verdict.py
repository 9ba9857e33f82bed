from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from tests.core.search.searches import RATES, Memory, apply, fake_training, search
from torchlane.core.search import search as searching
from torchlane.core.search.ground import Ground
from torchlane.datasets.studies import SQLStudies

GRID = {"training.learning_rate": {"choices": [0.002, 0.003]}}  # the given rate is 0.001


def decide(what: Ground, scores: Sequence[float], n_rows: int, store: Any = None) -> tuple:
    """Search, where trials reach these scores one after another and every row of valid agrees."""
    with pytest.MonkeyPatch.context() as patch:
        fake_training(patch, iter(scores).__next__, n_rows)
        return search(what, store)


def test_best_trial_that_may_be_ahead_by_chance_leaves_the_options_as_given(ground, caplog):
    caplog.set_level("INFO")
    what, store = ground(RATES, trials=4, keep_given=True, training={"epochs": 1}), Memory()
    chosen, leaderboard, _ = decide(what, [0.5, 0.6, 0.7, 0.4], 3, store)
    assert leaderboard["trial"].tolist() == [2, 1, 0, 3]
    said = chosen["said"]
    assert said.startswith("kept the options given: the best of 4 trials is ahead by 0.2 ± 0.2")
    assert said.endswith(" on 3 rows of valid, which may be chance")
    assert (chosen["trials"], chosen["trial"], chosen["values"]) == (4, 0, {})
    assert chosen["valid_r2_score"] == 0.5
    assert leaderboard["chosen"].tolist() == ["", "", said, ""]
    assert f"search: {said}" in caplog.messages
    assert store.study.user_attrs["decided"] == said
    assert apply(chosen, what) == what.recipe
    assert caplog.messages[-1] == "options: as given, which the search kept"


def test_best_trial_that_is_clearly_ahead_is_taken(ground):
    what = ground(RATES, trials=4, keep_given=True, training={"epochs": 1})
    chosen, leaderboard, _ = decide(what, [0.5, 0.6, 0.7, 0.4], 90)
    assert chosen["said"] == (
        "chose trial 2: the best of 4 trials, ahead of the options given by 0.2 ± 0.045 on 90 rows of valid"
    )
    assert chosen["trial"] == 2
    assert apply(chosen, what).training.learning_rate == chosen["values"]["training.learning_rate"] != 0.001
    assert leaderboard["chosen"].tolist() == [chosen["said"], "", "", ""]


def test_without_keep_given_the_best_trial_is_taken_whatever_the_noise(ground):
    chosen, _, _ = decide(ground(RATES, trials=4, training={"epochs": 1}), [0.5, 0.6, 0.7, 0.4], 3)
    assert chosen["trial"] == 2
    assert chosen["said"].startswith("chose trial 2, the best of 4 trials; ahead of the options given by 0.2 ± 0.2")


def test_what_is_decided_can_be_changed_without_training_the_trials_again(ground, tmp_path):
    store = SQLStudies("toy", tmp_path / "search.sqlite")
    found = {
        keep_given: decide(ground(RATES, trials=4, keep_given=keep_given, training={"epochs": 1}), scores, 3, store)
        for keep_given, scores in ((True, [0.5, 0.6, 0.7, 0.4]), (False, []))
    }
    assert {keep_given: chosen["trial"] for keep_given, (chosen, _, _) in found.items()} == {True: 0, False: 2}


@pytest.mark.parametrize("rounds", [{}, {"round_trials": 2}, {"round_trials": 1}])
def test_grid_without_the_options_given_tries_them_too(ground, tmp_path, rounds):
    what = ground(GRID, sampler="grid", trials=2, keep_given=True, training={"epochs": 1}, **rounds)
    store = SQLStudies("toy", tmp_path / "search.sqlite")
    chosen, leaderboard, _ = decide(what, [0.7, 0.6, 0.5], 3, store)
    lines = leaderboard.set_index("trial")
    assert sorted(lines["training.learning_rate"][:2]) == ["0.002", "0.003"]
    assert (
        lines.loc[2, "training.learning_rate"] == "as given" or float(lines.loc[2, "training.learning_rate"]) == 0.001
    )
    assert (chosen["trials"], chosen["trial"], chosen["values"]) == (3, 2, {})
    greedy = ground(GRID, sampler="grid", trials=2, training={"epochs": 1}, **rounds)
    assert decide(greedy, [0.7, 0.6], 3)[0]["said"] == (
        "chose trial 0, the best of 2 trials; the options given are not in the grid"
    )


def test_options_given_that_fail_leave_the_best_trial(ground):
    space = {"training.learning_rate": {"low": 0.01, "high": 0.1}}
    what = ground(space, trials=3, keep_given=True, training={"epochs": 1, "learning_rate": 1e14})
    chosen, _, _ = search(what)
    assert chosen["trial"] in (1, 2)
    assert f"chose trial {chosen['trial']}, the best of 3 trials, since the options given failed: " in chosen["said"]


def test_options_given_that_another_machine_still_tries_stay(ground, tmp_path):
    url = f"sqlite:///{tmp_path}/shared.sqlite"
    what = ground(RATES, storage=url, trials=4, round_trials=2, keep_given=True, training={"epochs": 1})
    stores = [SQLStudies("toy", tmp_path / name / "search.sqlite") for name in ("one", "two")]
    searching._Search(what, what.options.space, stores[0], None)._trials.ask()
    chosen, leaderboard, _ = decide(what, [0.5, 0.6], 90, stores[1])
    assert (chosen["trial"], chosen["values"]) == (None, {})
    assert chosen["said"] == "kept the options given, since the options given are still being tried"
    assert apply(chosen, what) == what.recipe
    assert set(leaderboard["chosen"]) == {""}


def test_search_over_an_option_without_effect_keeps_the_options_given_and_one_that_matters_does_not(ground):
    sizes = [*range(1, 241)]
    rows = pd.DataFrame({"size": sizes, "place": "town", "price": [100 * size for size in sizes]}).astype(str)
    eps = {"training.optimizer.arguments.eps": {"low": 1e-9, "high": 1e-8}}
    chosen, _, _ = search(ground(eps, rows, trials=6, keep_given=True, epochs=4))
    assert chosen["values"] == {}
    rates = {"training.learning_rate": {"low": 0.01, "high": 0.1, "log": True}}
    chosen, _, _ = search(ground(rates, rows, trials=6, keep_given=True, training={"learning_rate": 1e-7}))
    assert 0.01 <= chosen["values"]["training.learning_rate"] <= 0.1
