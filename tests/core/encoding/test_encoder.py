import numpy as np
import pandas as pd
import pytest

from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.options import DataOptions, EncodingOptions
from torchlane.core.rows.checking import check_rows


def test_encoding_of_a_column_can_be_set_alone(toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)
    encoder = fit_encoder(clean, toy_data, EncodingOptions(columns={"place": "ordinal", "size": "none"}))
    assert encoder.feature_names == ("size", "place")
    assert encoder.layout().is_plain
    assert encoder.encode_features(clean)[:3].tolist() == [[1, 1], [2, 2], [3, 0]]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"plaice": "codes"}, "'plaice', which is not a feature"),
        ({"place": "z_score"}, "column 'place' cannot be encoded as 'z_score'"),
    ],
)
def test_encoding_of_a_wrong_column_is_refused(toy_rows, toy_data, columns, message):
    clean, _ = check_rows(toy_rows, toy_data)
    with pytest.raises(ValueError, match=message):
        fit_encoder(clean, toy_data, EncodingOptions(columns=columns))


def test_encoder_survives_json_to_the_same_bits():
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"x": random.normal(size=99), "c": random.choice(["a", "b"], 99), "y": random.normal(size=99)})
    columns = {"x": {"kind": "number"}, "c": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns})
    encoder = fit_encoder(rows, data, EncodingOptions(numbers="quantile"))
    again = Encoder.model_validate_json(encoder.model_dump_json())
    assert again == encoder
    np.testing.assert_array_equal(again.encode_features(rows), encoder.encode_features(rows))


def test_declared_order_reaches_codes_and_the_labels_of_a_multiclass_task():
    levels = ["low", "medium", "high", "very high"]
    column = {"kind": "category", "levels": levels}
    rows = pd.DataFrame({"size": levels * 2, "y": levels * 2}, dtype="str")
    for ordered, labels in ((None, levels), (True, levels), (False, sorted(levels))):
        columns = {name: {**column, "ordered": ordered} for name in ("size", "y")}
        data = DataOptions.model_validate({"task": "multiclass", "target": "y", "columns": columns})
        encoder = fit_encoder(rows, data, EncodingOptions(categories="codes"))
        assert encoder.encode_features(rows)[:, 0].tolist() == [labels.index(level) for level in rows["size"]]
        assert encoder.target.labels == tuple(labels)


def test_labels_of_a_binary_task_stay_in_natural_order():
    columns = {"size": {"kind": "number"}, "y": {"kind": "category", "levels": ["no", "maybe"]}}
    data = DataOptions.model_validate({"task": "binary", "target": "y", "columns": columns})
    rows = pd.DataFrame({"size": [1.0, 2.0], "y": ["no", "maybe"]})
    assert fit_encoder(rows, data, EncodingOptions()).target.labels == ("maybe", "no")
