"""Model files from before some options existed."""

import json

import torch
from safetensors import safe_open
from safetensors.torch import save_file

import torchlane
from tests.core.exchange.exchanged import table_model, table_rows


def test_members_of_a_file_that_does_not_say_so_shared_nothing_and_were_not_refitted(tmp_path):
    path, earlier = tmp_path / "model.safetensors", tmp_path / "earlier.safetensors"
    model = table_model(widths=[4], numbers="plain", members=2)
    model.save(path)
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    ((key, text),) = [(key, text) for key, text in metadata.items() if '"model"' in text]
    header = json.loads(text)
    del header["training"]["sharing"], header["training"]["refit"], header["model"]["numbers"]
    save_file(tensors, earlier, metadata={**metadata, key: json.dumps(header)})
    read = torchlane.load(earlier)
    assert (read.training.sharing, read.training.refit, read.model.numbers.kind) == ("none", False, "plain")
    assert all(torch.equal(weights, model.weights[name]) for name, weights in read.weights.items())
    assert read.predict(table_rows()).equals(torchlane.load(path).predict(table_rows()))
