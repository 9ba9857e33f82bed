from pathlib import Path

import pytest
import torch
from kedro.io import DatasetError
from torch.utils.data import TensorDataset

from torchlane.datasets.tensors import OutputsDataset, TensorsDataset


def test_tensors_come_back_to_the_bit_and_are_mapped_not_read(tmp_path):
    path = tmp_path / "train.safetensors"
    dataset = TensorsDataset(filepath=str(path))
    saved = TensorDataset(torch.randn(50, 3), torch.randint(0, 5, (50,)))
    dataset.save(saved)
    loaded = dataset.load()
    assert all(torch.equal(one, other) for one, other in zip(loaded.tensors, saved.tensors, strict=True))
    maps = Path("/proc/self/maps")
    assert not maps.exists() or str(path) in maps.read_text()


def test_writing_to_loaded_tensors_does_not_change_the_file(tmp_path):
    dataset = TensorsDataset(filepath=str(tmp_path / "a.safetensors"))
    dataset.save(TensorDataset(torch.zeros(2, 2), torch.zeros(2, 1)))
    dataset.load().tensors[0].fill_(7)
    assert not dataset.load().tensors[0].any()


def test_part_without_rows_is_stored(tmp_path):
    dataset = TensorsDataset(filepath=str(tmp_path / "a.safetensors"))
    dataset.save(TensorDataset(torch.empty(0, 3), torch.empty(0, 1)))
    assert [tuple(each.shape) for each in dataset.load().tensors] == [(0, 3), (0, 1)]


def test_preview_has_a_column_a_feature(tmp_path):
    dataset = TensorsDataset(filepath=str(tmp_path / "a.safetensors"))
    dataset.save(TensorDataset(torch.ones(9, 2), torch.arange(9)))
    preview = dataset.preview(nrows=2)
    assert preview["columns"] == ["feature_0", "feature_1", "target_0"]
    assert preview["data"] == [[1, 1, 0], [1, 1, 1]]


def test_outputs_come_back_to_the_bit_and_a_file_without_them_is_refused(tmp_path):
    dataset = OutputsDataset(filepath=str(tmp_path / "outputs.safetensors"))
    for outputs in (torch.randn(2, 5, 3), torch.empty(0, 0, 0)):
        dataset.save(outputs)
        assert torch.equal(dataset.load(), outputs) and dataset.load().shape == outputs.shape
        dataset.preview()
    TensorsDataset(filepath=str(tmp_path / "outputs.safetensors")).save(TensorDataset(torch.ones(2, 1)))
    with pytest.raises(DatasetError, match="does not hold whole outputs.*run the stage train again"):
        dataset.load()


def test_cut_off_file_and_missing_file_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    dataset = TensorsDataset(filepath=str(path))
    with pytest.raises(DatasetError, match="does not exist; run the stage that writes it"):
        dataset.load()
    dataset.save(TensorDataset(torch.ones(9, 2), torch.arange(9)))
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(DatasetError, match="not a whole safetensors file .*run the stage prepare again"):
        dataset.load()


def test_weights_of_rows_come_back_and_files_without_them_have_none(tmp_path):
    dataset = TensorsDataset(filepath=str(tmp_path / "a.safetensors"))
    saved = TensorDataset(torch.ones(3, 2), torch.arange(3), torch.tensor([0.5, 0.0, 1e300], dtype=torch.float64))
    dataset.save(saved)
    loaded = dataset.load().tensors
    assert torch.equal(loaded[2], saved.tensors[2]) and loaded[2].dtype == torch.float64
    assert dataset.preview(nrows=1)["columns"] == ["feature_0", "feature_1", "target_0", "weight_0"]
    dataset.save(TensorDataset(*saved.tensors[:2]))
    assert len(dataset.load().tensors) == 2 and b"weight" not in (tmp_path / "a.safetensors").read_bytes()
