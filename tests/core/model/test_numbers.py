"""Models that embed numbers, from training to the file."""

import json
import logging

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import TensorDataset

import torchlane
from tests.core.fitted import fitted
from tests.core.transfer.adapted import REGRESSION, make_rows, train_parent
from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.encoding.images import ImageEncoder
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.options import DataOptions, DiagnosisOptions, EncodingOptions, ModelOptions, TrainingOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.training.observation import Observer

KINDS = {"piecewise linear": {"kind": "piecewise_linear"}, "periodic": {"kind": "periodic", "frequencies": 5}}
by_kind = pytest.mark.parametrize("numbers", KINDS.values(), ids=KINDS)


@by_kind
def test_file_holds_the_embeddings_and_rows_keep_their_predictions_in_any_order(numbers, tmp_path):
    model = train_parent(make_rows(gap=True), REGRESSION, model={"widths": [8], "numbers": numbers})
    model.save(tmp_path / "model.safetensors")
    read = torchlane.load(tmp_path / "model.safetensors")
    assert read.model.numbers.kind == numbers["kind"]
    assert ("numbers.edges" in read.weights) == (numbers["kind"] == "piecewise_linear")
    rows = make_rows(gap=True).drop(columns="price")
    expected = model.predict(rows)["prediction"].to_numpy()
    assert np.ptp(expected) > 10
    assert np.array_equal(read.predict(rows)["prediction"], expected)
    order = np.random.default_rng(0).permutation(len(rows))
    assert np.array_equal(read.predict(rows.iloc[order])["prediction"], expected[order])


def test_file_from_before_there_were_embeddings_has_none(tmp_path):
    path = tmp_path / "model.safetensors"
    train_parent(make_rows(), REGRESSION, model={"widths": [8, 6], "numbers": "plain"}).save(path)
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    ((key, text),) = [(key, text) for key, text in metadata.items() if '"model"' in text]
    header = json.loads(text)
    del header["model"]["numbers"]
    save_file(tensors, path, metadata={**metadata, key: json.dumps(header)})
    assert ModelOptions().numbers.kind != "plain"
    assert torchlane.load(path).model.numbers.kind == "plain"


def trained(raw, columns: dict, numbers: str, observer: Observer | None = None):
    data = DataOptions.model_validate({"task": "regression", "target": "price", "columns": columns})
    clean, _ = check_rows(raw, data)
    encoder = fit_encoder(clean, data, EncodingOptions())
    train, valid = (build_tensors(part, encoder) for part in (clean.iloc[:-10], clean.iloc[-10:]))
    training = TrainingOptions(epochs=2, members=2)
    model = ModelOptions.model_validate({"widths": [4], "numbers": numbers})
    return train_model(Lesson(train, valid, encoder, training), data, model, NoCheckpoints(), observer=observer)[0]


def test_numbers_whose_values_repeat_have_fewer_bins_which_is_said_once(caplog):
    rows = make_rows(n_rows=80)
    rows["same"] = "7"
    rows["few"] = [str(number % 3) for number in range(80)]
    rows["often"] = [str(number if number % 2 else 40.5) for number in range(80)]
    columns = {name: {"kind": "number"} for name in ("size", "same", "few", "often")}
    with caplog.at_level(logging.INFO):
        model = trained(rows, columns, "piecewise_linear")
    said = [each.getMessage() for each in caplog.records if "bins" in each.getMessage()]
    assert said == ["model.numbers: fewer than 16 bins where values repeat: same 0, few 2, often 9"]
    assert model.weights["numbers.edges"].shape == (2, 4, 17)
    assert np.isfinite(model.predict(rows.drop(columns="price"))["prediction"]).all()


@by_kind
def test_table_of_categories_alone_has_nothing_to_embed_which_is_said_once(numbers, caplog):
    with caplog.at_level(logging.INFO):
        model = trained(make_rows(), {"place": {"kind": "category"}}, numbers["kind"])
    said = [each.getMessage() for each in caplog.records if "embed" in each.getMessage()]
    assert said == [f"model.numbers {numbers['kind']}: no feature is a number, so there is nothing to embed"]
    assert not [name for name in model.weights if name.startswith("numbers")]


def test_images_have_no_numbers_and_nothing_is_said_of_them(toy_data, caplog):
    image = ImageEncoder(name="image", encoding="unit", size=(1, 4, 4), means=(0.5,), deviations=(1.0,))
    encoder = Encoder(columns=(image,), target=TargetEncoder(name="y", task="regression"))
    pixels = torch.randint(0, 255, (8, 1, 4, 4), dtype=torch.uint8)
    rows = TensorDataset(pixels, torch.randn(8, 1))
    with caplog.at_level(logging.INFO):
        train_model(Lesson(rows, rows, encoder, fitted(epochs=1)), toy_data, ModelOptions(), NoCheckpoints())
    assert "1 x 4 x 4 features" in caplog.text
    assert "model.numbers" not in caplog.text


@by_kind
def test_diagnosis_measures_the_embeddings_as_a_layer(numbers):
    observer = Observer(DiagnosisOptions(overfit_steps=0))
    columns = {"size": {"kind": "number"}, "place": {"kind": "category"}}
    trained(make_rows(), columns, numbers["kind"], observer)
    lines = [line for line in observer.lines if line["layer"] == "numbers"]
    assert lines and all(line["gradient_norm"] > 0 for line in lines)
    assert lines[-1]["update_ratio"] > 0
    assert observer.largest_feature < 5
    assert torch.isfinite(torch.tensor(observer.start_loss))


@pytest.mark.parametrize(("n_rows", "kind"), [(60, "bins"), (18, "plain")])
def test_model_says_how_it_takes_numbers_where_the_rows_of_train_decided(n_rows, kind, caplog):
    with caplog.at_level(logging.INFO):
        model = train_parent(make_rows(n_rows=n_rows), REGRESSION, model={"widths": [8]})
    assert model.model.numbers.kind == kind
    assert ("numbers.edges" in model.weights) == (kind == "bins")
    assert ("model.numbers: plain, since" in caplog.text) == (kind == "plain")
