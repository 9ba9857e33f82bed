import math

import pytest
import torch
from torch import nn
from torch.nn.modules import activation
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted, plain_model
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks import build_model, describe_capacity
from torchlane.core.options import ModelOptions, torch_names
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.members import make_members


@pytest.mark.parametrize(
    ("widths", "total", "layers"),
    [
        ((4,), 46, "Linear(8, 4) 36, Linear(4, 2) 10"),
        ((8, 4, 4), 138, "Linear(8, 8) 72, Linear(8, 4) 36, Linear(4, 4) 20, Linear(4, 2) 10"),
    ],
)
def test_capacity_counts_parameters_a_layer_and_in_total(widths, total, layers):
    assert describe_capacity(build_model(plain_model(widths=widths), 8, 2)) == f"{layers}; {total} parameters"


def test_layers_come_in_order_and_only_those_asked_for():
    full = build_model(plain_model(widths=(5,), activation="ReLU", dropout=0.1, batch_norm=True), 3, 1)
    assert list(dict(full.named_children())) == ["linear_1", "batch_norm_1", "activation_1", "dropout_1", "head"]
    bare = build_model(plain_model(widths=(5,), activation=None), 3, 1)
    assert list(dict(bare.named_children())) == ["linear_1", "head"]
    linear = build_model(plain_model(widths=()), 3, 1)
    assert [type(each) for each in linear] == [nn.Linear]


def test_default_perceptron_takes_bins_of_numbers_to_two_layers_of_128_with_some_dropout():
    model = build_model(ModelOptions(), 3, 1)
    assert list(dict(model.named_children())) == [
        "numbers",
        *("linear_1", "activation_1", "dropout_1"),
        *("linear_2", "activation_2", "dropout_2"),
        "head",
    ]
    assert (model.linear_1.in_features, model.linear_1.out_features, model.linear_2.out_features) == (51, 128, 128)
    assert model.dropout_1.p == model.dropout_2.p == 0.1
    assert list(dict(build_model(ModelOptions(dropout=0), (1, 4, 4), 1).named_children()))[:2] == [
        "flatten",
        "linear_1",
    ]


@pytest.mark.parametrize("how", ["default", "uniform", "xavier", "kaiming"])
def test_bins_start_with_no_weight_and_numbers_with_some_however_weights_are_drawn(how):
    weight = build_model(ModelOptions(widths=(5,), initialisation=how), 3, 1).linear_1.weight.detach()
    blocks = weight.view(5, 3, 17)
    assert not blocks[..., 1:].any()
    assert bool((blocks[..., 0] != 0).all())


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "PReLU", "ELU", "Sigmoid", "Tanh", "GELU"])
def test_activations_of_torch_are_known_by_name(name):
    model = build_model(ModelOptions(widths=(5,), activation=name), 3, 2)
    assert isinstance(model.activation_1, getattr(nn, name))
    assert model(torch.zeros(4, 3)).shape == (4, 2)


@pytest.mark.parametrize("name", ["Linear", "relu", "os.system", ""])
def test_what_is_no_activation_is_refused(name):
    with pytest.raises(ValueError, match=f"activation '{name}' is not one of torch.nn; choose from ReLU, "):
        ModelOptions(activation=name)


@pytest.mark.parametrize("name", activation.__all__)
def test_activation_is_taken_where_networks_can_be_built_and_trained_with_it_and_refused_else(name):
    try:
        options = plain_model(widths=(6,), activation=name)
    except ValueError as error:
        assert "needs arguments or mixes elements; choose from ReLU, " in str(error) and f" {name}," not in str(error)
        assert name in ("Threshold", "GLU", "MultiheadAttention", "Softmin", "Softmax", "Softmax2d", "LogSoftmax")
        return
    image = options.model_copy(update={"kind": "cnn"})
    for kind, shape in ((options, (3,)), (image, (1, 8, 8))):
        outputs = build_model(kind, shape, 2)(torch.randn(5, *shape))
        outputs.sum().backward()
        assert outputs.shape == (5, 2) and outputs.isfinite().all()
    train = TensorDataset(torch.randn(20, 3), torch.randn(20, 1))
    objective = Objective.of(TargetEncoder(name="y", task="regression"), None)
    training = fitted(members=2, epochs=2)
    members = make_members(lambda: build_model(options, 3, 1), train, train, objective, training, torch.device("cpu"))
    assert all(math.isfinite(each["kept"]["valid_loss"]) for each in fit(members, NoCheckpoints()))


def test_trying_an_activation_leaves_the_random_numbers_alone_also_while_a_network_is_built_without_numbers():
    torch_names._works.cache_clear()
    torch.manual_seed(0)
    expected = torch.randn(3)
    torch.manual_seed(0)
    with torch.device("meta"):
        assert build_model(ModelOptions(widths=(2,), activation="PReLU"), 3, 1).activation_1.weight.is_meta
    torch.manual_seed(0)
    for name in activation.__all__:
        torch_names._works(name)
    assert torch.equal(torch.randn(3), expected)


@pytest.mark.parametrize(
    ("how", "bound"), [("uniform", 100**-0.5), ("xavier", (6 / 150) ** 0.5), ("kaiming", (6 / 100) ** 0.5)]
)
def test_initialisations_fill_their_range_and_zero_the_biases(how, bound):
    torch.manual_seed(0)
    layer = build_model(plain_model(widths=(50,), initialisation=how), 100, 1).linear_1
    assert float(layer.weight.detach().abs().max()) == pytest.approx(bound, rel=0.01)
    assert not layer.bias.any()


def test_default_initialisation_is_what_torch_draws():
    torch.manual_seed(0)
    model = build_model(plain_model(widths=(2,)), 4, 1)
    torch.manual_seed(0)
    assert torch.equal(model.linear_1.weight, nn.Linear(4, 2).weight)
