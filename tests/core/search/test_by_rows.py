from dataclasses import replace

import pytest

from tests.core.fitted import FEW, MANY, use_small_bands
from tests.core.search.searches import N_TRAIN, RATES, apply, search, without_seconds
from torchlane.core.options import TuningOptions
from torchlane.core.search import search as searching
from torchlane.core.search.fingerprints import identify_search
from torchlane.core.search.space import resolve_space
from torchlane.core.training.fit import fit

AUTO = {"epochs": "auto", "batch_size": "auto", "patience_epochs": "auto"}
SIZES = {"training.batch_size": {"low": 4, "high": 32}}


def of(numbers: dict) -> dict:
    return {name: numbers[name] for name in AUTO}


@pytest.mark.parametrize(("most_of_few", "numbers"), [(N_TRAIN, FEW), (N_TRAIN - 1, MANY)])
def test_search_with_auto_is_that_with_the_numbers_that_the_rows_choose(ground, monkeypatch, most_of_few, numbers):
    use_small_bands(monkeypatch, most_of_few)
    space = {**RATES, **SIZES}
    (chosen, board, _), (as_numbers, same_board, _) = (
        search(ground(space, training=training)) for training in (AUTO, of(numbers))
    )
    assert without_seconds(board) == without_seconds(same_board)
    assert board["epochs"].max() <= numbers["epochs"]
    assert chosen == as_numbers


def test_first_trial_has_the_number_that_the_rows_choose(ground, monkeypatch):
    use_small_bands(monkeypatch, N_TRAIN)
    _, board, _ = search(ground(SIZES, training=AUTO))
    assert board.set_index("trial").loc[0, "training.batch_size"] == FEW["batch_size"]


def test_search_is_another_one_where_the_rows_choose_other_numbers(ground, monkeypatch):
    def identity() -> dict[str, str]:
        what = ground(training=AUTO).fitted()
        return identify_search(what, resolve_space(what.options, what.recipe, what.data))

    use_small_bands(monkeypatch, N_TRAIN)
    few, again = identity(), identity()
    use_small_bands(monkeypatch, N_TRAIN - 1)
    many = identity()
    assert few == again
    assert few["options"] != many["options"]
    assert few["data"] == many["data"]


def test_what_was_chosen_leaves_the_other_options_to_the_rows(ground, monkeypatch):
    use_small_bands(monkeypatch, N_TRAIN)
    what = ground(training=AUTO)
    chosen, _, _ = search(what)
    applied = apply(chosen, what).training
    assert of(applied.model_dump()) == AUTO
    assert applied.learning_rate == chosen["values"]["training.learning_rate"]


@pytest.mark.parametrize("members", [1, 3])
def test_members_of_a_trial_share_weights_where_its_network_has_any_to_share(ground, monkeypatch, members):
    trained = []

    def noted(networks, *arguments, **options):
        trained.append(networks)
        return fit(networks, *arguments, **options)

    monkeypatch.setattr(searching, "fit", noted)
    space = {**RATES, "model.widths": {"choices": [[8], []]}}
    _, board, _ = search(ground(space, training={"epochs": 2, "sharing": "auto"}, members=members, trials=4))
    assert (board["state"] == "complete").all()
    assert set(board["model.widths"]) == {"[8]", "[]"}
    for networks in trained:
        shares = members > 1 and len(list(networks[0].model.parameters())) > 2
        assert all((each.shared is not None) == shares for each in networks)
    assert sum(map(len, trained)) == 4 * members


def test_auto_is_no_choice_of_a_search():
    with pytest.raises(ValueError, match="training.batch_size: auto is chosen by the number of rows, not by a search"):
        TuningOptions.model_validate({"space": {"training.batch_size": {"choices": ["auto", 32]}}})
    with pytest.raises(ValueError, match="training.learning_rate: auto is chosen by the number of rows"):
        TuningOptions.model_validate({"space": {"training.learning_rate": {"choices": ["auto", 0.1]}}})
    assert TuningOptions.model_validate({"space": {"training.patience_epochs": {"choices": [5, None]}}})


@pytest.mark.parametrize(("n_rows", "kind"), [(12, "plain"), (60, "bins")])
def test_trials_take_numbers_as_the_rows_of_train_choose(ground, toy_rows, n_rows, kind):
    def chosen(numbers: str):
        what = ground(RATES, rows=toy_rows[:n_rows], trials=3, prune_epochs=None)
        return search(replace(what, recipe=what.recipe.changed({"model.numbers": numbers})))[:2]

    (found, board), (expected, same_board) = chosen("auto"), chosen(kind)
    assert set(board["state"]) == {"complete"}
    assert without_seconds(board) == without_seconds(same_board)
    assert found["values"] == expected["values"]
