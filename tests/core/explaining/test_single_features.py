import numpy as np
import pytest

from torchlane.core.explaining.single_features import constant_columns, signals_of

from .tables import encode

RANDOM = np.random.default_rng(0)
X, NOISE = RANDOM.normal(size=(2, 400))
IDS = [f"id{number}" for number in range(400)]
LEVELS = np.array([f"l{number % 5}" for number in range(400)])


def signals(columns, task="regression", seed=0):
    tensors, encoder = encode(columns, task)
    return signals_of((tensors.tensors[0], tensors.tensors[1]), encoder, None, seed)


def test_a_feature_that_gives_the_target_scores_nearly_1_also_if_bent_and_one_of_noise_about_0():
    found = signals({"x": X, "noise": NOISE, "y": np.exp(3 * X)})  # R² of the values is small: few are large
    assert found["x"] > 0.98
    assert found["noise"] < 0.05


def test_levels_that_give_the_target_score_1_and_identifiers_0():
    found = signals({"level": LEVELS, "id": np.array(IDS), "y": np.arange(400) % 5})
    assert found["level"] > 0.99
    assert found["id"] == pytest.approx(0, abs=1e-6)  # no other row has the level


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_bound_that_separates_labels_scores_high_and_noise_does_not(task):
    edges = [0.0] if task == "binary" else [-0.5, 0.5]
    found = signals({"x": X, "noise": NOISE, "y": [f"k{place}" for place in np.searchsorted(edges, X)]}, task)
    assert found["x"] > 0.9
    assert found["noise"] < 0.1


def test_a_half_copied_target_is_no_leak():
    found = signals({"x": X, "y": X + NOISE})
    assert 0.3 < found["x"] < 0.6


def test_scores_do_not_depend_on_the_units_of_feature_and_target():
    plain = signals({"x": X, "y": X + NOISE})
    scaled = signals({"x": 1000 * X + 5, "y": -0.001 * (X + NOISE)})
    assert scaled["x"] == pytest.approx(plain["x"], abs=1e-3)


def test_a_constant_target_or_feature_scores_0_and_constant_columns_are_named():
    tensors, encoder = encode({"x": X, "same": np.ones(400), "level": np.array(["a"] * 400), "y": NOISE})
    assert constant_columns(tensors.tensors[0], encoder) == ["same", "level"]
    found = signals_of(tensors.tensors[:2], encoder, None, 0)
    assert abs(found["same"]) < 0.02
    assert signals({"x": X, "y": np.ones(400)})["x"] == 0


def test_noise_is_taken_for_useful_seldom():
    """Of 60 columns of noise, few may predict better than a constant, and none by much."""
    columns = {f"x{number}": values for number, values in enumerate(RANDOM.normal(size=(60, 300)))}
    found = np.array(list(signals({**columns, "y": RANDOM.normal(size=300)}).values()))
    assert found.max() < 0.12
