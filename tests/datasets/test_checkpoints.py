import logging
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from torchlane.datasets import checkpoints
from torchlane.datasets.checkpoints import CheckpointsDataset


@pytest.fixture
def store(tmp_path):
    return CheckpointsDataset(filepath=str(tmp_path / "checkpoints")).load()


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.dtype == other.dtype
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return one == other and type(one) is type(other)


def state(epoch: int) -> dict[str, Any]:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": epoch,
        "optimizer": optimizer.state_dict(),
        "best": None,
        "random": torch.get_rng_state(),
        "history": [{"loss": 0.1 + 0.2, "flag": True, "pair": (1, "x")}],
    }


def test_state_comes_back_as_it_was(store):
    saved = state(3)
    run = store.of_run("a")
    assert run.load() is None
    run.save(saved)
    assert same(store.of_run("a").load(), saved)


def test_tensors_are_written_without_a_copy_unless_they_share_memory(store, monkeypatch):
    whole, rows = torch.rand(4, 3), torch.rand(5, 3)
    saved = {
        "whole": whole,
        "again": whole,
        "views": [rows[1], rows[2:], rows.T],
        "empty": torch.zeros(0),
        "rows": rows,
    }
    written = {}

    def noted(tensors, *arguments, **others) -> None:
        written.update(tensors)
        save_file(tensors, *arguments, **others)

    monkeypatch.setattr(checkpoints, "save_file", noted)
    store.of_run("a").save(saved)
    assert same(store.of_run("a").load(), saved)
    copied = [tensor.data_ptr() not in (whole.data_ptr(), rows.data_ptr()) for tensor in written.values()]
    assert copied == [False, True, True, True, True, True, False]


def test_damaged_state_is_left_out_for_the_one_before(store, tmp_path, caplog):
    run = store.of_run("a")
    run.save({"epoch": 1})
    run.save({"epoch": 2})
    assert run.load() == {"epoch": 2}
    latest = tmp_path / "checkpoints" / "latest.safetensors"
    latest.write_bytes(latest.read_bytes()[:20])
    with caplog.at_level(logging.WARNING):
        assert run.load() == {"epoch": 1}
    assert "damaged" in caplog.text


def test_state_of_another_training_is_set_aside(store, tmp_path, caplog):
    store.of_run("a" * 64).save({"epoch": 1})
    with caplog.at_level(logging.WARNING):
        assert store.of_run("b").load() is None
    assert "belongs to other data or options" in caplog.text
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["set_aside_aaaaaaaaaaaa.safetensors"]


def test_training_that_was_set_aside_goes_on_from_its_newest_state(store, tmp_path):
    one, other = store.of_run("a" * 64), store.of_run("b" * 64)
    one.save({"epoch": 1})
    one.save({"epoch": 2})
    assert other.load() is None
    other.save({"epoch": 7})
    assert one.load() == {"epoch": 2}
    one.retire()
    assert other.load() == {"epoch": 7}
    other.retire()
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_what_cut_off_trainings_left_goes_when_one_of_the_store_has_ended(store, tmp_path, caplog):
    store.of_run("a" * 64).save({"epoch": 1})
    CheckpointsDataset(filepath=str(tmp_path / "checkpoints")).load().clear()  # no training was opened there
    assert store.of_run("a" * 64).load() == {"epoch": 1}
    run = store.of_run("b" * 64)
    run.load()
    run.save({"epoch": 1})
    run.retire()
    with caplog.at_level(logging.INFO):
        store.clear()
    assert "removed 1 checkpoints of other, interrupted trainings" in caplog.text
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_finished_training_leaves_no_state(store, tmp_path):
    run = store.of_run("a")
    run.save({"epoch": 1})
    run.save({"epoch": 2})
    run.retire()
    assert run.load() is None
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_failed_save_keeps_the_states_before(store):
    run = store.of_run("a")
    run.save({"epoch": 1})
    with pytest.raises(TypeError, match="not object"):
        run.save({"epoch": object()})
    assert run.load() == {"epoch": 1}


def test_full_disk_is_an_os_error_and_leaves_the_states_before(store):
    resource = pytest.importorskip("resource")
    run = store.of_run("a")
    run.save({"epoch": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="checkpoints"):
            run.save({"epoch": 2, "weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert run.load() == {"epoch": 1}
