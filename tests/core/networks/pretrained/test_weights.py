"""Networks that start from published weights of torchvision; the tests publish their own, since they have no network."""

import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn
from torchvision import models

import torchlane
from tests.core.exchange.exchanged import image_rows
from tests.core.fitted import fitted
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.exchange import export_model, import_weights
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks import build_model, build_network, published
from torchlane.core.networks.state_dicts import read_state_dict

from .publishing import DEVIATIONS, MEANS, NAME, announce, data_and_encoder, options_with, publish


def reference(saved: Path, head: nn.Linear) -> nn.Module:
    """What torchvision's own users would write: build, load, put a new head on."""
    network = models.mobilenet_v3_small()
    network.load_state_dict(torch.load(saved, weights_only=True))
    network.classifier[3] = head
    return network.eval()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("weights", "means", "deviations"),
    [
        ("DEFAULT", MEANS, DEVIATIONS),
        ("Published_Weights.FIRST", MEANS, DEVIATIONS),
        ("OTHER", (0.5,) * 3, (0.25,) * 3),
    ],
)
def test_network_starts_from_published_weights_and_their_scale_of_pixels(
    options, saved, channels, weights, means, deviations
):
    _, encoder, _ = data_and_encoder(channels)
    network = build_network(options.model_copy(update={"weights": weights}), encoder).eval()
    images = torch.randint(0, 256, (3, channels, 32, 32), dtype=torch.uint8)
    scale = [torch.tensor(each)[:, None, None] for each in (means, deviations)]
    colours = (images.expand(-1, 3, -1, -1) / 255 - scale[0]) / scale[1]
    head = network.get_submodule("network.model.classifier.3")
    assert head.out_features == 5
    torch.testing.assert_close(network(images), reference(saved, head)(colours))


def test_head_is_drawn_anew_also_where_its_size_is_that_of_the_published_one(options, saved):
    torch.manual_seed(0)
    network = build_model(options, (3, 32, 32), 1000).model
    torch.manual_seed(0)
    drawn = models.get_model(NAME, weights=None, num_classes=1000)
    assert torch.equal(network.classifier[3].weight, drawn.classifier[3].weight)
    assert torch.equal(network.classifier[0].weight, torch.load(saved, weights_only=True)["classifier.0.weight"])


def test_model_file_holds_the_weights_and_needs_neither_folder_nor_download(options, saved, tmp_path, monkeypatch):
    data, encoder, clean = data_and_encoder()
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / saved.name).write_bytes(saved.read_bytes())
    moved = options.model_copy(update={"weights_folder": str(folder)})
    tensors = build_tensors(clean, encoder)
    training = fitted(epochs=1, learning_rate=1e-4, patience_epochs=None, members=2)
    model, _ = train_model(Lesson(tensors, tensors, encoder, training), data, moved, NoCheckpoints())
    published_state = torch.load(saved, weights_only=True)
    start = published_state["features.0.0.weight"]
    assert not torch.equal(model.weights["network.model.features.0.0.weight"][0], start)
    torch.testing.assert_close(model.weights["network.model.features.0.0.weight"][0], start, atol=0.01, rtol=0)
    assert torch.equal(model.weights["network.pixel_means"][1].flatten(), torch.tensor(MEANS))
    model.save(tmp_path / "model.safetensors")
    expected = model.predict(image_rows((3, 32, 32)))

    (folder / saved.name).unlink()
    monkeypatch.setattr(models, "get_model_weights", lambda name: pytest.fail("asked for published weights"))
    monkeypatch.setattr(published, "pixel_scale", lambda options: (MEANS, DEVIATIONS))
    monkeypatch.setattr("torchlane.core.networks.named.pixel_scale", lambda options: ((0.0,) * 3, (9.0,) * 3))
    again = torchlane.load(tmp_path / "model.safetensors")
    pd.testing.assert_frame_equal(again.predict(image_rows((3, 32, 32))), expected, check_exact=True)


def test_plain_weights_go_in_and_out_of_a_pretrained_model(options, saved, tmp_path):
    data, encoder, _ = data_and_encoder()
    state = build_network(options, encoder).state_dict()
    model = TrainedModel({name: each[None] for name, each in state.items()}, encoder, data, options, fitted())
    done = export_model(model, tmp_path / "model.pt")
    assert '"means": [' in done.interface.read_text()
    models.mobilenet_v3_small(num_classes=5).load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    again = import_weights([tmp_path / "model.pt"], model).model
    assert all(torch.equal(again.weights[name], each) for name, each in model.weights.items())
    backbone = import_weights([saved], model, partial=True)
    assert backbone.kept == ("network.model.classifier.3.weight", "network.model.classifier.3.bias")


def test_old_names_of_densenet_are_those_of_today():
    state = models.densenet121().state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): each for name, each in state.items()}
    assert set(old) != set(state)
    assert set(published._renamed(old)) == set(state)


def test_googlenet_leaves_out_the_classifiers_that_only_its_training_used(tmp_path, monkeypatch):
    torch.manual_seed(0)
    made = models.googlenet(weights=None, aux_logits=True, init_weights=False)
    path = publish(made.state_dict(), tmp_path, "googlenet")
    announce(monkeypatch, f"https://models.example/{path.name}")
    network = build_model(options_with(tmp_path, name="googlenet"), (3, 64, 64), 4)
    assert network.train()(torch.rand(2, 3, 64, 64)).shape == (2, 4)
    assert network.model.transform_input
    assert torch.equal(network.model.conv1.conv.weight, made.conv1.conv.weight)


def test_versions_of_modules_survive_the_reading(saved):
    versions = models.get_model(NAME, weights=None).state_dict()._metadata
    assert versions["features.0.1"] == {"version": 2}
    assert read_state_dict(saved)._metadata == versions
