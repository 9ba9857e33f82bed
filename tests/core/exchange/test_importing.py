from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import torchlane
from tests.core.exchange.exchanged import KINDS, encoded, image_model, rows_for, table_model, table_rows
from torchlane.core.exchange import export_model, import_weights
from torchlane.core.layers.coded import features_of
from torchlane.core.model.calibration import Calibration
from torchlane.core.model.trained import TrainedModel


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
    base.details["refit"] = {"rows": 200, "valid_rows": 40, "epochs": [3]}
    paths = [tmp_path / f"{member}.pt" for member in (2, 0)]
    for path in paths:
        export_model(other, path, member=int(path.stem))
    model = import_weights(paths, base).model
    assert model.n_members == model.training.members == 2
    for name, weights in model.weights.items():
        assert torch.equal(weights, other.weights[name][[2, 0]])
    assert model.calibration == Calibration()
    assert "low" not in model.predict(table_rows())
    assert not {"metrics", "profile", "refit"} & set(model.details)
    assert "rows" not in repr(model)
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
    """A network of somebody else's, which is that of `table_model(widths=[4], batch_norm=True, numbers="plain")` by other names."""
    torch.manual_seed(7)
    n_features = len(table_model(widths=[4], numbers="plain").encoder.feature_names)
    return nn.Sequential(nn.Linear(n_features, 4), nn.BatchNorm1d(4), nn.GELU(), nn.Linear(4, 1)).eval()


NAMES = {"0": "linear_1", "1": "batch_norm_1", "3": "head"}


def predictions_agree(model: TrainedModel, network: nn.Module) -> bool:
    rows = rows_for(model)
    outputs = network(features_of(model.network(), torch.from_numpy(encoded(model, rows)))).squeeze(1)
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
    base = table_model(widths=[4], batch_norm=True, numbers="plain", members=2)
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
    base = table_model("kind", widths=[4], numbers="plain", members=3)
    other = table_model("pair", widths=[4], numbers="plain", members=2).weights
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
    base = table_model(widths=[4], batch_norm=True, numbers="plain")
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
        ({"rename": {"5": "head"}}, "no tensor to rename named 5; it has 0.weight"),
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
    with pytest.raises(ValueError, match="weights that are not finite, in head.bias"):
        import_weights([tmp_path / "weights.pt"], base)


def test_model_file_for_the_same_labels_in_another_order_is_not_taken_silently(tmp_path, caplog):
    base = table_model("pair", widths=[4])
    target = base.encoder.target
    turned = target.model_copy(update={"labels": target.labels[::-1], "counts": target.counts[::-1]})
    replace(base, encoder=base.encoder.model_copy(update={"target": turned})).save(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"are for the labels .*, those of the base for .*data.positive"):
        import_weights([tmp_path / "other.safetensors"], base)
    import_weights([tmp_path / "other.safetensors"], base, partial=True)
    assert "a head that fits is taken all the same" in caplog.text
    base.save(tmp_path / "base.safetensors")
    summary = import_weights([tmp_path / "base.safetensors"], base).summary()
    assert f"its output is the log-odds of the label {target.positive}" in summary
