import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.explaining import linear
from torchlane.core.explaining.linear import LinearInputs, fit_logistic, fit_ridge
from torchlane.core.options import DataOptions, EncodingOptions

from .tables import encode

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(2, 300))
LEVELS = np.array([f"l{number}" for number in RANDOM.integers(0, 6, 300)])


def image_encoder():
    columns = {"image": {"kind": "image", "size": [1, 20, 20]}, "y": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "binary", "target": "y", "columns": columns, "features": ["image"]})
    rows = pd.DataFrame({"image": [bytes(400)] * 4, "y": ["a", "b", "a", "b"]})
    return fit_encoder(rows, data, EncodingOptions())


def test_inputs_are_numbers_in_units_of_their_spread_and_an_indicator_for_each_level():
    tensors, encoder = encode({"a": 100 * X[0] + 7, "level": LEVELS, "same": np.ones(300), "y": X[1]})
    found = LinearInputs.of(tensors.tensors[0], encoder)(tensors.tensors[0])
    assert found.shape == (300, 8)
    np.testing.assert_allclose(found[:, 0], (X[0] - X[0].mean()) / X[0].std(), atol=1e-5)
    assert (found[:, 1] == 0).all()
    np.testing.assert_array_equal(found[:, 2:].sum(1), np.ones(300))
    np.testing.assert_array_equal(found[:, 2:].argmax(1), tensors.tensors[0][:, 1].numpy())


def test_many_levels_give_a_sparse_array_with_the_same_numbers(monkeypatch):
    tensors, encoder = encode({"a": X[0], "level": LEVELS, "y": X[1]})
    dense = LinearInputs.of(tensors.tensors[0], encoder)(tensors.tensors[0])
    monkeypatch.setattr(linear, "DENSE", 3)
    sparse = LinearInputs.of(tensors.tensors[0], encoder)(tensors.tensors[0])
    np.testing.assert_array_equal(sparse.toarray(), dense)
    one, other = (fit_ridge(*tensors.tensors, None, encoder, 0).predict(tensors.tensors[0]) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_a_level_that_train_lacks_is_0_in_every_indicator():
    tensors, encoder = encode({"level": LEVELS, "y": X[1]})
    inputs = LinearInputs.of(tensors.tensors[0], encoder)
    assert inputs(torch.tensor([[6.0], [7.0]])).sum() == 0


def test_images_are_averaged_down():
    images = torch.zeros(2, 1, 20, 20, dtype=torch.uint8)
    images[1] = 255
    found = LinearInputs.of(images, image_encoder())(images)
    assert found.shape == (2, 256)
    assert (found[0] == 0).all()
    assert (found[1] == 1).all()


def test_ridge_is_that_of_scikit_learn_at_the_chosen_penalty():
    tensors, encoder = encode({"a": X[0], "level": LEVELS, "y": X[0] + 0.5 * X[1]})
    fitted = fit_ridge(*tensors.tensors, None, encoder, 0)
    rows = LinearInputs.of(tensors.tensors[0], encoder)(tensors.tensors[0])
    reference = Ridge(alpha=fitted.options["alpha"]).fit(rows, tensors.tensors[1].flatten().numpy())
    np.testing.assert_allclose(fitted.predict(tensors.tensors[0]), reference.predict(rows), atol=1e-4)
    assert fitted.options["rows"] == 300
    assert fitted.options["features"] == 7


def test_the_penalty_is_large_where_features_tell_nothing_and_small_where_they_tell_all():
    columns = {f"x{number}": values for number, values in enumerate(RANDOM.normal(size=(40, 100)))}
    noise, encoder = encode({**columns, "y": RANDOM.normal(size=100)})
    clear, _ = encode({**columns, "y": sum(columns.values())})
    weak, strong = (fit_ridge(*each.tensors, None, encoder, 0).options["alpha"] for each in (noise, clear))
    assert weak > 100 * strong


def test_logistic_regression_is_that_of_scikit_learn_and_rows_of_weight_2_are_two_rows():
    labels = np.array([f"k{int(each)}" for each in X[0] + 0.5 * X[1] > 0])
    tensors, encoder = encode({"a": X[0], "level": LEVELS, "y": labels}, "binary")
    features, targets = tensors.tensors
    fitted = fit_logistic(features, targets, 2, None, encoder, 0)
    rows, truth = LinearInputs.of(features, encoder)(features), targets.flatten().long().numpy()
    reference = LogisticRegression(C=fitted.options["C"]).fit(rows, truth)
    np.testing.assert_allclose(fitted.predict(features), reference.predict_proba(rows), atol=1e-3)
    twice = linear.fitted_logistic(rows, truth, 1.0, np.full(300, 2.0), 2)(rows)
    doubled = linear.fitted_logistic(np.tile(rows, (2, 1)), np.tile(truth, 2), 1.0, None, 2)(rows)
    np.testing.assert_allclose(twice, doubled, atol=1e-3)


def test_rows_without_weight_leave_no_trace():
    weights = torch.ones(300, dtype=torch.float64)
    weights[200:] = 0
    tensors, encoder = encode({"a": X[0], "y": X[1]})
    features, targets = tensors.tensors
    spoilt = targets.clone()
    spoilt[200:] = 99
    found = [fit_ridge(features, each, weights, encoder, 0) for each in (targets, spoilt)]
    np.testing.assert_array_equal(*(each.predict(features) for each in found))
    assert found[0].options["rows"] == 200


def test_large_tables_are_fitted_to_some_rows_drawn_by_the_seed(monkeypatch):
    monkeypatch.setattr(linear, "MOST_VALUES", 100)
    tensors, encoder = encode({"a": X[0], "b": X[1], "y": X[0]})
    one, same, other = (fit_ridge(*tensors.tensors, None, encoder, seed) for seed in (0, 0, 1))
    assert one.options["rows"] == 50
    np.testing.assert_array_equal(one.predict(tensors.tensors[0]), same.predict(tensors.tensors[0]))
    assert (one.predict(tensors.tensors[0]) != other.predict(tensors.tensors[0])).any()


def test_a_label_that_the_drawn_rows_lack_gets_no_probability():
    rows = X.T[:40]
    found = linear.fitted_logistic(rows, np.arange(40) % 2 * 2, 1.0, None, 4)(rows)
    assert found.shape == (40, 4)
    assert (found[:, [1, 3]] == 0).all()
    assert found.sum(1) == pytest.approx(1)
    assert (linear.fitted_logistic(rows, np.full(40, 3), 1.0, None, 4)(rows)[:, 3] == 1).all()
