import logging

from tests.core.search.searches import fake_outcome, search
from torchlane.core.search.halving import Halving
from torchlane.core.search.records import make_record


def test_worse_half_is_given_up_early_and_never_chosen(ground):
    space = {"training.learning_rate": {"low": 1e-6, "high": 0.1, "log": True}}
    chosen, leaderboard, _ = search(ground(space, trials=8, prune_epochs=6))
    pruned = leaderboard[leaderboard["state"] == "pruned"]
    assert len(pruned) == 6
    assert sorted(pruned["epochs"]) == [6, 6, 6, 6, 12, 12]
    assert (leaderboard["epochs"][:2] == 24).all()
    whole = search(ground(space, trials=8))[1]
    assert chosen["trial"] == whole["trial"][0]
    assert leaderboard.columns.tolist()[:6] == ["trial", "state", "valid_r2_score", "ahead", "margin", "chosen"]
    assert leaderboard.columns.tolist()[6:9] == ["epochs", "seconds", "error"]


def test_trials_are_compared_with_those_of_other_stacks_too(ground):
    records = [{"rungs": {"6": value}} for value in (0.9, 0.8, 0.7, 0.6)]
    halving = Halving(ground(prune_epochs=6), owners=[5, 6], others=records)
    lines = {0: {"valid_r2_score": 0.75}, 1: {"valid_r2_score": 0.65}}
    assert halving(5, lines) == set()
    assert halving(6, lines) == {1}
    assert halving(12, lines) == set()
    assert Halving(ground(prune_epochs=6), [5, 6], [])(6, lines) == set()


def test_trials_are_compared_as_they_stood_after_the_epoch_and_not_later(ground):
    """The curves cross right after the comparison: who was ahead then stays."""
    what = ground(prune_epochs=2)
    curves = {0: [0.1, 0.2, 0.9], 1: [0.1, 0.3, 0.8], 2: [0.1, 0.6, 0.0], 3: [0.1, 0.7, 0.0]}
    curves = {number: [*curve, *curve[-1:] * 21] for number, curve in curves.items()}
    for number, curve in curves.items():
        record = make_record(what, [fake_outcome(curve, [*range(24, 0, -1)])], what.recipe.training)
        assert record["rungs"]["2"] == curve[1], number
        assert record["rungs"]["4"] == curve[3], number
    records = [
        make_record(what, [fake_outcome(curves[number], [*range(24, 0, -1)])], what.recipe.training)
        for number in (0, 3)
    ]
    halving = Halving(what, owners=[1, 2], others=records)
    lines = {0: {"valid_r2_score": curves[1][1]}, 1: {"valid_r2_score": curves[2][1]}}
    assert halving(2, lines) == {0}
    assert halving(1, lines) == set() == halving(3, lines)


def test_stop_sees_no_line_of_a_later_epoch(ground, monkeypatch):
    asked, called = [], Halving.__call__

    def looking(halving, epoch, kept):
        asked.append((epoch, max(line["epoch"] for line in kept.values())))
        return called(halving, epoch, kept)

    monkeypatch.setattr(Halving, "__call__", looking)
    for stacked in (True, False):
        search(ground(trials=4, prune_epochs=6, training={"stacked": stacked}))
    assert asked
    assert all(latest <= epoch for epoch, latest in asked)


def test_options_as_given_are_compared_but_never_given_up(ground, caplog):
    caplog.set_level(logging.INFO)
    what = ground({"training.learning_rate": {"low": 0.05, "high": 0.1}}, trials=8, prune_epochs=3,
                  training={"learning_rate": 1e-7})  # fmt: skip
    chosen, leaderboard, _ = search(what)
    assert leaderboard.set_index("trial").loc[0, "state"] == "complete"
    assert leaderboard.set_index("trial").loc[0, "epochs"] == 24
    assert (leaderboard["state"] == "pruned").any()
    best, given = leaderboard["valid_r2_score"][0], leaderboard.set_index("trial")["valid_r2_score"][0]
    assert f"the best of 8 trials is trial {chosen['trial']}: valid r2_score {best:.4g}; " in caplog.text
    assert f"ahead of the options given by {best - given:.2g} ± " in caplog.text
    lines = {0: {"valid_r2_score": 0.1}, 1: {"valid_r2_score": 0.2}}
    others = [{"rungs": {"3": value}} for value in (0.9, 0.8, 0.7, 0.6)]
    assert Halving(what, [0, 5], others, kept=0)(3, lines) == {1}
    assert Halving(what, [0, 5], others)(3, lines) == {0, 1}


def test_members_of_a_trial_count_by_their_mean_and_leave_together(ground):
    space = {"training.learning_rate": {"low": 1e-6, "high": 0.1, "log": True}}
    _, one, _ = search(ground(space, trials=4))
    apart = {"sharing": "none"}  # as branches they would be one training
    _, three, _ = search(ground(space, trials=4, members=3, prune_epochs=6, training=apart))
    assert sorted(three["epochs"]) == [6, 6, 24, 24]
    assert three["valid_r2_score"][0] != one["valid_r2_score"][0]
