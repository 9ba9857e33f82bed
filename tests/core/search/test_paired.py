"""Trials that differ from the options given by noise alone are not taken for better; those that are better are."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from torchlane.core.search import paired
from torchlane.core.search.paired import Lead, lead_of, score_rows

SEARCHES = 200


def normal(random: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    return random.normal(size=size)


def heavy(random: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Differences of squared errors: most are small, some are large."""
    return random.normal(size=size) ** 2 - random.normal(size=size) ** 2


def rare(random: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Differences of accuracy: few rows differ."""
    return random.choice([-1.0, 0.0, 1.0], size, p=[0.05, 0.9, 0.05])


def alike(random: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
    """Trials that resemble each other more than they resemble the options given."""
    return random.normal(size=(size[0], 1, size[2])) + 0.5 * random.normal(size=size)


def lead(ahead: np.ndarray, n_compared: int) -> Lead:
    """The lead of a trial whose rows are `ahead` of those of the options given."""
    rows = {"rows": len(ahead), "worth": float(len(ahead))}
    given_options = {"value": 0.0, "paired": {**rows, "scores": [0.0] * len(ahead)}}
    return lead_of(
        {"value": float(ahead.mean()), "paired": {**rows, "scores": ahead.tolist()}}, given_options, n_compared
    )


def share_changed(ahead: np.ndarray) -> float:
    """The share of searches whose best trial is clearly ahead; (searches, trials, rows)."""
    best = ahead[np.arange(len(ahead)), ahead.mean(2).argmax(1)]
    return float(np.mean([lead(rows, ahead.shape[1]).is_clear for rows in best]))


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([normal, heavy, rare, alike]), st.sampled_from([12, 30, 91, 300]),
       st.sampled_from([1, 7, 31]), st.integers(0, 2**31))  # fmt: skip
@example(normal, 91, 31, 0)
@example(heavy, 30, 31, 1)
@example(rare, 91, 31, 2)
def test_best_of_trials_that_differ_by_noise_alone_is_nearly_never_taken(noise, n_rows, n_trials, seed):
    changed = share_changed(noise(np.random.default_rng(seed), (SEARCHES, n_trials, n_rows)))
    assert changed <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / SEARCHES)


@settings(max_examples=8, deadline=None)
@given(st.sampled_from([normal, heavy, alike]), st.sampled_from([91, 300]), st.integers(0, 2**31))
def test_clearly_better_trial_is_nearly_always_taken(noise, n_rows, seed):
    ahead = noise(np.random.default_rng(seed), (50, 31, n_rows))
    ahead[:, 5] += 6 * ahead.std() / np.sqrt(n_rows)
    assert share_changed(ahead) > 0.9


@pytest.mark.parametrize("n_rows", [1, 3, 8])
def test_few_rows_tell_nothing_even_if_all_agree(n_rows):
    assert not lead(np.ones(n_rows), 31).is_clear
    assert lead(np.ones(40), 31).is_clear


def test_lead_is_the_difference_of_the_values_with_a_margin_that_grows_with_the_trials():
    rows = np.random.default_rng(0).normal(0.5, 1, 90)
    few, many = lead(rows, 1), lead(rows, 31)
    assert few.ahead == many.ahead == pytest.approx(rows.mean())
    error = np.sqrt((rows.var() + rows.mean() ** 2) / 90)
    assert few.margin == pytest.approx(1.645 * error, rel=1e-3)
    assert many.margin == pytest.approx(2.947 * error, rel=1e-3)
    assert str(Lead(0.0041, 0.0104, 1091)) == "0.0041 ± 0.01 on 1,091 rows of valid"


def test_a_study_keeps_no_more_than_some_sums_of_many_rows_with_the_same_mean_and_error(monkeypatch, ground):
    from torchlane.core.search import search as searching

    kept = []
    monkeypatch.setattr(searching, "score_rows", lambda *asked: kept.append(score_rows(*asked)) or kept[-1])
    monkeypatch.setattr(paired, "MOST_VALUES", 10**6)
    from tests.core.search.searches import search

    _, whole, _ = search(ground(trials=3, epochs=2))
    n_rows = len(kept[0]["scores"])
    monkeypatch.setattr(paired, "MOST_VALUES", n_rows // 2)
    _, summed, _ = search(ground(trials=3, epochs=2))
    assert {each["rows"] for each in kept} == {n_rows}
    assert [len(each["scores"]) for each in kept] == [n_rows] * 3 + [n_rows // 2] * 3
    values = whole.set_index("trial")["valid_r2_score"]
    for number, each in enumerate(kept):
        assert np.mean(each["scores"]) == pytest.approx(values[number % 3], abs=1e-5)
    margins = [board.set_index("trial")["margin"].drop(0) for board in (whole, summed)]
    assert (margins[1] / margins[0]).between(0.4, 2).all()
