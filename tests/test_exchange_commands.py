"""`torchlane export` and `torchlane import`, as typed in a shell."""

import pickle
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import torchlane
from tests.core.exchange.exchanged import Bomb, encoded, image_model, table_model, table_rows

from .commands import PROJECT, run_command


@pytest.fixture
def folder(tmp_path) -> Path:
    table_model(widths=[4], members=2).save(tmp_path / "model.safetensors")
    return tmp_path


def torchlane_(folder: Path, *arguments: str):
    return run_command("torchlane", *arguments, folder=folder)


def last_line(done) -> str:
    return done.stdout.splitlines()[-1]  # outside of a project Kedro has said before which logging it takes


def test_model_is_exported_by_the_ending_and_gives_the_same_predictions(folder):
    import onnxruntime

    done = torchlane_(folder, "export", "model.safetensors", "out/model.onnx")
    assert done.returncode == 0, done.stderr
    assert last_line(done).startswith(
        "wrote out/model.onnx and model.onnx.json: members 2, the same predictions within "
    )
    assert done.stderr == ""
    model, rows = torchlane.load(folder / "model.safetensors"), table_rows(50)
    session = onnxruntime.InferenceSession(folder / "out/model.onnx")
    found, _ = session.run(None, {"features": encoded(model, rows)})
    np.testing.assert_allclose(found, model.predict(rows)["prediction"], atol=1, rtol=0)


def test_exported_member_comes_back_as_a_model_of_one(folder):
    done = torchlane_(folder, "export", "model.safetensors", "--to", "state_dict", "member.pt", "--member", "1")
    assert done.returncode == 0, done.stderr
    done = torchlane_(folder, "import", "member.pt", "--into", "model.safetensors", "--output", "one.safetensors")
    assert done.returncode == 0, done.stderr
    assert last_line(done) == (
        "wrote one.safetensors: members 1, from the files head.bias, head.weight, linear_1.bias, linear_1.weight, "
        "numbers.edges; not calibrated"
    )
    one, both = torchlane.load(folder / "one.safetensors"), torchlane.load(folder / "model.safetensors")
    assert torch.equal(one.weights["head.weight"], both.weights["head.weight"][1:])


def test_weights_by_other_names_are_mapped_and_other_heads_left_out(folder):
    base = torchlane.load(folder / "model.safetensors")
    state = {"net.fc.weight": base.weights["linear_1.weight"][0] + 1, "net.fc.bias": torch.zeros(4)}
    torch.save({"epoch": 1, "best": {**state, "net.out.weight": torch.zeros(7, 4)}}, folder / "weights.pt")
    done = torchlane_(
        folder, "import", "weights.pt", "weights.pt", "--into", "model.safetensors", "--output", "new.safetensors",
        "--strip-prefix", "net.", "--rename", "fc=linear_1", "--rename", "out=head", "--entry", "best", "--partial",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert last_line(done) == (
        "wrote new.safetensors: members 2, from the files linear_1.bias, linear_1.weight; kept head.bias, head.weight, "
        "numbers.edges; left out head.weight; not calibrated"
    )
    new = torchlane.load(folder / "new.safetensors")
    assert torch.equal(new.weights["linear_1.weight"][1], state["net.fc.weight"])
    assert torch.equal(new.weights["head.weight"], base.weights["head.weight"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "none.safetensors", "x.onnx"), "there is no model file none.safetensors"),
        (("export", "bomb.safetensors", "x.onnx"), "bomb.safetensors is not a whole safetensors file"),
        (("export", "cut.safetensors", "x.pt2"), "cut.safetensors is not a whole safetensors file"),
        (("export", "model.safetensors", "x.zip"), "x.zip has the ending of no export format"),
        (("import", "bomb.pt", "--into", "model.safetensors", "--output", "x"), "bomb.pt was not loaded"),
        (("import", "other.pt", "--into", "model.safetensors", "--output", "x"), "other.pt does not fit the network: mis"),
        (("import", "other.pt", "--into", "bomb.safetensors", "--output", "x"), "bomb.safetensors is not a whole safetens"),
        (("import", "other.pt", "--into", "model.safetensors", "--output", "model.safetensors"), "name another file in -"),
        (("import", "other.pt", "--into", "model.safetensors", "--output", "x", "--rename", "fc"), "fc is not OLD=NEW"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_mistake_ends_in_one_line_writes_nothing_and_runs_nothing(folder, arguments, message):
    crater = folder / "crater"
    torch.save({"head.weight": Bomb(crater)}, folder / "bomb.pt")
    (folder / "bomb.safetensors").write_bytes(pickle.dumps(Bomb(crater)))
    (folder / "cut.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9])
    torch.save(image_model(kind="cnn", widths=[4]).network().state_dict(), folder / "other.pt")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = torchlane_(folder, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_onnx_without_its_packages_says_what_to_install(folder):
    program = (
        "import sys, importlib.util as util; real = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name.startswith('onnx') else real(name, *more)\n"
        "sys.argv = ['torchlane', 'export', 'model.safetensors', 'model.onnx']\n"
        "from torchlane.cli import main; main()"
    )
    done = run_command(sys.executable, "-c", program, folder=folder)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "Error: ONNX needs onnx and onnxscript and onnxruntime; install the tested versions with uv sync"
    )
    assert [path.name for path in folder.iterdir()] == ["model.safetensors"]


def test_importing_torchlane_does_not_import_what_only_exchange_needs():
    program = (
        "import sys, torchlane, torchlane.cli\n"
        "assert 'torchlane.core.exchange' not in sys.modules and 'torch' not in sys.modules\n"
        "torchlane.load, torchlane.export_model, torchlane.import_weights\n"
        "heavy = {'onnx', 'onnxscript', 'onnxruntime', 'torchvision', 'torch._dynamo'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = run_command(sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr


def test_run_without_network_says_which_published_weights_to_put_where(tmp_path, monkeypatch):
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    for env in ("base", "test"):
        path = tmp_path / f"conf/{env}/parameters/digits.yml"
        model = "  model: { kind: torchvision, name: resnet18, weights: DEFAULT, weights_folder: weights }\n"
        rest = re.sub(r"  model:\n(    .*\n)+", "", path.read_text())
        path.write_text(rest.replace("digits:\n", f"digits:\n{model}"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    conf, output = (
        f"--conf-source={tmp_path / 'conf'}",
        f"--params=output_root={tmp_path},digits.model.weights_folder={tmp_path}",
    )
    done = run_command("kedro", "run", "--pipeline=digits", "--env=test", conf, output)
    assert done.returncode == 1
    assert "Error: the weights ResNet18_Weights.IMAGENET1K_V1 cannot be downloaded to" in done.stderr
    assert (
        f"put resnet18-f37072fd.pth, from https://download.pytorch.org/models/resnet18-f37072fd.pth, into {tmp_path}"
        in done.stderr
    )
    assert not list(tmp_path.glob("*.pth"))
