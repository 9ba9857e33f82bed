"""Files of published weights: where they are looked for, downloaded to, and refused."""

import hashlib
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torchvision import models

from torchlane.core.networks import build_network

from .publishing import NAME, announce, data_and_encoder, options_with, publish


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
