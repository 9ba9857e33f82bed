import json
import os
import pickle
import re
import stat
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import torchlane
from tests.core.fitted import fitted, plain_model
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.model.trained import TrainedModel, intervals
from torchlane.core.networks import build_network
from torchlane.core.options import (
    ColumnOptions,
    DataOptions,
    EncodingOptions,
    EvaluationOptions,
    ModelOptions,
)
from torchlane.core.rows.checking import check_rows
from torchlane.core.scoring.chunks import Chunk, ChunkScorer


def train_on(
    rows: pd.DataFrame,
    data: DataOptions,
    encoding: dict[str, Any] | None = None,
    network: ModelOptions | None = None,
    **training: Any,
) -> TrainedModel:
    clean, _ = check_rows(rows, data)
    encoder = fit_encoder(clean, data, EncodingOptions.model_validate(encoding or {}))
    tensors = build_tensors(clean, encoder)
    options = fitted({"epochs": 30, "learning_rate": 0.01, "members": 2}, **training)
    lesson = Lesson(tensors, tensors, encoder, options)
    network = network or plain_model(widths=(16,), batch_norm=True)
    model, _ = train_model(lesson, data, network, NoCheckpoints(), "toy rows")
    return model


@pytest.fixture
def model(toy_rows, toy_data) -> TrainedModel:
    return train_on(toy_rows, toy_data)


@pytest.fixture
def classifier(toy_rows, toy_data) -> TrainedModel:
    data = toy_data.model_copy(update={"task": "binary", "target": "kind"})
    return train_on(toy_rows, data)


def test_reloaded_model_predicts_the_same_bits(model, toy_rows, tmp_path):
    model.save(tmp_path / "model.safetensors")
    again = torchlane.load(tmp_path / "model.safetensors")
    pd.testing.assert_frame_equal(again.predict(toy_rows), model.predict(toy_rows), check_exact=True)
    assert (again.encoder, again.data, again.model) == (model.encoder, model.data, model.model)
    assert again.training.model_dump() == model.training.model_dump()
    assert again.details == model.details
    assert again.details["source"] == "toy rows"


