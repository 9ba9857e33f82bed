import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.explaining.models import COLUMNS, case
from torchlane.core.explaining.varied_model import VariedModel, work_of_row

CASES = {
    "perceptron": {},
    "linear": {"network": {"widths": ()}},
    "padded, normalised and filled": {"network": {"widths": (9,), "activation": "Sigmoid", "batch_norm": True}},
    "dropout": {"network": {"dropout": 0.5}, "members": 1},
    "several categories": {"columns": {**COLUMNS, "class": COLUMNS["place"], "kind": COLUMNS["place"]}},
    "ordinal": {"encoding": {"categories": "ordinal"}},
    "numbers alone": {"columns": {"size": COLUMNS["size"], "built": COLUMNS["built"]}},
    "piecewise linear": {"network": {"numbers": {"kind": "piecewise_linear", "bins": 6, "width": 3}}},
    "periodic": {
        "network": {"numbers": {"kind": "periodic", "frequencies": 5, "width": 3, "sigma": 0.5}},
        "columns": {"size": COLUMNS["size"], "built": COLUMNS["built"]},
    },
    "transformer": {"network": {"kind": "transformer", "widths": (64, 64), "token_width": 8, "heads": 2}},
}
FOUND = {name: case(**options) for name, options in CASES.items()}


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), data=st.data())
def test_outputs_are_those_of_whole_rows_with_the_feature_replaced(name, seed, data):
    each = FOUND[name]
    features = each.tensors.tensors[0]
    feature = data.draw(st.sampled_from(each.names))
    varied = VariedModel(each.model, features)
    permuted = torch.from_numpy(np.random.default_rng(seed).permutation(len(features)))
    values = varied.encoded(feature)
    raw = each.clean.copy()
    raw[feature] = (
        raw[feature].to_numpy()[permuted.numpy()] if feature != "built" else raw[feature].iloc[permuted.numpy()].array
    )
    expected = each.model.outputs(torch.from_numpy(each.model.encoder.encode_features(raw)))
    found = varied.outputs(feature, values[permuted])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.shape == expected.shape


@pytest.mark.parametrize("name", CASES)
def test_outputs_keep_their_bits_where_no_value_differs(name):
    each = FOUND[name]
    varied = VariedModel(each.model, each.tensors.tensors[0])
    found = [varied.outputs(feature, varied.encoded(feature)) for feature in each.names]
    for one in found[1:]:
        assert torch.equal(one, found[0])
    torch.testing.assert_close(found[0], each.model.outputs(each.tensors.tensors[0]), rtol=1e-4, atol=1e-5)


def test_many_rows_pass_in_several_blocks_with_the_same_result(monkeypatch):
    each = case(n_rows=700)
    whole = VariedModel(each.model, each.tensors.tensors[0])
    monkeypatch.setattr("torchlane.core.stacks.varied.BLOCK_BYTES", 1)
    parts = VariedModel(each.model, each.tensors.tensors[0])
    values = whole.encoded("place").flip(0)
    torch.testing.assert_close(parts.outputs("place", values), whole.outputs("place", values))


def test_work_of_a_perceptron_leaves_its_first_layer_out():
    assert work_of_row(case(members=2).model) == 2 * ((8 * 4 + 4) + (4 + 1) + 1000)
    assert work_of_row(FOUND["piecewise linear"].model) == 3 * ((8 * 4 + 4) + (4 + 1) + 8 * 3 + 1000)
    assert work_of_row(FOUND["transformer"].model) > 3 * 1000
