from tests.core.search.searches import search
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.search import search as searching
from torchlane.core.search.trials import name_trials
from torchlane.datasets.studies import SQLStudies


def test_machines_that_share_a_storage_share_the_trials(ground, tmp_path):
    url = f"sqlite:///{tmp_path}/shared.sqlite"
    what = ground(storage=url, trials=6, round_trials=3)
    stores = [SQLStudies("toy", tmp_path / name / "search.sqlite") for name in ("one", "two")]
    searches = [searching._Search(what, what.options.space, store, NoCheckpoints()) for store in stores]
    searches[0]._trials.ask()
    assert searches[1]._trials.open_round() == []  # those of the other machine are left to it
    _, leaderboard, _ = search(what, stores[1])
    assert sorted(leaderboard["state"]) == ["complete"] * 3 + ["running"] * 3
    _, leaderboard, _ = search(what, stores[0])
    assert (leaderboard["state"] == "complete").all()
    assert leaderboard["training.learning_rate"].nunique() == 6


def test_names_of_trials_are_short():
    assert name_trials([4, 0, 1, 2, 6]) == "trials 0 to 2, 4, 6"