def test_same_seed_writes_the_same_file(toy_rows, toy_data, tmp_path):
    for name in ("one", "other"):
        train_on(toy_rows, toy_data).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_file_has_one_entry_of_metadata_since_several_are_written_in_any_order(model, tmp_path):
    model.save(tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(header["__metadata__"]) == ["torchlane"]


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_file_can_be_read_by_whom_the_umask_allows(model, tmp_path, mask):
    before = os.umask(mask)
    try:
        model.save(tmp_path / "model.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == 0o666 & ~mask


def test_weights_have_a_leading_member_axis_also_for_one_member(toy_rows, toy_data):
    alone = train_on(toy_rows, toy_data, members=1)
    assert {len(weights) for weights in alone.weights.values()} == {1}
    assert alone.weights["linear_1.weight"].shape[1:] == alone.network().linear_1.weight.shape
    assert (alone.predict(toy_rows)["spread"] == 0).all()


def test_prediction_is_the_mean_over_members_and_spread_their_deviation(model, toy_rows):
    clean, _ = check_rows(toy_rows, model.data)
    features = torch.from_numpy(model.encoder.encode_features(clean))
    with torch.inference_mode():
        each = np.stack([model.encoder.target.decode(model.network(k)(features)).squeeze(-1).numpy() for k in range(2)])
    predicted = model.predict(toy_rows)
    np.testing.assert_allclose(predicted["prediction"], each.mean(0), rtol=1e-5)
    np.testing.assert_allclose(predicted["spread"], each.std(0), rtol=1e-3, atol=1e-6 * each.max())


@pytest.mark.parametrize("count", [1, 59])
def test_a_row_is_predicted_to_the_same_bits_in_any_company(model, toy_rows, count):
    whole = model.predict(toy_rows)
    some = toy_rows.sample(count, random_state=1)
    pd.testing.assert_frame_equal(model.predict(some), whole.loc[some.index], check_exact=True)
    many = pd.concat([toy_rows] * 11).sample(frac=1, random_state=2)
    pd.testing.assert_frame_equal(model.predict(many), whole.loc[many.index], check_exact=True)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    "network",
    [
        {"widths": [9, 5, 9, 5]},
        {"widths": [9, 5, 9, 5], "activation": "Tanhshrink"},
        {"kind": "transformer", "token_width": 10, "heads": 2},
    ],
    ids=["perceptron", "other activation", "transformer"],
)
def test_widths_that_fit_no_vector_leave_a_row_its_bits_in_any_company(toy_rows, toy_data, network, members):
    options = ModelOptions.model_validate(network)
    model = train_on(toy_rows, toy_data, network=options, members=members, epochs=1)
    features = torch.from_numpy(model.encoder.encode_features(check_rows(toy_rows, toy_data)[0]))
    alone = torch.cat([model.outputs(row) for row in features.split(1)], dim=1)
    assert torch.equal(alone, model.outputs(features))


def test_spread_and_interval_of_a_row_have_the_same_bits_in_any_company(toy_rows, toy_data):
    model = train_on(toy_rows, toy_data, members=16, epochs=2)
    model = replace(model, calibration=model.calibration.model_copy(update={"spread_weight": 0.01}))
    whole = model.predict(toy_rows)
    assert (whole["high"] - whole["low"]).nunique() > 30

    @given(st.lists(st.integers(0, 59), min_size=1, max_size=300))
    @settings(max_examples=30, deadline=None)
    def check(places):
        pd.testing.assert_frame_equal(model.predict(toy_rows.iloc[places]), whole.iloc[places], check_exact=True)

    check()


@pytest.mark.parametrize("bounds", [{"minimum": 1000.0}, {"maximum": 9000.0}, {"minimum": 1000.0, "maximum": 9000.0}])
@pytest.mark.parametrize("width", [3000.0, np.inf])
def test_interval_stays_within_the_bounds_that_are_declared_for_the_target(model, toy_rows, bounds, width):
    calibration = Calibration(n_rows=9, residuals=(width,), ranks=(9,))
    free = replace(model, calibration=calibration)
    declared = {**model.data.columns, "price": ColumnOptions(kind="number", **bounds)}
    bound = replace(free, data=model.data.model_copy(update={"columns": declared}))
    before, after = free.predict(toy_rows), bound.predict(toy_rows)
    cut = {end: before[end].clip(bounds.get("minimum"), bounds.get("maximum")) for end in ("low", "high")}
    assert after["low"].tolist() == cut["low"].clip(upper=after["prediction"]).tolist()
    assert after["high"].tolist() == cut["high"].clip(lower=after["prediction"]).tolist()
    assert (after["prediction"] == before["prediction"]).all() and not after.equals(before)


@given(
    st.lists(st.tuples(st.floats(-50, 50), st.floats(0, 100) | st.just(np.inf)), min_size=1),
    st.none() | st.floats(-20, 0),
    st.none() | st.floats(0, 20),
    st.floats(-60, 60),
)
def test_interval_contains_its_prediction_and_every_truth_within_bounds_that_it_covered(rows, minimum, maximum, truth):
    predicted, half_widths = (np.array(each) for each in zip(*rows, strict=True))
    columns = {"a": {"kind": "number"}, "y": {"kind": "number", "minimum": minimum, "maximum": maximum}}
    data = DataOptions.model_validate({"task": "regression", "target": "y", "columns": columns})
    low, high = intervals(predicted, half_widths, data)
    assert ((low <= predicted) & (predicted <= high)).all()
    inside = np.clip(predicted, minimum, maximum) == predicted
    assert (low == np.clip(predicted - half_widths, minimum, maximum))[inside].all()
    assert (high == np.clip(predicted + half_widths, minimum, maximum))[inside].all()
    truth = float(np.clip(truth, minimum, maximum))
    covered = (predicted - half_widths <= truth) & (truth <= predicted + half_widths)
    assert ((low <= truth) & (truth <= high))[covered].all()


@pytest.mark.parametrize(
    ("coverage", "meant"), [(99, "0.99"), (90.5, "0.905"), (1, ""), (0, ""), (-0.5, ""), (100, ""), (np.nan, "")]
)
def test_coverage_that_is_no_share_is_refused(model, classifier, toy_rows, coverage, meant):
    features = torch.from_numpy(model.encoder.encode_features(check_rows(toy_rows, model.data)[0]))
    for ask in (
        lambda: model.predict(toy_rows, coverage),
        lambda: classifier.predict(toy_rows, coverage=coverage),
        lambda: model.describe_predictions(features, coverage),
        lambda: ChunkScorer(model, coverage=coverage),
        lambda: EvaluationOptions(coverage=coverage),
    ):
        with pytest.raises(ValueError, match=f"between 0 and 1, not {coverage:g}|finite number") as caught:
            ask()
        assert str(caught.value).partition("; did you mean ")[2].partition("?")[0] == meant


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_joined_probabilities_are_the_mean_over_members_with_the_temperature_applied(classifier, toy_rows, temperature):
    model = replace(classifier, calibration=Calibration(temperature=temperature))
    features = torch.from_numpy(model.encoder.encode_features(check_rows(toy_rows, model.data)[0]))
    each = model.member_predictions(features)
    mean = each.mean(0).numpy()
    expected = mean ** (1 / temperature) / (mean ** (1 / temperature)).sum(1, keepdims=True)
    assert abs(expected - mean).max() > 0.01
    np.testing.assert_allclose(model.join_members(each), expected, rtol=1e-9)
    np.testing.assert_allclose(model.joint_prediction(each), expected, rtol=1e-9)
    columns = [f"probability_{label}" for label in model.encoder.target.labels]
    np.testing.assert_allclose(model.predict(toy_rows)[columns], expected, rtol=1e-9)
    scored = ChunkScorer(model).score(Chunk(np.arange(60), pa.Table.from_pandas(toy_rows, preserve_index=False)))
    np.testing.assert_allclose(scored.predictions.table().to_pandas()[columns], expected, rtol=1e-9)


def test_probabilities_of_a_row_have_the_same_bits_in_any_company(classifier):
    tempering = replace(classifier, calibration=Calibration(temperature=0.7))
    of_members = torch.randn(16, 500, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(-1)
    alone = [tempering.joint_prediction(of_members[:, row : row + 1]) for row in range(500)]
    assert torch.equal(tempering.joint_prediction(of_members), torch.cat(alone))


def test_labels_come_back_as_they_were_with_probabilities_that_sum_to_one(classifier, toy_rows):
    predicted = classifier.predict(toy_rows)
    assert list(predicted) == ["prediction", "probability_cheap", "probability_dear"]
    np.testing.assert_allclose(predicted[["probability_cheap", "probability_dear"]].sum(axis=1), 1)
    assert (predicted["prediction"] == np.where(predicted["probability_dear"] > 0.5, "dear", "cheap")).all()
    assert (predicted["prediction"].to_numpy() == toy_rows["kind"].to_numpy()).mean() > 0.9


@pytest.mark.parametrize(
    ("cheap", "dear", "expected"),
    [("7", "-1", {7, -1}), ("true", "FALSE", {True, False}), ("007", "1", {"007", "1"}), ("1.0", "2.0", {1.0, 2.0})],
)
def test_integers_booleans_and_floats_come_back_as_such_also_from_the_file(
    toy_rows, toy_data, tmp_path, cheap, dear, expected
):
    rows = toy_rows.assign(kind=toy_rows["kind"].map({"cheap": cheap, "dear": dear}))
    train_on(rows, toy_data.model_copy(update={"task": "binary", "target": "kind"})).save(tmp_path / "model")
    predicted = torchlane.load(tmp_path / "model").predict(rows)["prediction"]
    assert set(predicted.tolist()) == expected
    assert {type(label) for label in predicted.tolist()} == {type(label) for label in expected}


def test_target_is_not_needed_and_typed_columns_serve_as_text_does(model, toy_rows):
    typed = toy_rows.drop(columns=["price", "kind"]).astype({"size": "int64"})
    pd.testing.assert_frame_equal(model.predict(typed), model.predict(toy_rows), check_exact=True)


def test_unseen_level_and_missing_value_are_predicted(model):
    rows = pd.DataFrame({"size": [None, 5], "place": ["moon", None]}, index=[7, 9])
    predicted = model.predict(rows)
    assert predicted.index.tolist() == [7, 9]
    assert np.isfinite(predicted["prediction"]).all()


def test_no_rows_give_no_predictions(model, toy_rows):
    empty = model.predict(toy_rows.iloc[:0])
    assert list(empty) == ["prediction", "spread", "low", "high"]
    assert empty.empty


def test_missing_column_and_broken_rule_are_named(model, toy_rows):
    with pytest.raises(ValueError, match="column 'place' is not a column of the table; .*; add it to the table"):
        model.predict(toy_rows.drop(columns="place"))
    with pytest.raises(
        ValueError, match="1 of 60 rows break a rule, first row 2: 'size' is 'big', which is not a number"
    ):
        model.predict(toy_rows.assign(size=["1", "big", *toy_rows["size"][2:]]))


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


def test_column_that_stands_twice_is_named(model, toy_rows):
    with pytest.raises(ValueError, match="column 'place' stands 2 times in the table; rename or drop one"):
        model.predict(pd.concat([toy_rows, toy_rows[["place"]]], axis=1))


@pytest.mark.parametrize("made", [pa.Table.from_pandas, pd.DataFrame.to_numpy, pd.DataFrame.to_dict])
def test_what_is_no_frame_is_refused_with_the_columns_that_one_needs(model, toy_rows, made):
    with pytest.raises(ValueError, match=r"takes a pandas DataFrame, not a \w+; .* the columns size, place"):
        model.predict(made(toy_rows))


def test_pickle_in_place_of_a_model_is_refused_and_not_loaded(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        torchlane.load(path)


def test_cut_off_model_is_refused(model, tmp_path):
    path = tmp_path / "model.safetensors"
    model.save(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        torchlane.load(path)


def test_other_safetensors_file_and_no_file_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="has format unknown, not torchlane-model-5"):
        torchlane.load(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError, match=r"there is no model file .*none.safetensors"):
        torchlane.load(tmp_path / "none.safetensors")


def test_network_of_a_member_has_the_weights_of_that_member(model):
    network = model.network(1)
    assert torch.equal(network.state_dict()["head.bias"], model.weights["head.bias"][1])
    assert set(network.state_dict()) == set(build_network(model.model, model.encoder).state_dict())
    assert not network.training


def test_model_describes_itself_in_a_line_without_its_weights(model, classifier):
    text = repr(model)
    assert re.fullmatch(
        r"<TrainedModel: regression of 'price'; 2 features; 2 members of mlp \[16\]; trained on 60 rows; "
        r"valid r2_score [\d.-]+ of a member>", text,
    )  # fmt: skip
    assert f"positive label '{classifier.encoder.target.positive}'" in repr(classifier)
    assert (
        repr(replace(model, details={})) == "<TrainedModel: regression of 'price'; 2 features; 2 members of mlp [16]>"
    )
