import json
import pickle
from pathlib import Path

import pandas as pd
import pytest
import torch
from kedro.io import DatasetError
from safetensors.torch import save_file

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.trained import FORMAT, TrainedModel
from torchlane.core.options import DataOptions, ModelOptions, TrainingOptions
from torchlane.datasets.parents import ParentDataset


def write_model(path: Path) -> None:
    column = CategoryEncoder(name="place", encoding="one_hot", levels=("a", "b"), counts=(1, 1, 0, 0))
    encoder = Encoder(columns=(column,), target=TargetEncoder(name="price", task="regression"))
    data = DataOptions.model_validate(
        {"task": "regression", "target": "price", "columns": {"place": {"kind": "category"}}}
    )
    weights = {"head.weight": torch.ones(1, 1, 2), "head.bias": torch.zeros(1, 1)}
    options = ModelOptions(widths=()), TrainingOptions.model_validate({})
    TrainedModel(weights, encoder, data, *options, calibration=Calibration()).save(path)


@pytest.fixture
def parents(tmp_path: Path):
    folder = tmp_path / "06_models" / "toy"
    folder.mkdir(parents=True)
    dataset = ParentDataset(
        filepath=str(folder / "model.safetensors"), written={"filepath": str(folder / "fine_tuned_model.safetensors")}
    )
    return dataset, folder


def test_parent_is_the_own_model_or_any_file_by_path(parents, tmp_path):
    dataset, folder = parents
    write_model(folder / "model.safetensors")
    write_model(tmp_path / "other.safetensors")
    store = dataset.load()
    assert store.model(None).encoder.columns[0].name == "place"
    assert store.model(str(tmp_path / "other.safetensors")).fingerprint == store.model(None).fingerprint != ""


def test_parent_by_a_relative_path_is_in_the_project(parents, tmp_path):
    write_model(tmp_path / "other.safetensors")
    dataset = ParentDataset(filepath="", written={"filepath": ""}, project={"path": str(tmp_path)})
    assert dataset.load().path_of("other.safetensors") == tmp_path / "other.safetensors"
    assert dataset.load().model("other.safetensors").fingerprint


def test_parent_that_is_missing_is_named_with_what_to_do(parents):
    store = parents[0].load()
    with pytest.raises(DatasetError, match=r"there is no parent .*model.safetensors to fine-tune; run the use case's"):
        store.model(None)
    with pytest.raises(DatasetError, match="there is no parent nowhere to fine-tune; train it first, or name"):
        store.model("nowhere")


def test_parent_that_is_cut_off_or_of_another_format_is_refused(parents):
    dataset, folder = parents
    path = folder / "model.safetensors"
    write_model(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match="the parent cannot be read: .* is not a whole safetensors file"):
        dataset.load().model(None)
    header = json.dumps({"format": "torchlane-model-1"})
    save_file({"head.weight": torch.ones(1)}, path, metadata={"torchlane": header})
    with pytest.raises(DatasetError, match=f"has format torchlane-model-1, not {FORMAT}; train it again"):
        dataset.load().model(None)


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self):
        return (Path.touch, (self.place,))


@pytest.mark.parametrize("write", [lambda trap, path: path.write_bytes(pickle.dumps(trap)), torch.save])
def test_pickle_in_place_of_a_parent_is_refused_and_never_loaded(parents, tmp_path, write):
    dataset, folder = parents
    write(Trap(tmp_path / "sprung"), folder / "model.safetensors")
    with pytest.raises(DatasetError, match="is not a whole safetensors file"):
        dataset.load().model(None)
    assert not (tmp_path / "sprung").exists()


def test_file_that_fine_tuning_writes_is_no_parent(parents):
    dataset, folder = parents
    write_model(folder / "fine_tuned_model.safetensors")
    with pytest.raises(DatasetError, match="is the file that fine-tuning writes, and a parent is never overwritten"):
        dataset.load().model(str(folder / "fine_tuned_model.safetensors"))
    with pytest.raises(DatasetError, match="a parent is never written"):
        dataset.save("a model")


def test_rows_of_a_parent_are_those_beside_it_in_the_order_of_the_splits(parents, tmp_path):
    dataset, _ = parents
    store = dataset.load()
    assert store.rows(None) is None
    for folder, table in {
        "02_intermediate/toy/clean_rows.parquet": pd.DataFrame({"row": [1, 2, 3], "place": ["a", "b", "c"]}),
        "03_primary/toy/splits.parquet": pd.DataFrame({"row": [3, 1, 2], "part": ["train", "test", "train"]}),
    }.items():
        (tmp_path / folder).parent.mkdir(parents=True)
        table.to_parquet(tmp_path / folder)
    found = store.rows(None)
    assert found[["row", "part", "place"]].to_numpy().tolist() == [
        [3, "train", "c"],
        [1, "test", "a"],
        [2, "train", "b"],
    ]
    clean = pd.DataFrame({"row": [1, 2, 3], "part": ["valid"] * 3})  # a column of the file that is called so
    clean.to_parquet(tmp_path / "02_intermediate/toy/clean_rows.parquet")
    assert list(store.rows(None)["part"]) == ["train", "test", "train"]
    assert store.rows("model.safetensors") is None
