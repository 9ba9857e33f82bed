import sys

import numpy as np
import pytest
import torch
from torch import nn

from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.layers.layout import NUMBER, Layout
from torchlane.core.model.trained import TrainedModel, load
from torchlane.core.networks import build_model, build_network, describe_capacity, named
from torchlane.core.options import EncodingOptions, ModelOptions, TrainingOptions
from torchlane.core.rows.checking import check_rows

OWN = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, n_features, n_outputs, width=4):
        super().__init__(nn.Linear(n_features, width), nn.Tanh(), nn.Linear(width, n_outputs))

class Fixed(nn.Linear):
    pass

def no_class():
    pass
"""


@pytest.fixture
def own_nets(tmp_path, monkeypatch):
    """A module `own_nets` of the user's own, which nobody has named yet."""
    (tmp_path / "own_nets.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(named, "_trusted", set())
    yield
    sys.modules.pop("own_nets", None)


def build(shape, n_outputs: int = 3, layout: Layout | None = None, **options) -> nn.Module:
    return build_model(ModelOptions.model_validate(options), shape, n_outputs, layout)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 64, 64), (1, 28, 28), (2, 9, 17)])
@pytest.mark.parametrize("kind", ["cnn", "rnn", "mlp"])
def test_kinds_for_images_take_any_size(kind, shape):
    model = build(shape, kind=kind, widths=[8, 12, 16])
    assert model(torch.rand(5, *shape)).shape == (5, 3)


def test_cnn_halves_between_stages_and_ends_in_one_value_a_channel():
    model = build((1, 8, 8), kind="cnn", widths=[4, 6, 8], depth=1, activation="ReLU", dropout=0.5)
    assert list(dict(model.named_children())) == [
        "convolution_1_1", "batch_norm_1_1", "activation_1_1", "pool_1",
        "convolution_2_1", "batch_norm_2_1", "activation_2_1", "pool_2",
        "convolution_3_1", "batch_norm_3_1", "activation_3_1", "mean", "flatten", "dropout", "head",
    ]  # fmt: skip
    assert model[:11](torch.rand(2, 1, 8, 8)).shape == (2, 8, 2, 2)
    assert "Conv2d(1, 4, 3 x 3) 36, BatchNorm2d(4) 8" in describe_capacity(model)


@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_rnn_reads_the_rows_of_an_image_in_order(cell, bidirectional):
    torch.manual_seed(0)
    model = build((2, 6, 5), kind="rnn", widths=[7], cell=cell, bidirectional=bidirectional).eval()
    images = torch.rand(3, 2, 6, 5)
    assert type(model.layers[0]) is getattr(nn, cell)
    assert model.layers[0].input_size == 10
    steps, _ = model.layers[0](images.permute(0, 2, 1, 3).reshape(3, 6, 10))
    ends = torch.cat([steps[:, -1, :7], steps[:, 0, 7:]], dim=1) if bidirectional else steps[:, -1]
    torch.testing.assert_close(model(images), model.head(ends))
    assert not torch.allclose(model(images), model(images.flip(2)))


def test_transformer_makes_a_token_of_each_feature_and_looks_codes_up():
    options = {"kind": "transformer", "token_width": 16, "heads": 4, "blocks": 1}
    plain = build(5, **options)
    assert plain(torch.rand(4, 5)).shape == (4, 3)
    numbers = Layout(5, np.array([0, 2, 4]), np.full(3, NUMBER), n_codes={}, embedded={1: 6, 3: 2})
    coded = build(5, layout=numbers, **options).eval()
    features = torch.rand(4, 5)
    features[:, 1], features[:, 3] = torch.tensor([0.0, 5.0, 2.0, 2.0]), torch.tensor([0.0, 1.0, 1.0, 0.0])
    assert coded(features).shape == (4, 3)
    shapes = [tuple(each.shape) for each in coded.transformer.cat_embeddings.parameters()]
    assert (6, 16) in shapes
    assert (2, 16) in shapes
    assert coded.transformer.cont_embeddings.weight.shape[0] == 3


def test_transformer_embeds_codes_and_has_a_token_for_each_level_in_one_hot(toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)
    for encoding, embedded, n_features in (("codes", {1: 5}, 1), ("one_hot", {}, 4), ("ordinal", {}, 2)):
        layout = fit_encoder(clean, toy_data, EncodingOptions(categories=encoding)).layout(embeds=True)
        assert (layout.embedded, layout.n_features) == (embedded, n_features)


