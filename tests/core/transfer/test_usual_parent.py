"""Fine-tuning of a parent with the options that tables have by default: shared weights, bins, dropout, a refit."""

import numpy as np
import pytest
import torch

from tests.core.transfer.adapted import REGRESSION, TRAINING, make_rows, tune
from tests.core.transfer.adapted import train_parent as train_plainer
from tests.core.transfer.test_numbers import DATED, STILL, dated
from torchlane.core.model.learned import is_refit
from torchlane.core.model.trained import load

TRAINED = {"epochs": 2, "members": 3, "batch_size": 8}
BINS = 17  # columns of the first layer for a number: the number, and its 16 bins


def train_parent(monkeypatch, raw, data=REGRESSION):
    with monkeypatch.context() as patch:
        for name in ("sharing", "refit", "learning_rate", "patience_epochs"):
            patch.delitem(TRAINING, name)
        for name, value in TRAINED.items():
            patch.setitem(TRAINING, name, value)
        parent = train_plainer(raw, data, model={"widths": [8, 6]})
    assert (parent.training.sharing, parent.model.numbers.kind, parent.model.dropout) == ("columns", "bins", 0.1)
    assert is_refit(parent)
    return parent


def moved_of(parent, tuned):
    return {name for name, old in parent.weights.items() if not torch.equal(old, tuned.weights[name])}


def test_each_member_goes_on_by_itself_without_a_refit(monkeypatch, tmp_path):
    parent = train_parent(monkeypatch, make_rows())
    tuned = tune(parent, make_rows("abd"), REGRESSION, learning_rate=0.05)
    assert (tuned.training.sharing, tuned.training.refit, is_refit(tuned)) == ("none", False, False)
    assert tuned.n_members == parent.n_members == 3
    ratio, before = (
        each.weights["linear_2.weight"][0] / each.weights["linear_2.weight"][1] for each in (tuned, parent)
    )
    assert not torch.allclose(ratio, before)  # the members no longer move together
    tuned.save(tmp_path / "tuned")
    rows = make_rows("abcd").drop(columns="price")
    assert load(tmp_path / "tuned").predict(rows).equals(tuned.predict(rows))


def test_new_levels_flags_and_parts_of_dates_leave_the_predictions_of_known_rows(monkeypatch):
    days = "2020-03-01", "2020-03-02"
    parent = train_parent(monkeypatch, dated(make_rows(), *days), DATED)
    new = dated(make_rows("abcde", gap=True), "2020-03-01", "2021-04-02", "2023-05-09")
    tuned = tune(parent, new, DATED, **STILL)
    parts = parent.encoder.measured_names, tuned.encoder.measured_names
    assert parts == (("size", "day=day", "day=elapsed"), ("size", "day=year", "day=day", "day=elapsed"))
    before, after = parent.weights["linear_1.weight"], tuned.weights["linear_1.weight"]
    n_others = len(tuned.encoder.feature_names) - 4
    assert n_others >= len(parent.encoder.feature_names) - 3 + 3  # two levels, and a flag of missing sizes
    assert after.shape[2] == n_others + 4 * BINS > before.shape[2]
    edges = tuned.weights["numbers.edges"]
    torch.testing.assert_close(edges[:, [0, 2, 3]], parent.weights["numbers.edges"], rtol=0, atol=1e-6)
    assert len(edges[0, 1].unique()) == 3  # of the new rows, since the parent has none
    assert not after[:, :, n_others + BINS : n_others + 2 * BINS].abs().gt(1e-6).any()
    known = dated(make_rows(), *days).drop(columns="price")
    np.testing.assert_allclose(tuned.predict(known)["prediction"], parent.predict(known)["prediction"], rtol=1e-5)


@pytest.mark.parametrize("once", [True, False])
def test_bins_stay_and_layers_freeze_as_in_a_network_without_them(monkeypatch, once):
    parent = train_parent(monkeypatch, make_rows())
    frozen = tune(parent, make_rows(), REGRESSION, once=once, freeze={"first": 1})
    assert {name.partition(".")[0] for name in moved_of(parent, frozen)} == {"linear_2", "head"}
    with pytest.raises(ValueError, match="freeze.layers 'numbers' matches nothing; the layers are linear_1"):
        tune(parent, make_rows(), REGRESSION, once=once, freeze={"layers": ["numbers"]})


def test_rates_fall_from_the_head_to_the_first_layer(monkeypatch, caplog):
    caplog.set_level("INFO")
    parent = train_parent(monkeypatch, make_rows())
    tuned = tune(parent, make_rows(), REGRESSION, learning_rate=0.01, layer_decay=0.5)
    assert "by groups at 0.01, 0.005, 0.0025;" in caplog.text
    assert "numbers.edges" not in moved_of(parent, tuned)


def test_outputs_of_frozen_layers_computed_once_give_the_same_weights(monkeypatch, caplog):
    caplog.set_level("INFO")
    parent = train_parent(monkeypatch, make_rows())
    one, other = (tune(parent, make_rows("abcd"), REGRESSION, once=once, freeze={"first": 1}) for once in (True, False))
    assert "(first layers computed once)" in caplog.text
    for name, tensor in one.weights.items():
        torch.testing.assert_close(tensor, other.weights[name], rtol=1e-4, atol=1e-6)
