"""Searches over how numbers are embedded."""

from dataclasses import replace

import numpy as np

from tests.core.search.searches import RATES, apply, search


def test_trials_with_kinds_of_embeddings_train_and_the_best_one_is_applied(ground):
    kinds = ["plain", "piecewise_linear", {"kind": "periodic", "frequencies": 4}]
    what = ground({**RATES, "model.numbers": {"choices": kinds}}, trials=7, epochs=3)
    chosen, leaderboard, _ = search(what)
    assert (leaderboard["state"] == "complete").all()
    assert leaderboard["model.numbers"].nunique() == 3
    best = chosen["values"]["model.numbers"]
    expected = best if isinstance(best, str) else best["kind"]
    assert apply(chosen, what).model.numbers.kind == expected


def test_a_trial_of_a_stack_has_the_value_that_it_has_alone(ground):
    space = {**RATES, "encoding.numbers": {"choices": ["z_score", "quantile"]}}
    given = {"model.numbers": {"kind": "piecewise_linear", "bins": 5, "width": 3}}
    grounds = [ground(space, training={"stacked": stacked}, trials=4, epochs=4) for stacked in (True, False)]
    values = [
        search(replace(what, recipe=what.recipe.changed(given)))[1].set_index("trial")["valid_r2_score"].sort_index()
        for what in grounds
    ]
    assert values[0].nunique() > 1
    np.testing.assert_allclose(*values, atol=1e-4)


def test_bins_are_searched(ground):
    space = {"model.numbers.bins": {"low": 2, "high": 9}, "model.numbers.width": {"choices": [2, 4]}}
    what = ground(space, trials=4, epochs=2)
    what = replace(what, recipe=what.recipe.changed({"model.numbers": "piecewise_linear"}))
    chosen, leaderboard, _ = search(what)
    assert (leaderboard["state"] == "complete").all()
    numbers = apply(chosen, what).model.numbers
    assert (numbers.kind, numbers.bins) == ("piecewise_linear", chosen["values"]["model.numbers.bins"])
