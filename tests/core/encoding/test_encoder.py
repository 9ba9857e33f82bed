import numpy as np
import pandas as pd
import pytest

from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.options import DataOptions, EncodingOptions
from torchlane.core.rows.checking import check_rows


def test_encoding_of_a_column_can_be_set_alone(toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)
    encoder = fit_encoder(clean, toy_data, EncodingOptions(columns={"place": "codes", "size": "none"}))
    assert encoder.feature_names == ("size", "place")
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
