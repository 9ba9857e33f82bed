"""Published weights without a network, and a server of the tests' own."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torchvision import models

from torchlane.core.networks import published
from torchlane.core.options import ModelOptions

from .publishing import NAME, announce, options_with, publish


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nobody answers, but for a server of the test's own."""
    real = published.urllib.request.urlopen

    def urlopen(url, **options):
        if "//127.0.0.1:" not in url:
            raise OSError("no network in tests")
        return real(url, **options)

    monkeypatch.setattr(published, "urllib", SimpleNamespace(request=SimpleNamespace(urlopen=urlopen)))


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> Path:
    """A `state_dict` of 1,000 categories, under a name that holds the digits of its own SHA-256."""
    torch.manual_seed(3)
    state = models.get_model(NAME, weights=None).state_dict()
    for name, tensor in state.items():
        if name.endswith("running_mean"):
            tensor.normal_(std=0.2)
    return publish(state, tmp_path_factory.mktemp("published"))


@pytest.fixture
def options(saved, monkeypatch) -> ModelOptions:
    announce(monkeypatch, f"https://models.example/{saved.name}")
    return options_with(saved.parent)


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
