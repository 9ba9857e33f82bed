import numpy as np

from torchlane.core.options import TuningOptions
from torchlane.core.search.edges import edges_of

DROPOUT = {"model.dropout": {"low": 0.0, "high": 0.6}}
RANDOM = np.random.default_rng(0)


def edges(space, tried):
    """Find edges for trials, best first, whose option has the values `tried`."""
    options = TuningOptions.model_validate({"space": space})
    (name,) = space
    return edges_of(options.space, [{name: value} for value in tried])


def test_a_best_value_at_an_end_towards_which_trials_were_better_is_found():
    found = edges(DROPOUT, np.linspace(0.59, 0.01, 20).tolist())
    assert found == {"model.dropout": {"value": 0.59, "low": 0.0, "high": 0.6, "side": "high"}}
    assert edges(DROPOUT, np.linspace(0.01, 0.59, 20).tolist())["model.dropout"]["side"] == "low"


def test_a_best_value_inside_or_at_an_end_that_does_not_matter_is_not_found():
    assert edges(DROPOUT, [0.3, *np.linspace(0.59, 0.01, 20).tolist()]) == {}
    assert edges(DROPOUT, [0.59, *np.resize([0.1, 0.5, 0.05, 0.55], 20).tolist()]) == {}
    assert edges(DROPOUT, [0.59] * 20) == {}


def test_logarithmic_ranges_and_numbers_to_choose_from_have_edges_too():
    rates = {"training.learning_rate": {"low": 1e-4, "high": 1.0, "log": True}}
    assert edges(rates, np.geomspace(2e-4, 0.9, 20).tolist())["training.learning_rate"]["side"] == "low"
    assert edges(rates, np.geomspace(2e-3, 0.9, 20).tolist()) == {}
    sizes = {"training.batch_size": {"choices": [16, 32, 64]}}
    assert edges(sizes, np.repeat([64, 32, 16], 5).tolist())["training.batch_size"]["side"] == "high"
    assert edges(sizes, np.repeat([32, 64, 16], 5).tolist()) == {}
    for choices in ([16, 64], ["ReLU", "GELU", "SiLU"]):
        assert edges({"model.activation": {"choices": choices}}, np.repeat(choices, 6).tolist()) == {}


def test_chance_puts_no_option_at_an_edge():
    """Of options that do not matter, 20 % have their best in the outer tenths."""
    found = [edges(DROPOUT, tried) for tried in RANDOM.uniform(0, 0.6, (200, 20)).tolist()]
    assert sum(map(bool, found)) <= 1


def test_few_trials_and_values_outside_the_space_say_nothing():
    assert edges(DROPOUT, [0.59, 0.3, 0.1]) is None
    assert edges(DROPOUT, [0.9, *np.linspace(0.59, 0.01, 20).tolist()]) == {}
    assert edges(DROPOUT, [None, *np.linspace(0.59, 0.01, 20).tolist()]) == {}
