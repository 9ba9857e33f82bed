"""Perceptrons that embed numbers, as they are built."""

import numpy as np
import pytest
import torch

from tests.core.fitted import fitted, plain_model
from tests.core.networks.test_memory import CPU, encoder_of_numbers
from torchlane.core.layers.coded import rows_at_once
from torchlane.core.layers.layout import Layout
from torchlane.core.machine.threads import multiply_adds
from torchlane.core.networks import build_model, describe_capacity, memory, require_memory
from torchlane.core.options import ModelOptions


def options_of(kind: str, **options) -> ModelOptions:
    small = {"bins": 6} if kind == "piecewise_linear" else {"frequencies": 5}
    return plain_model(**{"widths": (8,), "numbers": {"kind": kind, "width": 4, **small}, **options})


KINDS = pytest.mark.parametrize("kind", ["piecewise_linear", "periodic"])


def test_layer_stands_before_all_others_and_is_described():
    network = build_model(options_of("piecewise_linear"), 3, 2)
    assert [name for name, _ in network.named_children()] == ["numbers", "linear_1", "activation_1", "head"]
    assert set(network.state_dict()) >= {"numbers.weight", "numbers.edges"}
    assert describe_capacity(network).startswith("PiecewiseLinearNumbers(3, 8, 4) 96, Linear(12, 8) 104, ")
    periodic = build_model(options_of("periodic"), 3, 2)
    assert describe_capacity(periodic).startswith("PeriodicNumbers(3, 11, 4) 147, Linear(12, 8) 104, ")


@KINDS
def test_linear_model_embeds_numbers_too_and_its_work_is_counted(kind):
    network = build_model(options_of(kind, widths=()), 3, 2)
    n_basis = 8 if kind == "piecewise_linear" else 11
    assert network(torch.randn(5, 3)).shape == (5, 2)
    assert multiply_adds(network, torch.zeros(1, 3)) == 3 * 16 * 4 + 12 * 2  # a basis is padded to 16
    assert rows_at_once(network, 1 << 40) == (1 << 30) // (4 * 3 * (16 + 2 * 4))
    assert network.numbers.n_basis == n_basis


@pytest.mark.parametrize("kind", ["plain", "bins", "piecewise_linear", "periodic"])
def test_images_and_categories_alone_have_no_numbers_to_embed(kind):
    network = build_model(plain_model(widths=(8,), numbers=kind), (1, 4, 4), 2)
    assert [name for name, _ in network.named_children()] == ["flatten", "linear_1", "activation_1", "head"]
    assert network.linear_1.in_features == 16
    codes = Layout(1, np.zeros(3, dtype=np.int64), np.arange(3), {0: 3})
    network = build_model(plain_model(widths=(8,), numbers=kind), 1, 2, codes)
    assert [name for name, _ in network.named_children()] == ["linear_1", "activation_1", "head"]
    assert network(torch.tensor([[2.0], [0.0]])).shape == (2, 2)


@KINDS
def test_initialisation_leaves_embeddings_as_they_are_drawn(kind):
    def drawn(how: str) -> torch.Tensor:
        torch.manual_seed(0)
        return build_model(options_of(kind, initialisation=how), 3, 2).numbers.weight

    for how in ("uniform", "xavier", "kaiming"):
        assert torch.equal(drawn(how), drawn("default"))


def test_embeddings_count_in_the_estimate_of_memory(monkeypatch):
    monkeypatch.setattr(memory, "total_bytes", lambda device: 4 << 30)
    encoder, training = encoder_of_numbers(3000), fitted(members=16, batch_size=64)
    require_memory(plain_model(), encoder, training, CPU)
    with pytest.raises(
        ValueError, match=r"takes at least 5\.\d GiB .* there are 3,000 of them; lower .* or set model.numbers to plain"
    ):
        require_memory(plain_model(numbers="piecewise_linear"), encoder, training, CPU)
