import logging

import pytest

from tests.core.search.searches import fake_outcome, search
from torchlane.core.search import search as searching


def test_a_search_that_did_not_help_says_so_and_keeps_the_options_as_given(ground, caplog):
    caplog.set_level(logging.INFO)
    space = {"training.learning_rate": {"choices": [0.002, 0.001]}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searching, "fit", lambda members, *_, **__: [fake_outcome([0.5]) for _ in members])
        chosen, leaderboard, _ = search(ground(space, sampler="grid", training={"epochs": 1}))
    assert leaderboard["training.learning_rate"].tolist()[0] == "0.001"
    assert chosen["values"] == {"training.learning_rate": 0.001}
    assert "with the options as given: no other is better (the next is 0 behind)" in caplog.text
    space = {"training.learning_rate": {"choices": [0.003, 0.002]}}
    search(ground(space, sampler="grid", training={"epochs": 1}))
    assert "the options as given are not in the grid" in caplog.text
