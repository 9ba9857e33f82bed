import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchlane.core.encoding.target import TargetEncoder


@pytest.mark.parametrize("scaling", ["none", "min_max", "z_score"])
@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_target_comes_back_from_its_scale(scaling, values):
    target = TargetEncoder.fit(pd.Series(values, name="y"), "regression", scaling)
    scaled = target.encode(pd.Series(values))
    assert scaled.dtype == np.float32
    spread = max(np.ptp(values), max(map(abs, values)), 1e-9)
    np.testing.assert_allclose(target.decode(torch.from_numpy(scaled))[:, 0], values, atol=1e-5 * spread)


def test_min_max_target_spans_zero_to_one():
    target = TargetEncoder.fit(pd.Series([10.0, 20.0, 50.0], name="y"), "regression", "min_max")
    assert target.encode(pd.Series([10.0, 30.0, 50.0])).ravel().tolist() == [0, 0.5, 1]


def test_labels_become_indices_in_the_shape_their_loss_takes():
    values = pd.Series(["7", "3", "7"], dtype="str", name="y")
    assert TargetEncoder.fit(values, "binary", "none").encode(values).tolist() == [[1.0], [0.0], [1.0]]
    multiclass = TargetEncoder.fit(values, "multiclass", "none").encode(values)
    assert (multiclass.tolist(), multiclass.dtype) == ([1, 0, 1], np.int64)


def test_wrong_number_of_labels_is_refused():
    with pytest.raises(ValueError, match=r"binary task needs exactly 2 labels .* 'y' has 3: a, b, c"):
        TargetEncoder.fit(pd.Series(["a", "b", "c"], name="y"), "binary", "none")
    with pytest.raises(ValueError, match="at least 2"):
        TargetEncoder.fit(pd.Series(["a"], name="y"), "multiclass", "none")


def test_label_that_train_lacks_is_named():
    target = TargetEncoder.fit(pd.Series(["a", "b"], name="y"), "multiclass", "none")
    with pytest.raises(ValueError, match="label c of 'y' occurs in valid or test but not in train"):
        target.encode(pd.Series(["a", "c"]))
