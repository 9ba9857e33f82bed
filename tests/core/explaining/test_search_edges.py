import numpy as np
import pandas as pd
import pytest

from torchlane.core.explaining.search_edges import edges_of
from torchlane.core.options import DataOptions, Recipe, TuningOptions
from torchlane.core.search.fingerprints import space_fingerprint

DATA = DataOptions.model_validate({"task": "regression", "target": "y", "columns": {"x": {"kind": "number"}}})
RECIPE = Recipe.model_validate({"encoding": {}, "model": {}, "training": {}})
DROPOUT = {"model.dropout": {"low": 0.0, "high": 0.6}}
RANDOM = np.random.default_rng(0)


def edges(space, tried, best, **changed):
    """Find edges for trials, best first, whose option has the values `tried`."""
    options = TuningOptions.model_validate({"trials": len(tried), "space": space})
    (name,) = space or {"training.learning_rate": None}
    board = pd.DataFrame({"state": "complete", name: [f"{value:.6g}" for value in tried]})
    chosen = {"trials": len(tried), "values": {name: best}, "space_fingerprint": space_fingerprint(options.space)}
    return edges_of({**chosen, **changed}, board, RECIPE, options, DATA)


def test_a_best_value_at_an_end_towards_which_trials_were_better_is_found():
    found = edges(DROPOUT, np.linspace(0.59, 0.01, 20), 0.59)
    assert found == {"model.dropout": {"value": 0.59, "low": 0.0, "high": 0.6, "side": "high"}}
    assert edges(DROPOUT, np.linspace(0.01, 0.59, 20), 0.01)["model.dropout"]["side"] == "low"


def test_a_best_value_inside_or_at_an_end_that_does_not_matter_is_not_found():
    assert edges(DROPOUT, [0.3, *np.linspace(0.59, 0.01, 20)], 0.3) == {}
    alternating = [0.59, *np.resize([0.1, 0.5, 0.05, 0.55], 20)]
    assert edges(DROPOUT, alternating, 0.59) == {}


def test_logarithmic_ranges_and_numbers_to_choose_from_have_edges_too():
    rates = {"training.learning_rate": {"low": 1e-4, "high": 1.0, "log": True}}
    assert edges(rates, np.geomspace(2e-4, 0.9, 20), 2e-4)["training.learning_rate"]["side"] == "low"
    assert edges(rates, np.geomspace(2e-3, 0.9, 20), 2e-3) == {}
    sizes = {"training.batch_size": {"choices": [16, 32, 64]}}
    assert edges(sizes, np.repeat([64, 32, 16], 5), 64)["training.batch_size"]["side"] == "high"
    assert edges(sizes, np.repeat([32, 64, 16], 5), 32) == {}


def test_the_default_space_is_that_of_the_options_as_given():
    low, high = 0.2 * RECIPE.training.learning_rate, 10 * RECIPE.training.learning_rate
    found = edges({}, np.geomspace(high, low, 20), high)
    assert found["training.learning_rate"]["high"] == pytest.approx(high)


def test_chance_puts_no_option_at_an_edge():
    """Of options that do not matter, 20 % have their best in the outer tenths."""
    found = [edges(DROPOUT, tried, tried[0]) for tried in RANDOM.uniform(0, 0.6, (200, 20))]
    assert sum(map(bool, found)) <= 1


def test_what_was_not_searched_so_is_not_looked_at():
    assert edges(DROPOUT, np.linspace(0.59, 0.01, 20), 0.59, trials=0) == "no search"
    assert "changed since" in edges(DROPOUT, np.linspace(0.59, 0.01, 20), 0.59, space_fingerprint="other")
    assert edges(DROPOUT, [0.59, 0.3, 0.1], 0.59) == "fewer than 8 trials"
    given = {"trials": 0, "values": {}}
    assert edges_of(given, pd.DataFrame(), RECIPE, TuningOptions(), DATA) == "no search"
