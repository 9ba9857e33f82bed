import re

import pandas as pd
import pytest

from tests.figures.titles import title_of
from torchlane.core.search.leaderboard import empty_leaderboard
from torchlane.figures.style import is_words
from torchlane.figures.trials import plot_search

LEADERBOARD = pd.DataFrame(
    {
        "trial": [1, 3, 0, 2],
        "state": ["complete", "complete", "pruned", "fail"],
        "valid_r2_score": [0.6, 0.5, 0.4, None],
        "epochs": [9, 9, 4, 1],
        "seconds": 1.0,
        "error": ["", "", "", "the loss is nan"],
        "model.dropout": [0.1, 0.2, 0.3, 0.4],
    }
)


def test_trials_the_best_so_far_and_importances_are_drawn():
    name = "training.optimizer.arguments.weight_decay"
    figure = plot_search(LEADERBOARD, {name: 0.75, "model.dropout": 0.25}, "the table")
    complete, pruned, best, bars, names = figure.data
    assert (list(complete.x), list(complete.y), complete.text[0]) == ([1, 3], [0.6, 0.5], "model.dropout: 0.1")
    assert (list(pruned.x), pruned.name) == ([0], "given up")
    assert (list(best.x), list(best.y)) == ([1, 3], [0.6, 0.6])  # trial 3 is no better
    assert (list(bars.x), list(bars.y)) == ([0.75, 0.25], [0, 1])
    assert names.text[1] == "model.dropout"
    assert names.text[0].startswith("training.optimizer.arguments")
    assert bars.hovertext[0].startswith(name)
    assert "4 trials, 1 failed" in title_of(figure)
    assert "the table" in title_of(figure)


def test_what_was_chosen_and_why_is_a_note_also_as_a_file_gives_it_back():
    said = "kept the options given: the best of 4 trials is ahead by 0.1 ± 0.2 on 9 rows of valid, which may be chance"
    board = LEADERBOARD.assign(chosen=[None, said, None, None])
    for found in ({"reason": "nothing can be told: 3 trials"}, {"model.dropout": 1.0}):
        shown = " ".join(re.sub(r"<[^>]*>", " ", title_of(plot_search(board, found, "x"))).split())
        assert f"the search {said}" in shown
    assert "the search" not in title_of(plot_search(LEADERBOARD.assign(chosen=""), {"model.dropout": 1.0}, "x"))


def test_reason_why_no_importance_is_known_is_a_note_and_leaves_no_empty_axes():
    figure = plot_search(LEADERBOARD, {"reason": "nothing can be told: 3 trials"}, "x")
    assert "nothing can be told: 3 trials" in title_of(figure)
    assert [axis for axis in figure.layout if axis.startswith("yaxis")] == ["yaxis"]


@pytest.mark.parametrize("table", [empty_leaderboard(), LEADERBOARD[LEADERBOARD["state"] == "fail"]])
def test_search_that_did_not_happen_or_failed_is_told_in_words(table):
    assert is_words(plot_search(table, {"reason": "x"}, "x"))
