import pytest

from torchlane.core.options import EncodingOptions, ModelOptions, NumbersOptions, RangeOptions, Recipe, TrainingOptions
from torchlane.core.options.searchable import is_option, is_whole


def test_kind_alone_stands_for_its_options():
    assert ModelOptions.model_validate({"numbers": "periodic"}).numbers.kind == "periodic"
    assert ModelOptions().numbers.kind == "auto"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"numbers": "linear"}, "'auto', 'plain', 'bins', 'piecewise_linear' or 'periodic'"),
        (
            {"numbers": {"kind": "plain", "bins": 9}},
            "bins is for kind auto and bins and piecewise_linear, not plain, which has no options",
        ),
        ({"numbers": {"width": 9}}, "width is for kind piecewise_linear and periodic, not bins, which has bins"),
        ({"kind": "cnn", "numbers": {"kind": "bins", "bins": 9}}, "numbers is not an option of kind cnn"),
        ({"numbers": {"kind": "bins", "bins": 0}}, "greater than or equal to 1"),
        ({"numbers": {"kind": "periodic", "bins": 9}}, "not periodic, which has frequencies, sigma, width"),
        ({"numbers": {"kind": "piecewise_linear", "sigma": 1.0}}, "sigma is for kind periodic, not piecewise_linear"),
        ({"numbers": {"kind": "piecewise_linear", "bins": 0}}, "greater than or equal to 1"),
        ({"kind": "transformer", "numbers": "periodic"}, "numbers is not an option of kind transformer"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ModelOptions.model_validate(options)


def test_options_without_a_kind_are_those_of_the_default_kind():
    numbers = ModelOptions.model_validate({"numbers": {"bins": 9}}).numbers
    assert (numbers.kind, numbers.bins) == ("bins", 9)
    assert ModelOptions(numbers=NumbersOptions()).numbers.kind == "plain"  # whole options are taken as they are


@pytest.mark.parametrize("kind", ["cnn", "rnn", "transformer", "torchvision", "class"])
def test_defaults_of_a_perceptron_are_its_own(kind):
    needed = {"torchvision": {"name": "resnet18"}, "class": {"class": "package.Net"}}.get(kind, {})
    other, perceptron = ModelOptions.model_validate({"kind": kind, **needed}), ModelOptions()
    assert (perceptron.widths, perceptron.dropout, perceptron.numbers.kind) == ((128, 128), 0.1, "auto")
    assert (other.widths, other.dropout, other.numbers.kind) == ((64, 64), 0.0, "plain")


@pytest.mark.parametrize(
    "options", [{}, {"numbers": "plain"}, {"kind": "cnn"}, {"class": "package.Net"}, {"widths": (), "dropout": 0}]
)
def test_options_come_back_from_what_is_stored_of_them(options):
    model = ModelOptions.model_validate(options)
    assert ModelOptions.model_validate(model.model_dump()) == model
    assert ModelOptions.model_validate_json(model.model_dump_json()) == model


def test_search_may_change_the_kind_and_the_options_of_a_kind():
    model = ModelOptions.model_validate({"numbers": "piecewise_linear"})
    recipe = Recipe(encoding=EncodingOptions(), model=model, training=TrainingOptions())
    assert recipe.changed({"model.numbers.bins": 9}).model.numbers.bins == 9
    assert recipe.changed({"model.numbers.bins": 9}).model.numbers.kind == "piecewise_linear"
    assert recipe.changed({"model.numbers": "periodic"}).model.numbers.kind == "periodic"
    assert recipe.value("model.numbers.width") == 16
    assert is_option("model.numbers.bins") and is_option("model.numbers")
    assert is_whole("model.numbers.bins", RangeOptions(low=4, high=64))
    assert not is_whole("model.numbers.sigma", RangeOptions(low=1, high=2))


def test_search_may_change_a_kind_and_one_of_its_options_together():
    recipe = Recipe(encoding=EncodingOptions(), model=ModelOptions(), training=TrainingOptions())
    assert recipe.changed({"model.numbers.bins": 9}).model.numbers.kind == "auto"
    changed = recipe.changed({"model.numbers": "piecewise_linear", "model.numbers.bins": 9})
    assert (changed.model.numbers.kind, changed.model.numbers.bins) == ("piecewise_linear", 9)
    changed = recipe.changed({"training.loss": "cross_entropy", "training.loss.label_smoothing": 0.1})
    assert (changed.training.loss.name, changed.training.loss.label_smoothing) == ("cross_entropy", 0.1)
