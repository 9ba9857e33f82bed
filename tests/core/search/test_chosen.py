import dataclasses
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.search.searches import RATES, WIDTHS, apply, search
from torchlane.core.options import ModelOptions
from torchlane.core.search.chosen import no_change, read_chosen
from torchlane.core.search.ground import Ground
from torchlane.core.search.space import resolve_space
from torchlane.datasets.models import ChosenDataset

FOUND: dict[str, Any] = {
    "trials": 3,
    "trial": 1,
    "valid_r2_score": 0.5,
    "values": {"model.widths": [8]},
    "found_for": {"model.kind": "mlp"},
    "space_fingerprint": "a",
    "data_fingerprint": "b",
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)


@pytest.mark.parametrize("chosen", [FOUND, no_change(), {"trials": 2}], ids=["found", "nothing", "earlier version"])
def test_what_a_search_wrote_is_read_again(tmp_path, chosen):
    dataset = ChosenDataset(filepath=str(tmp_path / "chosen_options.json"))
    dataset.save(chosen)
    assert dataset.load() == chosen


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1, 2], r"a search writes a mapping with trials and values, not \[1, 2\]"),
        (None, "a search writes a mapping with trials and values, not null"),
        ({"model.widths": [8]}, r"a search writes a mapping with trials and values, not {\"model.widths\": \[8\]}"),
        (
            {**FOUND, "trials": "x"},
            'not have the form that a search writes: trials: input should be a valid integer, not "x"',
        ),
        ({**FOUND, "values": [1]}, r"values: input should be a valid dictionary, not \[1\]"),
        ({"trials": 3, "values": {}}, "not have the form that a search writes: found_for: field required"),
    ],
)
def test_a_file_made_by_hand_is_refused_with_place_rule_value_and_way_out(tmp_path, given, message):
    path = tmp_path / "chosen_options.json"
    path.write_text(json.dumps(given))
    with pytest.raises(
        Exception, match=rf"chosen_options.json cannot be read: .*{message}; delete it, or search again"
    ):
        ChosenDataset(filepath=str(path)).load()


@given(given=ANYTHING, name=st.sampled_from([*FOUND, ""]))
def test_whatever_stands_in_the_file_is_read_or_refused_as_a_mistake_of_the_user(given, name):
    for stated in (given, {**FOUND, name: given}):
        try:
            read = read_chosen(json.dumps(stated))
        except ValueError as error:
            assert "a search writes" in str(error)
        else:
            assert read == stated
            assert isinstance(read["trials"], int)


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
    assert "what the search chose is not applied, since rows or splits have changed since; search again" in caplog.text
    assert apply(chosen, what, space=WIDTHS) == what.recipe
    assert "what the search chose is not applied, since tuning.space has changed since; search again" in caplog.text
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
