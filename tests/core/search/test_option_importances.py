import optuna
import pytest

from tests.core.search.searches import search
from torchlane.core.search.option_importances import weigh_options

RATE, DROPOUT = "training.learning_rate", "model.dropout"
RISING = [each / 20 for each in range(20)]
SPACE = {RATE: optuna.distributions.FloatDistribution(0, 1), DROPOUT: optuna.distributions.FloatDistribution(0, 1)}


def trials(number: int = 20, names: tuple[str, ...] = (RATE, DROPOUT), constant: tuple[str, ...] = ()) -> list:
    """Trials, of no value yet, whose rates rise from 0 to 1, while their dropout goes up and down."""
    made = []
    for each in range(number):
        drawn = {RATE: each / max(number - 1, 1), DROPOUT: (each * 7 % number) / max(number - 1, 1)}
        params = {name: 0.5 if name in constant else drawn[name] for name in names}
        space = {name: SPACE[name] for name in names}
        made.append(optuna.create_trial(params=params, distributions=space, value=0.0))
    return made


def test_option_that_matters_has_the_larger_share(caplog):
    caplog.set_level("INFO", "torchlane")
    found = weigh_options(trials(), RISING)
    assert list(found) == [RATE, DROPOUT] and found[RATE] > 0.7
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)
    assert caplog.messages[-1:] == [
        f"search: how much each option mattered: {RATE} {found[RATE]:.2f}, {DROPOUT} {found[DROPOUT]:.2f}"
    ]


def test_importances_explain_the_high_values_and_not_the_low_ones():
    tried = trials()
    values = [2.0 if trial.params[RATE] > 0.75 else -trial.params[DROPOUT] for trial in tried]
    assert next(iter(weigh_options(tried, values))) == RATE


@pytest.mark.parametrize(
    ("of", "values", "reason"),
    [
        ([], [], "0 trials that tried all options have a value, and 20 are needed"),
        (trials(1), [0.5], "1 trials that tried all options have a value, and 20 are needed"),
        (trials(19), RISING[:19], "19 trials that tried all options have a value, and 20 are needed"),
        (trials(names=(RATE,)), RISING, f"{RATE} alone was tried with more than one value"),
        (trials(constant=(DROPOUT,)), RISING, f"{RATE} alone was tried with more than one value"),
        (trials(constant=(RATE, DROPOUT)), RISING, "no option was tried with more than one value"),
        (trials(), [0.25] * 20, "the best quarter of the 20 trials is no better than the rest"),
        (trials(), [0.75] * 4 + [0.5] * 16, "the best quarter of the 20 trials is no better than the rest"),
    ],
)
def test_where_nothing_can_be_told_the_reason_stands_in_place_of_shares(of, values, reason, caplog):
    caplog.set_level("INFO", "torchlane")
    assert weigh_options(of, values) == {"reason": f"nothing can be told: {reason}"}
    assert caplog.messages == [f"search: how much each option mattered: nothing can be told: {reason}"]


def test_best_quarter_that_ties_with_some_but_not_all_tells_something():
    assert RATE in weigh_options(trials(), [0.25] * 2 + [0.5] * 18)


def test_importances_name_the_option_that_matters(ground):
    space = {
        "training.learning_rate": {"low": 1e-6, "high": 0.1, "log": True},
        "training.optimizer.arguments.eps": {"low": 1e-9, "high": 1e-8},
    }
    _, _, importances = search(ground(space, trials=24, training={"epochs": 8}))
    assert next(iter(importances)) == "training.learning_rate"
    assert sum(importances.values()) == pytest.approx(1, abs=1e-5)
    assert search(ground(space, trials=2))[2]["reason"].startswith("nothing can be told: 2 trials")
