import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.options import DataOptions


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
    values = pd.Series(["7", "3", "7", "3"], dtype="str", name="y")
    assert TargetEncoder.fit(values, "binary", "none").encode(values).tolist() == [[1.0], [0.0], [1.0], [0.0]]
    multiclass = TargetEncoder.fit(values, "multiclass", "none").encode(values)
    assert (multiclass.tolist(), multiclass.dtype) == ([1, 0, 1, 0], np.int64)


def test_wrong_number_of_labels_is_refused():
    with pytest.raises(ValueError, match=r"binary task needs exactly 2 labels .* 'y' has 3: a, b, c"):
        TargetEncoder.fit(pd.Series(["a", "b", "c"], name="y"), "binary", "none")
    with pytest.raises(ValueError, match="at least 2"):
        TargetEncoder.fit(pd.Series(["a"], name="y"), "multiclass", "none")


def test_label_that_train_lacks_is_named():
    target = TargetEncoder.fit(pd.Series(["a", "b"], name="y"), "multiclass", "none")
    with pytest.raises(ValueError, match="label c of 'y' occurs in valid or test but not in train"):
        target.encode(pd.Series(["a", "c"]))


@pytest.mark.parametrize(
    ("values", "asked", "positive"),
    [
        (["ok", "fraud", "ok"], None, "fraud"),
        (["0", "1", "0"], None, "1"),
        (["0", "1", "1"], None, "0"),
        (["no", "yes", "yes", "no"], None, "yes"),  # a tie: the later one
        (["10", "9", "9", "10"], None, "10"),
        (["ok", "fraud", "ok"], "ok", "ok"),
    ],
)
def test_positive_label_is_the_rarer_one_unless_it_is_set(values, asked, positive):
    rows = pd.Series(values, dtype="str", name="y")
    target = TargetEncoder.fit(rows, "binary", "none", asked)
    assert target.positive == target.labels[1] == positive
    assert target.encode(rows).ravel().tolist() == [float(value == positive) for value in values]
    assert target.counts == tuple(values.count(label) for label in target.labels)


def test_positive_label_that_train_lacks_is_refused_with_the_labels():
    rows = pd.Series(["b", "a"], dtype="str", name="y")
    with pytest.raises(ValueError, match=r"data.positive 'c' is not a label of 'y' in train; set it to one of a, b"):
        TargetEncoder.fit(rows, "binary", "none", "c")


def test_positive_label_is_one_of_a_binary_task_and_written_as_levels_are():
    target = {"kind": "category", "levels": [True, False]}
    options = {"task": "binary", "target": "y", "columns": {"x": {"kind": "number"}, "y": target}}
    assert DataOptions.model_validate({**options, "positive": False}).positive == "False"
    assert "positive" not in DataOptions.model_validate(options).model_dump()  # files of models stay as they were
    with pytest.raises(ValueError, match="'1' is not a label of 'y'; its labels are True, False"):
        DataOptions.model_validate({**options, "positive": 1})
    with pytest.raises(ValueError, match="names a label of a binary task; leave it out for multiclass"):
        DataOptions.model_validate({**options, "task": "multiclass", "positive": False})


def test_encoders_written_before_keep_the_order_of_their_labels():
    old = TargetEncoder.model_validate({"name": "y", "task": "binary", "labels": ["fraud", "ok"], "counts": [3, 97]})
    assert (old.labels, old.positive) == (("fraud", "ok"), "ok")
