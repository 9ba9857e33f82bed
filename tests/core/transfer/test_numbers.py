"""Fine-tuning of networks that embed numbers."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.core.transfer.adapted import REGRESSION, make_rows, train_parent, tune
from torchlane.core.model.trained import TrainedModel

KINDS = {
    "piecewise linear": {"kind": "piecewise_linear", "bins": 6, "width": 4},
    "periodic": {"kind": "periodic", "frequencies": 5, "width": 4},
}
by_kind = pytest.mark.parametrize("numbers", KINDS.values(), ids=KINDS)
DATED = {**REGRESSION, "columns": {**REGRESSION["columns"], "day": {"kind": "date"}}}
STILL = {"epochs": 1, "learning_rate": 1e-12, "optimizer": {"name": "SGD"}}  # the weights stay as they are mapped


def parent_of(numbers: dict, raw: pd.DataFrame, data: dict = REGRESSION) -> TrainedModel:
    return train_parent(raw, data, model={"widths": [8, 6], "numbers": numbers})


def dated(rows: pd.DataFrame, *days: str) -> pd.DataFrame:
    return rows.assign(day=[days[number % len(days)] for number in range(len(rows))])


@by_kind
def test_new_levels_and_flags_leave_the_predictions_of_known_rows_and_the_bins_as_they_were(numbers):
    parent = parent_of(numbers, make_rows())
    tuned = tune(parent, make_rows("abcde", gap=True), REGRESSION, **STILL)
    before, after = parent.weights["linear_1.weight"], tuned.weights["linear_1.weight"]
    assert after.shape[2] == before.shape[2] + 3  # two levels, and a flag of missing sizes
    for name in (each for each in parent.weights if each.startswith("numbers.")):
        torch.testing.assert_close(tuned.weights[name], parent.weights[name], rtol=0, atol=1e-6)
    known = make_rows().drop(columns="price")
    expected = parent.predict(known)["prediction"]
    np.testing.assert_allclose(tuned.predict(known)["prediction"], expected, rtol=1e-5)


@by_kind
def test_a_part_of_dates_that_is_new_is_embedded_without_a_say_at_first(numbers):
    parent = parent_of(numbers, dated(make_rows(), "2020-03-01", "2020-03-02"), DATED)
    new = dated(make_rows("abcd"), "2020-03-01", "2021-04-02", "2023-05-09")
    tuned = tune(parent, new, DATED, **STILL)
    parts = parent.encoder.measured_names, tuned.encoder.measured_names
    assert parts == (("size", "day=day", "day=elapsed"), ("size", "day=year", "day=day", "day=elapsed"))
    weight = tuned.weights["numbers.weight"]
    kept = weight[:, [0, 2, 3]]
    torch.testing.assert_close(kept, parent.weights["numbers.weight"], rtol=0, atol=1e-6)
    assert weight[:, 1].any()
    n_others = tuned.weights["linear_1.weight"].shape[2] - 4 * 4
    assert not tuned.weights["linear_1.weight"][:, :, n_others + 4 : n_others + 8].abs().gt(1e-6).any()
    if numbers["kind"] == "piecewise_linear":
        years = tuned.weights["numbers.edges"][0, 1].unique()
        assert len(years) == 3  # of the new rows, since the parent has none
    known = dated(make_rows(), "2020-03-01", "2020-03-02").drop(columns="price")
    expected = parent.predict(known)["prediction"]
    np.testing.assert_allclose(tuned.predict(known)["prediction"], expected, rtol=1e-5)


@by_kind
@pytest.mark.parametrize("once", [True, False])
def test_embeddings_freeze_by_their_name_and_as_the_first_layer(numbers, once):
    parent = parent_of(numbers, make_rows())
    for freeze in ({"layers": ["numbers"]}, {"first": 1}, {"first": 2}, {"all_but": ["head"]}):
        tuned = tune(parent, make_rows(), REGRESSION, once=once, freeze=freeze)
        moved = {name for name, old in parent.weights.items() if not torch.equal(old, tuned.weights[name])}
        assert not {name for name in moved if name.startswith("numbers")}
        assert "head.weight" in moved
        assert ("linear_1.weight" in moved) == (freeze in ({"layers": ["numbers"]}, {"first": 1}))
    trained = tune(parent, make_rows(), REGRESSION, once=once, freeze={"layers": ["linear_1"]})
    assert not torch.equal(trained.weights["numbers.weight"], parent.weights["numbers.weight"])


@by_kind
def test_outputs_of_frozen_layers_computed_once_give_the_same_weights(numbers):
    parent = parent_of(numbers, make_rows())
    freeze = {"first": 2}
    one, other = (tune(parent, make_rows("abcd"), REGRESSION, once=once, freeze=freeze) for once in (True, False))
    for name, tensor in one.weights.items():
        torch.testing.assert_close(tensor, other.weights[name], rtol=1e-4, atol=1e-6)
