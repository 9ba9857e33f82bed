import io
import pickle
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import torchlane
from tests.core.exchange.exchanged import (
    Bomb,
    run_program,
    table_model,
)
from torchlane.core.exchange import export_model, formats, import_weights


def _torch_file(bomb: Bomb, path: Path) -> None:
    torch.save({"head.weight": torch.zeros(1), "hook": bomb}, path)


def _old_torch_file(bomb: Bomb, path: Path) -> None:
    torch.save({"head.weight": bomb}, path, _use_new_zipfile_serialization=False)


def _pickle_file(bomb: Bomb, path: Path) -> None:
    path.write_bytes(pickle.dumps({"head.weight": bomb}))


@pytest.mark.parametrize("write", [_torch_file, _old_torch_file, _pickle_file])
def test_pickle_in_place_of_weights_is_refused_and_never_executed(write, tmp_path):
    crater = tmp_path / "crater"
    write(Bomb(crater), tmp_path / "weights.pt")
    with pytest.raises(
        ValueError, match="weights.pt was not loaded, since it is truncated or contains more than tensors"
    ):
        import_weights([tmp_path / "weights.pt"], table_model(widths=[4]))
    assert not crater.exists()
    (tmp_path / "weights.pt").rename(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        import_weights([tmp_path / "model.safetensors"], table_model(widths=[4]))
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        torchlane.load(tmp_path / "model.safetensors")
    assert not crater.exists()
    with (tmp_path / "model.safetensors").open("rb") as file:  # the bomb is a live one
        torch.load(file, weights_only=False) if write is not _pickle_file else pickle.load(file)
    assert crater.exists()


@pytest.mark.parametrize("kept", [0, 1, 60, 0.3, 0.9, -1])
@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_cut_off_file_is_refused(name, kept, tmp_path):
    base = table_model(widths=[4])
    state = {name: each[0].clone() for name, each in base.weights.items()}
    torch.save(state, tmp_path / name) if name.endswith(".pt") else save_file(state, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=r"was not loaded, since it is truncated|is not a whole safetensors file"):
        import_weights([tmp_path / name], base)


def test_missing_file_and_other_contents_are_named(tmp_path):
    base = table_model(widths=[4])
    with pytest.raises(FileNotFoundError, match=r"there is no weights file .*none.pt"):
        import_weights([tmp_path / "none.pt"], base)
    with pytest.raises(FileNotFoundError):
        import_weights([tmp_path], base)
    with pytest.raises(ValueError, match="no file was given to import weights from"):
        import_weights([], base)
    for saved in ([torch.zeros(1)], {}, {"epoch": 3}, torch.zeros(3)):
        torch.save(saved, tmp_path / "other.pt")
        with pytest.raises(ValueError, match="contains no tensors by name"):
            import_weights([tmp_path / "other.pt"], base)
    torch.save({"a": {"x": torch.zeros(1)}, "b": {"x": torch.zeros(1)}}, tmp_path / "two.pt")
    with pytest.raises(ValueError, match="has tensors in a, b; choose one with --entry"):
        import_weights([tmp_path / "two.pt"], base)


@pytest.mark.parametrize(
    "odd",
    [torch.eye(4).to_sparse(), torch.zeros(4, device="meta"), torch.zeros(4, dtype=torch.complex64)],
    ids=["sparse", "meta", "complex"],
)
def test_tensor_that_is_not_plain_numbers_is_refused(odd, tmp_path):
    torch.save({"linear_1.bias": odd}, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match="odd.pt contains tensors that are sparse, .*: linear_1.bias"):
        import_weights([tmp_path / "odd.pt"], table_model(widths=[4]), partial=True)


def test_whole_module_and_script_are_no_weights(tmp_path):
    torch.save(nn.Linear(2, 1), tmp_path / "module.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Linear(2, 1)).save(tmp_path / "script.pt")
    for name in ("module.pt", "script.pt"):
        with pytest.raises(ValueError, match=f"{name} was not loaded"):
            import_weights([tmp_path / name], table_model(widths=[4]))


def test_exported_program_holds_nothing_that_would_be_unpickled(tmp_path, monkeypatch):
    export_model(table_model(widths=[4], members=2), tmp_path / "model.pt2")
    formats.require_no_pickle(tmp_path / "model.pt2")
    calls: list[bool] = []
    load = torch.load
    monkeypatch.setattr(
        torch, "load", lambda *given, **options: calls.append(options["weights_only"]) or load(*given, **options)
    )
    run_program(tmp_path / "model.pt2", np.zeros((1, 5), np.float32))
    assert set(calls) <= {True}


def test_program_with_a_pickle_in_it_is_found_out(tmp_path):
    export_model(table_model(widths=[4]), tmp_path / "model.pt2")
    with zipfile.ZipFile(tmp_path / "model.pt2") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    buffer = io.BytesIO()
    torch.save(Bomb(tmp_path / "crater"), buffer)
    config = next(name for name in entries if name.endswith("weights_config.json"))
    inputs = next(name for name in entries if "sample_inputs" in name)
    for change in (
        {config: re.sub(rb'"use_pickle": false', b'"use_pickle": true', entries[config])},
        {inputs: buffer.getvalue()},
        {"archive/data/weights/model.pt": buffer.getvalue()},
        {config: re.sub(rb'"weight_0"', b'"opaque_obj_0"', entries[config])},
    ):
        with zipfile.ZipFile(tmp_path / "bad.pt2", "w") as archive:
            for name, content in {**entries, **change}.items():
                archive.writestr(name, content)
        with pytest.raises((ValueError, pickle.UnpicklingError)):
            formats.require_no_pickle(tmp_path / "bad.pt2")
    assert not (tmp_path / "crater").exists()