@pytest.mark.parametrize("channels", [1, 3])
def test_models_of_torchvision_come_by_name(channels):
    model = build((channels, 32, 32), kind="torchvision", name="squeezenet1_1")
    assert model(torch.rand(2, channels, 32, 32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 32, 32), {"kind": "torchvision", "name": "resnet"}, "'resnet' is not a model of torchvision; it has alex"),
        ((1, 8, 8), {"kind": "torchvision", "name": "alexnet"}, r"alexnet of torchvision does not take features of sh"),
        (
            (1, 32, 32),
            {"kind": "torchvision", "name": "resnet18", "arguments": {"depth": 3}},
            "cannot be constructed with",
        ),
        ((4, 32, 32), {"kind": "torchvision", "name": "resnet18"}, "take images with 1 or 3 channels, not 4"),
        (5, {"kind": "cnn"}, "model.kind cnn does not take a table; choose one of mlp, transformer, class"),
        ((1, 8, 8), {"kind": "transformer"}, "model.kind transformer does not take an image; choose one of mlp, cnn"),
    ],
)
def test_what_a_kind_does_not_take_is_refused(shape, options, message):
    with pytest.raises(ValueError, match=message):
        build(shape, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"cell": "GRU"},
            "cell is not an option of kind mlp, which has widths, activation, dropout, batch_norm, numbers and init",
        ),
        ({"kind": "cnn", "class": "a.B"}, "class is not an option of kind cnn"),
        ({"kind": "torchvision"}, "kind torchvision needs name"),
        ({"kind": "class"}, "kind class needs class"),
        ({"class": "Net"}, "class"),
        ({"kind": "transformer", "token_width": 10}, "token_width 10 must be a multiple of heads 8"),
        ({"kind": "rnn", "widths": []}, "kind rnn needs at least one width"),
    ],
)
def test_options_of_another_kind_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ModelOptions.model_validate(options)


@pytest.mark.parametrize("how", ["uniform", "xavier", "kaiming"])
@pytest.mark.parametrize(("kind", "layer"), [("cnn", "convolution_1_1"), ("rnn", "layers.0")])
def test_initialisation_reaches_convolutions_and_recurrent_layers(kind, layer, how):
    torch.manual_seed(0)
    default = build((1, 8, 8), kind=kind).get_submodule(layer)
    torch.manual_seed(0)
    drawn = build((1, 8, 8), kind=kind, initialisation=how).get_submodule(layer)
    for (name, one), other in zip(default.named_parameters(), drawn.parameters(), strict=True):
        assert not torch.equal(one, other)
        assert name.startswith("weight") or not other.any()


def test_own_class_gets_what_it_has_parameters_for(own_nets):
    named.trust("own_nets.Net")
    model = build(5, **{"class": "own_nets.Net", "arguments": {"width": 9}})
    assert describe_capacity(model) == "Linear(5, 9) 54, Linear(9, 3) 30; 84 parameters"
    named.trust("own_nets.Fixed")
    assert build(5, **{"class": "own_nets.Fixed", "arguments": {"in_features": 5, "out_features": 3}}).out_features == 3


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "own_nets.Fixed",
            {"in_features": 5, "out_features": 2},
            r"gives outputs of shape \(2, 2\) for 2 rows, not \(2, 3\)",
        ),
        ("own_nets.Fixed", {"in_features": 4, "out_features": 3}, r"does not take features of shape \(5,\)"),
        ("own_nets.Net", {"depth": 2}, "cannot be constructed with these model.arguments"),
        ("own_nets.Gone", {}, "cannot be imported: .*Gone.*; put its file into src/"),
        ("no_such_module.Net", {}, "cannot be imported: No module named 'no_such_module'"),
        ("own_nets.no_class", {}, "is not a class derived from torch.nn.Module"),
    ],
)
def test_own_class_that_does_not_serve_is_refused(own_nets, name, arguments, message):
    named.trust(name)
    with pytest.raises(ValueError, match=message):
        build(5, **{"class": name, "arguments": arguments})


def test_own_class_is_not_imported_on_the_word_of_a_file(own_nets, tmp_path, toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)
    encoder: Encoder = fit_encoder(clean, toy_data, EncodingOptions())
    options = ModelOptions.model_validate({"class": "own_nets.Net"})
    named.trust("own_nets.Net")
    weights = build_network(options, encoder).state_dict()
    model = TrainedModel(
        {name: each[None] for name, each in weights.items()}, encoder, toy_data, options, TrainingOptions()
    )
    expected = model.predict(toy_rows)
    model.save(tmp_path / "model")

    named._trusted.clear()
    sys.modules.pop("own_nets")
    loaded = load(tmp_path / "model")
    with pytest.raises(ValueError, match=r"code is not imported because a file alone names it; .*trust='own_nets.Net'"):
        loaded.predict(toy_rows)
    assert "own_nets" not in sys.modules
    state = torch.get_rng_state()
    assert load(tmp_path / "model", trust="own_nets.Net").predict(toy_rows).equals(expected)
    assert torch.equal(torch.get_rng_state(), state)


def test_class_named_in_the_parameters_is_trusted(own_nets, tmp_path):
    from torchlane.config import UseCaseConfigLoader

    (tmp_path / "base/parameters").mkdir(parents=True)
    (tmp_path / "base/globals.yml").write_text("raw_root: data")
    (tmp_path / "base/parameters/houses.yml").write_text(
        "houses:\n  data: {task: regression, target: y, columns: {x: {kind: number}}}\n  model: {class: own_nets.Net}\n"
    )
    loader = UseCaseConfigLoader(str(tmp_path), base_env="base", default_run_env="base")
    assert loader["parameters"]["houses"]["model"] == {"class": "own_nets.Net"}
    assert named._trusted == {"own_nets.Net"}
