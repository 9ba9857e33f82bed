import io
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from scipy.stats import norm
from torch import nn

import torchlane
from tests.core.exchange.exchanged import image_model, image_rows, table_model, table_rows
from torchlane.core.exchange import export_model, exporting, import_weights
from torchlane.core.exchange.interface import describe_interface
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks import named
from torchlane.core.options import ColumnOptions
from torchlane.core.rows.checking import apply_rules

KINDS: dict[str, Callable[[], TrainedModel]] = {
    "mlp, regression, ensemble of 4": lambda: table_model(
        members=4, widths=[16, 8], batch_norm=True, dropout=0.2, activation="ReLU"
    ),
    "mlp, binary": lambda: table_model("pair", members=2, widths=[8]),
    "transformer, codes": lambda: table_model(
        "kind", kind="transformer", categories="codes", blocks=1, token_width=8, heads=2, dropout=0.1
    ),
    "cnn": lambda: image_model(members=2, kind="cnn", widths=[4, 6], dropout=0.1),
    "rnn, LSTM in both directions": lambda: image_model(
        (1, 6, 6), members=2, kind="rnn", widths=[6, 4], bidirectional=True, dropout=0.1
    ),
    "rnn, GRU": lambda: image_model((1, 6, 6), kind="rnn", cell="GRU", widths=[6]),
    "mlp on scaled pixels": lambda: image_model((3, 8, 8), pixels="z_score", widths=[8]),
    "torchvision": lambda: image_model((3, 32, 32), kind="torchvision", name="resnet18"),
}


def rows_for(model: TrainedModel) -> pd.DataFrame:
    """Raw rows, among them unseen levels and missing values."""
    if model.encoder.image is not None:
        return image_rows(model.encoder.image.size)
    rows = table_rows()
    rows.loc[:2, ["place", "age"]] = [["mars", "7"], ["", ""], ["sea", ""]]
    return rows


def predicted(model: TrainedModel, rows: pd.DataFrame) -> np.ndarray:
    """What `predict` gives in the columns that a program has too."""
    table = model.predict(rows)
    names = [name for name in table if name.startswith("probability_")] or "prediction"
    return table[names].to_numpy()


def encoded(model: TrainedModel, rows: pd.DataFrame) -> np.ndarray:
    clean, _ = apply_rules(rows, model.data.feature_columns, model.data.missing_values)
    return model.encoder.encode_features(clean)


def run_onnx(path: Path, features: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"features": features})[0]


