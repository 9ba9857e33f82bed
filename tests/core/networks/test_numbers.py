"""Perceptrons that embed numbers, as they are built."""

import pytest
import torch

from tests.core.networks.test_memory import CPU, NUMBER
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.layers.coded import rows_at_once
from torchlane.core.machine.threads import multiply_adds
from torchlane.core.networks import build_model, describe_capacity, memory, require_memory
from torchlane.core.options import ModelOptions, TrainingOptions


def options_of(kind: str, **options) -> ModelOptions:
    small = {"bins": 6} if kind == "piecewise_linear" else {"frequencies": 5}
    return ModelOptions.model_validate(
        {"widths": (8,), "numbers": {"kind": kind, "width": 4, **small}} | options,
    )


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
    assert rows_at_once(network, 1 << 40) == (1 << 30) // (4 * 3 * 2 * (16 + 4))
    assert network.numbers.n_basis == n_basis


@KINDS
def test_numbers_of_images_are_not_embedded(kind):
    with pytest.raises(ValueError, match=f"model.numbers {kind} embeds the numbers of a table; images need plain"):
        build_model(options_of(kind), (1, 4, 4), 2)


@KINDS
def test_initialisation_leaves_embeddings_as_they_are_drawn(kind):
    def drawn(how: str) -> torch.Tensor:
        torch.manual_seed(0)
        return build_model(options_of(kind, initialisation=how), 3, 2).numbers.weight

    for how in ("uniform", "xavier", "kaiming"):
        assert torch.equal(drawn(how), drawn("default"))


def test_embeddings_count_in_the_estimate_of_memory(monkeypatch):
    monkeypatch.setattr(memory, "total_bytes", lambda device: 4 << 30)
    columns = tuple(NUMBER.model_copy(update={"name": f"x{number}"}) for number in range(3000))
    encoder = Encoder(columns=columns, target=TargetEncoder(name="y", task="regression"))
    training = TrainingOptions(members=16, batch_size=64)
    require_memory(ModelOptions(), encoder, training, CPU)
    with pytest.raises(ValueError, match=r"takes at least 4\.\d GiB .* there are 3,000 of them; lower"):
        require_memory(ModelOptions.model_validate({"numbers": "piecewise_linear"}), encoder, training, CPU)
