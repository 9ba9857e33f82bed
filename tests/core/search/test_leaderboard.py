import pytest

from tests.core.search.searches import fake_training, search


@pytest.mark.parametrize("keep_given", [True, False])
def test_a_search_that_did_not_help_says_so_and_keeps_the_options_as_given(ground, caplog, keep_given):
    caplog.set_level("INFO")
    space = {"training.learning_rate": {"choices": [0.002, 0.001]}}
    options = {"sampler": "grid", "keep_given": keep_given, "training": {"epochs": 1}}
    with pytest.MonkeyPatch.context() as patch:
        fake_training(patch, lambda: 0.5)
        chosen, leaderboard, _ = search(ground(space, **options))
    assert leaderboard["training.learning_rate"].tolist()[0] == "0.001"
    assert chosen["values"] == {}
    said = "kept the options given: no other of 2 trials is better (the next is 0 behind)"
    assert caplog.text.count(said) == 1
    assert leaderboard["chosen"].tolist() == [said, ""]
    assert chosen["said"] == said


def test_leaderboard_says_how_far_each_trial_is_ahead_and_which_was_taken(ground):
    chosen, leaderboard, _ = search(ground(trials=4))
    lines = leaderboard.set_index("trial")
    others = lines.drop(0)
    assert others["ahead"].tolist() == pytest.approx((others["valid_r2_score"] - lines["valid_r2_score"][0]).tolist())
    assert (others["margin"] > 0).all()
    assert lines.loc[0, ["ahead", "margin"]].isna().all()
    assert [number for number, said in lines["chosen"].items() if said] == [chosen["trial"]]