def run_program(path: Path, features: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.load(path).module()(torch.from_numpy(features))[0].numpy()


@pytest.mark.parametrize(("ending", "run"), [(".onnx", run_onnx), (".pt2", run_program)])
@pytest.mark.parametrize("kind", KINDS)
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


def encoded_by_hand(interface: dict[str, Any], rows: pd.DataFrame) -> np.ndarray:
    """Encode rows by what the JSON says, and nothing of Torchlane."""
    features = []
    for column in interface["columns"]:
        texts = rows[column["name"]]
        missing = texts.isin(interface["missing_values"]).to_numpy()
        if column["kind"] == "category":
            own = [each for each in interface["features"] if each["column"] == column["name"]]
            unseen = ~missing & ~texts.isin(column["levels"]).to_numpy()
            if column["encoding"] == "codes":
                codes = dict(zip(column["levels"], own[0]["codes"], strict=True))
                known = np.array([codes.get(text, -1) for text in texts])
                features.append(np.select([missing, unseen], [own[0]["missing"], own[0]["unseen"]], known))
                continue
            where = {"missing": missing, "unseen": unseen}
            features += [where.get(each["indicates"], texts == each.get("level")) for each in own]
            continue
        numbers = np.where(missing, column["median"], pd.to_numeric(texts, errors="coerce"))
        if column["encoding"] == "quantile":
            quantiles = np.array(column["quantiles"])
            shares = np.linspace(0, 1, len(quantiles))
            low = np.interp(numbers, quantiles, shares)
            high = 1 - np.interp(-numbers, -quantiles[::-1], shares)
            features.append(norm.ppf(np.clip((low + high) / 2, 1e-7, 1 - 1e-7)))
        else:
            features.append(numbers * column["factor"] + column["offset"])
        if column["flagged"]:
            features.append(missing)
    return np.column_stack(features).astype(interface["input"]["dtype"])


@pytest.mark.parametrize("categories", ["one_hot", "codes"])
def test_interface_suffices_to_feed_the_program(categories, tmp_path):
    import onnxruntime

    model = table_model(categories=categories, widths=[8], members=3)
    bound = float(model.predict(rows_for(model))["low"].median())
    declared = {**model.data.columns, "price": ColumnOptions(kind="number", minimum=bound)}
    model = replace(model, data=model.data.model_copy(update={"columns": declared}))
    done = export_model(model, tmp_path / "model.onnx")
    interface = json.loads(done.interface.read_text())
    rows = rows_for(model)
    features = encoded_by_hand(interface, rows)
    np.testing.assert_allclose(features, encoded(model, rows), atol=1e-6)
    assert [each["name"] for each in interface["features"]] == list(model.encoder.feature_names)
    table = model.predict(rows)
    found, spread = onnxruntime.InferenceSession(done.path).run(["prediction", "spread"], {"features": features})
    np.testing.assert_allclose(found, table["prediction"], atol=1, rtol=0)
    np.testing.assert_allclose(spread, table["spread"], atol=1, rtol=0)
    interval = interface["interval"]
    width = interval["half_width"] * (1 + interval["spread_weight"] * spread)
    np.testing.assert_allclose(np.clip(found + width, interval["minimum"], None), table["high"], atol=1, rtol=0)
    np.testing.assert_allclose(np.clip(found - width, interval["minimum"], None), table["low"], atol=1, rtol=0)
    assert 0 < (table["low"] == bound).mean() < 1 and (table["high"] - table["low"]).nunique() > 10
    assert interface["output"]["meaning"] == "price, in the units of the raw file"


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


def test_one_member_has_no_interval_since_valid_has_spoken_of_all(tmp_path):
    model = table_model(widths=[4], members=2)
    alone = json.loads(export_model(model, tmp_path / "model.pt", member=0).interface.read_text())
    whole = json.loads(export_model(model, tmp_path / "model.pt").interface.read_text())
    assert alone["interval"] is None and whole["interval"]["half_width"] == 3000.0


def test_interval_that_is_not_known_is_left_out():
    few = replace(table_model(widths=[4]), calibration=Calibration(n_rows=1, residuals=(1.0,), ranks=(1,)))
    assert few.calibration.half_width(0.9) == np.inf
    assert describe_interface(few)["interval"] is None
    assert describe_interface(replace(few, calibration=Calibration()))["interval"] is None


def test_interface_of_a_classifier_says_which_probability_is_whose_and_is_inside_the_programs(tmp_path):
    import onnx

    model = table_model("pair", widths=[4])
    for name in ("model.onnx", "model.pt2"):
        export_model(model, tmp_path / name)
    interface = json.loads((tmp_path / "model.onnx.json").read_text())
    assert interface["output"]["labels"] == ["no", "yes"]
    assert interface["output"]["shape"] == ["rows", 2]
    assert interface["interval"] is None
    program = onnx.load(tmp_path / "model.onnx")
    assert json.loads({each.key: each.value for each in program.metadata_props}["torchlane"]) == interface
    (entering,) = program.graph.input
    assert (entering.name, entering.type.tensor_type.shape.dim[0].dim_param) == ("features", "rows")
    extra = {"torchlane.json": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=extra)
    assert json.loads(extra["torchlane.json"]) == interface


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
    forward = exporting.Predictor.forward
    monkeypatch.setattr(exporting.Predictor, "forward", lambda self, features: damage(forward(self, features)))
    with pytest.raises(ValueError, match=r"model.pt2 was not kept: its predictions differ .* by up to \d"):
        export_model(table_model(widths=[4], members=2), tmp_path / "model.pt2")
    assert [each.name for each in tmp_path.iterdir()] == ["model.pt2"]
    assert (tmp_path / "model.pt2").read_text() == "older"


def test_program_that_has_not_learned_the_number_of_rows_is_not_kept(tmp_path, monkeypatch):
    forward = exporting.Predictor.forward
    monkeypatch.setattr(exporting.Predictor, "forward", lambda self, features: (forward(self, features)[0][:1],))
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
    monkeypatch.setattr(exporting, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ValueError, match="ONNX needs onnxscript; uv sync --group onnx installs"):
        export_model(table_model(widths=[4]), tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("model.bin", {}, "model.bin has the ending of no format .*; there are state_dict: .pt or .pth; onnx: .onnx;"),
        ("model.pt", {"to": "onnx"}, "model.pt has not the ending of onnx"),
        ("model.pt", {"to": "caffe"}, "there are state_dict"),
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


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_exported_is_imported_to_the_same_predictions(kind, tmp_path):
    KINDS[kind]().save(tmp_path / "model.safetensors")
    model = torchlane.load(tmp_path / "model.safetensors")
    export_model(model, tmp_path / "model.pt")
    done = import_weights([tmp_path / "model.pt"], model)
    assert done.kept == done.left_out == ()
    assert done.model.n_members == model.n_members
    pd.testing.assert_frame_equal(done.model.predict(rows_for(model)), model.predict(rows_for(model)), check_exact=True)
    assert done.model.details["imported"]["base"] == model.fingerprint
    done.model.save(tmp_path / "again.safetensors")
    assert torchlane.load(tmp_path / "again.safetensors").details == done.model.details


def test_files_become_an_ensemble_and_calibration_and_metrics_are_left_behind(tmp_path):
    base, other = table_model(widths=[4]), table_model(widths=[4], members=3)
    paths = [tmp_path / f"{member}.pt" for member in (2, 0)]
    for path in paths:
        export_model(other, path, member=int(path.stem))
    model = import_weights(paths, base).model
    assert model.n_members == model.training.members == 2
    for name, weights in model.weights.items():
        assert torch.equal(weights, other.weights[name][[2, 0]])
    assert model.calibration == Calibration()
    assert "low" not in model.predict(table_rows())
    assert "metrics" not in model.details
    assert model.details["source"] == "drawn rows"
    assert base.n_members == 1


def test_model_file_and_plain_safetensors_are_weights_too(tmp_path):
    base, other = table_model(widths=[4]), table_model(widths=[4], members=3)
    other.save(tmp_path / "other.safetensors")
    assert import_weights([tmp_path / "other.safetensors"], base).model.n_members == 3
    save_file({name: each[1].clone() for name, each in other.weights.items()}, tmp_path / "plain.safetensors")
    plain = import_weights([tmp_path / "plain.safetensors"], base).model
    assert torch.equal(plain.weights["head.weight"], other.weights["head.weight"][1:2])


@pytest.fixture
def trained() -> nn.Module:
    """A network of somebody else's, which is that of `table_model(widths=[4], batch_norm=True)` by other names."""
    torch.manual_seed(7)
    n_features = len(table_model(widths=[4]).encoder.feature_names)
    return nn.Sequential(nn.Linear(n_features, 4), nn.BatchNorm1d(4), nn.GELU(), nn.Linear(4, 1)).eval()


NAMES = {"0": "linear_1", "1": "batch_norm_1", "3": "head"}


def predictions_agree(model: TrainedModel, network: nn.Module) -> bool:
    rows = rows_for(model)
    outputs = network(torch.from_numpy(encoded(model, rows))).squeeze(1)
    expected = model.encoder.target.decode(outputs.detach()).numpy()
    return np.allclose(model.predict(rows)["prediction"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("wrap", "options"),
    [
        (lambda state: state, {}),
        (lambda state: {f"module.{name}": each for name, each in state.items()}, {"strip_prefix": "module."}),
        (lambda state: {"epoch": 3, "state_dict": state}, {}),
        (lambda state: {"model": state, "ema": {**state, "0.bias": state["0.bias"] + 1}}, {"entry": "model"}),
        (lambda state: {name: each.double() for name, each in state.items()}, {}),
        (lambda state: {name: each for name, each in state.items() if "num_batches" not in name}, {}),
    ],
    ids=["plain", "prefix", "nested", "entry", "float64", "of an old version"],
)
def test_state_dict_of_others_is_imported(trained, wrap, options, tmp_path):
    torch.save(wrap(trained.state_dict()), tmp_path / "weights.pt")
    base = table_model(widths=[4], batch_norm=True, members=2)
    model = import_weights([tmp_path / "weights.pt"], base, rename=NAMES, **options).model
    assert predictions_agree(model, trained)
    assert {each.dtype for each in model.weights.values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "network.", "module.network."])
def test_prefix_that_all_names_share_is_put_or_left_off(prefix, tmp_path):
    base, other = (image_model(kind="cnn", widths=[width]) for width in (4, 4))
    state = {f"{prefix}{name.removeprefix('network.')}": each[0] + 0 for name, each in other.weights.items()}
    torch.save(state, tmp_path / "weights.pt")
    assert import_weights([tmp_path / "weights.pt"], base).taken == tuple(base.weights)


def test_head_for_other_labels_stays_the_own_one_with_partial(tmp_path):
    base = table_model("kind", widths=[4], members=3)
    other = table_model("pair", widths=[4], members=2).weights
    torch.save({name: each + 1 for name, each in other.items()}, tmp_path / "weights.pt")
    with pytest.raises(ValueError) as refused:
        import_weights([tmp_path / "weights.pt"], base)
    assert (
        "does not fit the network: of another shape: head.weight (1, 4) in the file, (3, 4) in the network, "
        "head.bias (1,) in the file, (3,) in the network; map names with --strip-prefix and --rename"
        in str(refused.value)
    )
    done = import_weights([tmp_path / "weights.pt"], base, partial=True)
    assert (done.taken, done.kept, done.left_out) == (
        ("linear_1.weight", "linear_1.bias"),
        ("head.weight", "head.bias"),
        ("head.weight", "head.bias"),
    )
    assert torch.equal(done.model.weights["head.weight"], base.weights["head.weight"][:2])
    assert torch.equal(done.model.weights["linear_1.weight"], other["linear_1.weight"] + 1)
    assert done.model.details["imported"]["kept"] == ["head.weight", "head.bias"]


def test_other_architecture_is_refused_with_what_differs(trained, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    base = table_model(widths=[4], batch_norm=True)
    with pytest.raises(ValueError) as refused:
        import_weights([tmp_path / "weights.pt"], base, rename={"0": "linear_1"})
    text = str(refused.value)
    assert "missing in the file: batch_norm_1.weight, batch_norm_1.bias, batch_norm_1.running_mean" in text
    assert "not in the network: 1.weight, 1.bias" in text
    with pytest.raises(ValueError, match="does not fit the network: missing in the file: .* and 11 more; not in"):
        import_weights([tmp_path / "weights.pt"], table_model("kind", kind="transformer", blocks=1), partial=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rename": {"5": "head"}}, "nothing in the file is named 5, to be renamed; it has 0.weight"),
        ({"rename": {"0": "3"}}, "two tensors of the file would be named '3.weight'"),
        ({"entry": "ema"}, "has no entry 'ema' with tensors by name; it has none"),
    ],
)
def test_mapping_that_hits_nothing_is_refused(trained, options, message, tmp_path):
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=message):
        import_weights([tmp_path / "weights.pt"], table_model(widths=[4]), **options)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    base = table_model(widths=[4])
    state = {name: each[0].clone() for name, each in base.weights.items()}
    state["head.bias"][0] = float("nan")
    torch.save(state, tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="weights that are no finite numbers, in head.bias"):
        import_weights([tmp_path / "weights.pt"], base)


class Bomb:
    """Writes a file where it is unpickled."""

    def __init__(self, crater: Path):
        self.crater = crater

    def __reduce__(self):
        return (Path.touch, (self.crater,))


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
    with pytest.raises(ValueError, match="weights.pt was not loaded, since it is cut off or holds more than tensors"):
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
    with pytest.raises(ValueError, match=r"was not loaded, since it is cut off|is not a whole safetensors file"):
        import_weights([tmp_path / name], base)


def test_missing_file_and_other_contents_are_named(tmp_path):
    base = table_model(widths=[4])
    with pytest.raises(FileNotFoundError, match=r"there is no weights file .*none.pt"):
        import_weights([tmp_path / "none.pt"], base)
    with pytest.raises(FileNotFoundError):
        import_weights([tmp_path], base)
    with pytest.raises(ValueError, match="there is no file to import weights from"):
        import_weights([], base)
    for saved in ([torch.zeros(1)], {}, {"epoch": 3}, torch.zeros(3)):
        torch.save(saved, tmp_path / "other.pt")
        with pytest.raises(ValueError, match="holds no tensors by name"):
            import_weights([tmp_path / "other.pt"], base)
    torch.save({"a": {"x": torch.zeros(1)}, "b": {"x": torch.zeros(1)}}, tmp_path / "two.pt")
    with pytest.raises(ValueError, match="holds tensors in a, b; say which with --entry"):
        import_weights([tmp_path / "two.pt"], base)


@pytest.mark.parametrize(
    "odd",
    [torch.eye(4).to_sparse(), torch.zeros(4, device="meta"), torch.zeros(4, dtype=torch.complex64)],
    ids=["sparse", "meta", "complex"],
)
def test_tensor_that_is_not_plain_numbers_is_refused(odd, tmp_path):
    torch.save({"linear_1.bias": odd}, tmp_path / "odd.pt")
    with pytest.raises(ValueError, match="odd.pt holds tensors that are sparse, .*: linear_1.bias"):
        import_weights([tmp_path / "odd.pt"], table_model(widths=[4]), partial=True)


def test_whole_module_and_script_are_no_weights(trained, tmp_path):
    torch.save(trained, tmp_path / "module.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(nn.Linear(2, 1)).save(tmp_path / "script.pt")
    for name in ("module.pt", "script.pt"):
        with pytest.raises(ValueError, match=f"{name} was not loaded"):
            import_weights([tmp_path / name], table_model(widths=[4]))


def test_exported_program_holds_nothing_that_would_be_unpickled(tmp_path, monkeypatch):
    export_model(table_model(widths=[4], members=2), tmp_path / "model.pt2")
    exporting.require_no_pickle(tmp_path / "model.pt2")
    calls: list[bool] = []
    load = torch.load
    monkeypatch.setattr(
        torch, "load", lambda *given, **options: calls.append(options["weights_only"]) or load(*given, **options)
    )
    run_program(tmp_path / "model.pt2", np.zeros((1, 9), np.float32))
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
            exporting.require_no_pickle(tmp_path / "bad.pt2")
    assert not (tmp_path / "crater").exists()
