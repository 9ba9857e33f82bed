import zipfile

import numpy as np
import pytest
import torch
from torch import nn

import torchlane
from tests.core.exchange.exchanged import (
    KINDS,
    encoded,
    image_model,
    predicted,
    rows_for,
    run_onnx,
    run_program,
    table_model,
    table_rows,
)
from torchlane.core.exchange import export_model, formats
from torchlane.core.networks import named

SLOW = pytest.mark.slow
LARGE = ("rnn, LSTM in both directions", "torchvision")  # programs that take seconds to write


@pytest.mark.parametrize(("ending", "run"), [(".onnx", run_onnx), (".pt2", run_program)])
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=[SLOW] if kind in LARGE else []) for kind in KINDS])
def test_program_gives_what_predict_gives_for_any_number_of_rows(kind, ending, run, tmp_path):
    KINDS[kind]().save(tmp_path / "model.safetensors")
    model = torchlane.load(tmp_path / "model.safetensors")
    path = tmp_path / f"exported{ending}"
    done = export_model(model, path)
    rows = rows_for(model)
    features, expected = encoded(model, rows), predicted(model, rows)
    scale = np.ptp(table_rows()["price"].astype(float)) if expected.ndim == 1 else 1.0
    assert expected.std() > 1e-4 * scale  # there is something to tell apart
    for n_rows in (1, 2, len(rows)):
        found = run(path, features[:n_rows])
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, expected[:n_rows], rtol=0, atol=1e-5 * scale)
    assert 0 <= done.difference <= 1e-5 * scale
    assert done.n_members == model.n_members
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        f"exported{ending}",
        f"exported{ending}.json",
        "model.safetensors",
    ]


@pytest.mark.parametrize("ending", [".onnx", ".pt2"])
def test_program_gives_the_mean_over_members_with_the_temperature_applied(ending, tmp_path):
    model = table_model("kind", widths=[4], members=3)
    temperature = model.calibration.temperature
    path = export_model(model, tmp_path / f"model{ending}").path
    features = encoded(model, rows_for(model))
    mean = model.member_predictions(torch.from_numpy(features)).mean(0).numpy()
    expected = mean ** (1 / temperature) / (mean ** (1 / temperature)).sum(1, keepdims=True)
    found = run_onnx(path, features) if ending == ".onnx" else run_program(path, features)
    assert abs(expected - mean).max() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("ending", [".pt", ".pt2", ".onnx"])
def test_same_model_gives_the_same_file_which_names_no_file_of_this_machine(ending, tmp_path):
    model = table_model(widths=[4], members=2)
    for name in ("one", "other"):
        export_model(model, tmp_path / f"{name}{ending}")
    written = (tmp_path / f"one{ending}").read_bytes()
    assert written == (tmp_path / f"other{ending}").read_bytes()
    contents = [written]
    if ending != ".onnx":
        with zipfile.ZipFile(tmp_path / f"one{ending}") as archive:
            contents = [archive.read(name) for name in archive.namelist()]
    assert not any(b".py" in each or str(tmp_path).encode() in each for each in contents)


@pytest.mark.parametrize(
    "damage",
    [lambda given: (given[0] * 1.001, given[1]), lambda given: (given[0], given[1] * 1.001)],
    ids=["prediction", "spread"],
)
def test_file_whose_predictions_differ_is_not_kept_and_the_older_one_stays(tmp_path, monkeypatch, damage):
    (tmp_path / "model.pt2").write_text("older")
    forward = formats.Predictor.forward
    monkeypatch.setattr(formats.Predictor, "forward", lambda self, features: damage(forward(self, features)))
    with pytest.raises(ValueError, match=r"model.pt2 was not kept: its predictions differ .* by up to \d"):
        export_model(table_model(widths=[4], members=2), tmp_path / "model.pt2")
    assert [each.name for each in tmp_path.iterdir()] == ["model.pt2"]
    assert (tmp_path / "model.pt2").read_text() == "older"


def test_program_that_has_not_learned_the_number_of_rows_is_not_kept(tmp_path, monkeypatch):
    forward = formats.Predictor.forward
    monkeypatch.setattr(formats.Predictor, "forward", lambda self, features: (forward(self, features)[0][:1],))
    with pytest.raises(ValueError, match="was not kept: .* by up to inf"):
        export_model(table_model("pair", widths=[4]), tmp_path / "model.pt2")
    assert not list(tmp_path.iterdir())


class Branching(nn.Module):
    """A network whose way depends on its numbers, which no graph can hold."""

    def __init__(self, n_features: int, n_outputs: int):
        super().__init__()
        self.head = nn.Linear(n_features, n_outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.head(features) if float(features.sum()) > 0 else -self.head(features)


def test_network_that_cannot_be_traced_is_named_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(named, "_trusted", {f"{__name__}.Branching"})
    model = table_model(**{"class": f"{__name__}.Branching"})
    with pytest.raises(ValueError, match="the network cannot be exported: .*; export its state_dict instead"):
        export_model(model, tmp_path / "model.onnx")
    assert export_model(model, tmp_path / "model.pt").difference == 0


def test_onnx_without_its_packages_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(
        ValueError, match="ONNX needs onnxscript; install the tested versions with uv sync --group onnx"
    ):
        export_model(table_model(widths=[4]), tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "model.bin",
            {},
            "model.bin has the ending of no export format; the formats are state_dict: .pt or .pth; onnx: .onnx;",
        ),
        ("model.pt", {"to": "onnx"}, "model.pt does not have an ending of onnx"),
        ("model.pt", {"to": "caffe"}, "no export format 'caffe'; the formats are state_dict"),
        ("model.pt", {"member": 2}, "there is no member 2; the model has 2, counted from 0"),
    ],
)
def test_export_to_nowhere_is_refused(tmp_path, name, options, message):
    with pytest.raises(ValueError, match=message):
        export_model(table_model(widths=[4], members=2), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_one_member_is_exported_as_the_state_dict_of_its_network(tmp_path):
    model = table_model(widths=[4], members=3, batch_norm=True)
    export_model(model, tmp_path / "member.pth", member=1)
    network = model.network(0)
    network.load_state_dict(torch.load(tmp_path / "member.pth", weights_only=True))
    features = torch.from_numpy(encoded(model, rows_for(model)))
    assert torch.equal(network(features), model.network(1)(features))


def test_all_members_are_exported_with_their_axis(tmp_path):
    model = table_model(widths=[4], members=3)
    export_model(model, tmp_path / "model.pt")
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert {name: tuple(each.shape) for name, each in saved.items()} == {
        name: tuple(each.shape) for name, each in model.weights.items()
    }


def test_state_dict_of_a_model_of_torchvision_fits_torchvision(tmp_path):
    from torchvision import models

    model = image_model((3, 32, 32), kind="torchvision", name="squeezenet1_1")
    export_model(model, tmp_path / "model.pt")
    network = models.get_model("squeezenet1_1", weights=None, num_classes=5)
    network.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
