"""Published weights of torchvision; the tests publish their own, since they have no network."""

import hashlib
import re
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models import Weights, WeightsEnum
from torchvision.transforms._presets import ImageClassification

import torchlane
from tests.core.exchange.exchanged import image_rows
from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.exchange import export_model, import_weights
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, train_model
from torchlane.core.model.trained import TrainedModel
from torchlane.core.networks import build_model, build_network, published
from torchlane.core.networks.state_dicts import read_state_dict
from torchlane.core.options import DataOptions, EncodingOptions, ModelOptions, TrainingOptions
from torchlane.core.rows.checking import check_rows

MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CATEGORIES = [f"category {number}" for number in range(1000)]
NAME = "mobilenet_v3_small"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nobody answers, but for a server of the test's own."""
    real = published.urllib.request.urlopen

    def urlopen(url, **options):
        if "//127.0.0.1:" not in url:
            raise OSError("no network in tests")
        return real(url, **options)

    monkeypatch.setattr(published, "urllib", SimpleNamespace(request=SimpleNamespace(urlopen=urlopen)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A `state_dict` of 1,000 categories, under a name that holds the digits of its own SHA-256."""
    torch.manual_seed(3)
    state = models.get_model(NAME, weights=None).state_dict()
    for name, tensor in state.items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.2)
    return publish(state, tmp_path_factory.mktemp("published"))


def publish(state: object, folder: Path, stem: str = NAME) -> Path:
    torch.save(state, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    return (folder / "new.pth").rename(folder / f"{stem}-{digest[:8]}.pth")


def announce(monkeypatch, url: str) -> None:
    """Let torchvision publish what is at `url`, beside an entry with other pixels."""

    class Published_Weights(WeightsEnum):  # noqa: N801
        FIRST = Weights(url, partial(ImageClassification, crop_size=224), {"categories": CATEGORIES})
        OTHER = Weights(
            url,
            partial(ImageClassification, crop_size=224, mean=(0.5,) * 3, std=(0.25,) * 3),
            {"categories": CATEGORIES},
        )
        DEFAULT = FIRST

    monkeypatch.setattr(models, "get_model_weights", lambda name: Published_Weights)


@pytest.fixture
def options(saved, monkeypatch) -> ModelOptions:
    announce(monkeypatch, f"https://models.example/{saved.name}")
    return options_with(saved.parent)


def options_with(folder: Path, **others: object) -> ModelOptions:
    settings = {"kind": "torchvision", "name": NAME, "weights": "DEFAULT", "weights_folder": str(folder)}
    return ModelOptions.model_validate({**settings, **others})


def data_and_encoder(channels: int = 3, pixels: str = "unit") -> tuple[DataOptions, Encoder, pd.DataFrame]:
    columns = {"image": {"kind": "image", "size": (channels, 32, 32)}, "label": {"kind": "category"}}
    data = DataOptions.model_validate({"task": "multiclass", "target": "label", "columns": columns})
    clean, _ = check_rows(image_rows((channels, 32, 32)), data)
    return data, fit_encoder(clean, data, EncodingOptions(pixels=pixels)), clean


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
    training = TrainingOptions(epochs=1, learning_rate=1e-4, patience_epochs=None, members=2)
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
    model = TrainedModel({name: each[None] for name, each in state.items()}, encoder, data, options, TrainingOptions())
    done = export_model(model, tmp_path / "model.pt")
    assert '"means": [' in done.interface.read_text()
    models.mobilenet_v3_small(num_classes=5).load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    again = import_weights([tmp_path / "model.pt"], model).model
    assert all(torch.equal(again.weights[name], each) for name, each in model.weights.items())
    backbone = import_weights([saved], model, partial=True)
    assert backbone.kept == ("network.model.classifier.3.weight", "network.model.classifier.3.bias")


def test_published_names_are_those_of_torchvision():
    names = {each.url.rpartition("/")[2] for name in ("resnet18", NAME) for each in models.get_model_weights(name)}
    assert {"resnet18-f37072fd.pth", "mobilenet_v3_small-047dcff4.pth"} <= names


def test_without_network_the_message_says_which_file_to_put_where(tmp_path):
    _, encoder, _ = data_and_encoder()
    resnet = options_with(tmp_path / "here", name="resnet18")
    with pytest.raises(ValueError) as refused:
        build_network(resnet, encoder)
    text = str(refused.value)
    assert "the weights ResNet18_Weights.IMAGENET1K_V1 cannot be downloaded to" in text
    assert "(no network in tests); put resnet18-f37072fd.pth, from https://download.pytorch.org/models/resnet18" in text
    assert f"into {tmp_path / 'here'}, or name the folder that has it in model.weights_folder" in text


def test_features_without_a_classifier_are_refused():
    _, encoder, _ = data_and_encoder()
    with pytest.raises(ValueError, match="not published for a classifier vgg16; published are IMAGENET1K_V1, DEFAULT"):
        build_network(options_with(Path("here"), name="vgg16", weights="IMAGENET1K_FEATURES"), encoder)


def test_folder_of_torch_is_looked_into_by_default(saved, options, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    _, encoder, _ = data_and_encoder()
    default = options.model_copy(update={"weights_folder": None})
    with pytest.raises(ValueError, match=re.escape(f"into {tmp_path}/hub/checkpoints")):
        build_network(default, encoder)
    (tmp_path / "hub/checkpoints").mkdir(parents=True, exist_ok=True)
    (tmp_path / "hub/checkpoints" / saved.name).write_bytes(saved.read_bytes())
    build_network(default, encoder)


def test_file_of_another_content_under_a_published_name_is_refused(saved, tmp_path):
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(saved.read_bytes())
    _, encoder, _ = data_and_encoder()
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()[:8]
    fault = f"resnet18-f37072fd.pth does not have the hash in its name: the SHA-256 starts with {digest}, not f37072fd"
    with pytest.raises(ValueError, match=fault):
        build_network(options_with(tmp_path, name="resnet18"), encoder)


@pytest.fixture
def served(saved, tmp_path):
    """A server on this machine: `answers` maps paths to bytes; `asked` lists what was asked for."""
    answers, asked = {f"/{saved.name}": saved.read_bytes()}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            content = answers.get(self.path)
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", answers=answers, asked=asked)
    server.shutdown()
    thread.join()
    server.server_close()


def test_weights_are_downloaded_once(saved, served, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="torchlane")
    announce(monkeypatch, f"{served.url}/{saved.name}")
    _, encoder, _ = data_and_encoder()
    for _ in range(2):
        build_network(options_with(tmp_path / "weights"), encoder)
    assert served.asked == [f"/{saved.name}"]
    assert [each.name for each in (tmp_path / "weights").iterdir()] == [saved.name]
    assert (tmp_path / "weights" / saved.name).read_bytes() == saved.read_bytes()
    assert "random weights for the head: classifier.3.weight, classifier.3.bias" in caplog.text


@pytest.mark.parametrize("answer", ["cut off", "another", "none"])
def test_download_that_is_not_what_was_promised_leaves_nothing(saved, served, answer, tmp_path, monkeypatch):
    announce(monkeypatch, f"{served.url}/{saved.name}")
    content = saved.read_bytes()
    served.answers[f"/{saved.name}"] = {"cut off": content[:-100], "another": content[::-1], "none": None}[answer]
    _, encoder, _ = data_and_encoder()
    reason = "HTTP Error 404" if answer == "none" else "the SHA-256 starts with"
    with pytest.raises(ValueError, match=rf"cannot be downloaded to .* \({reason}.*put {saved.name}"):
        build_network(options_with(tmp_path), encoder)
    assert not list(tmp_path.iterdir())


def test_closed_port_is_a_line_too(saved, tmp_path, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_port
    announce(monkeypatch, f"http://127.0.0.1:{port}/{saved.name}")
    _, encoder, _ = data_and_encoder()
    with pytest.raises(ValueError, match=rf"cannot be downloaded .*refused.*put {saved.name}"):
        build_network(options_with(tmp_path), encoder)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("content", [{"features.0.0.weight": Bomb()}, Bomb()])
def test_pickle_under_a_published_name_is_refused_and_never_executed(content, tmp_path, monkeypatch):
    path = publish(content, tmp_path)  # its hash is right
    announce(monkeypatch, f"https://models.example/{path.name}")
    _, encoder, _ = data_and_encoder()
    with pytest.raises(
        ValueError, match=f"{path.name} was not loaded, since it is truncated or contains more than tensors"
    ):
        build_network(options_with(tmp_path), encoder)
    with pytest.raises(pytest.fail.Exception), path.open("rb") as file:
        torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    ("others", "pixels", "message"),
    [
        (
            {"weights": "IMAGENET1K_V7"},
            "unit",
            "'IMAGENET1K_V7' are not published for a classifier mobilenet_v3_small; published are FIRST, OTHER",
        ),
        (
            {"arguments": {"reduced_tail": True}},
            "unit",
            "do not fit the network: size mismatch for .*; leave out the mod",
        ),
        ({}, "z_score", "published weights bring their own scale of pixels, and encoding.pixels z_score would change"),
    ],
)
def test_weights_that_do_not_fit_are_refused(options, others, pixels, message):
    _, encoder, _ = data_and_encoder(pixels=pixels)
    with pytest.raises(ValueError, match=message):
        build_network(ModelOptions.model_validate({**options.model_dump(), **others}), encoder)


def test_weights_of_another_model_are_refused_by_the_names_that_differ(tmp_path, monkeypatch):
    torch.manual_seed(0)
    path = publish(models.squeezenet1_1().state_dict(), tmp_path)
    announce(monkeypatch, f"https://models.example/{path.name}")
    _, encoder, _ = data_and_encoder()
    with pytest.raises(ValueError, match="do not fit the network: .*features"):
        build_network(options_with(tmp_path), encoder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "cnn", "weights": "DEFAULT"}, "weights is not an option of kind cnn"),
        (
            {"kind": "torchvision", "name": "resnet18", "weights_folder": "x"},
            "weights_folder is used only with weights; set",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ModelOptions.model_validate(options)


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
