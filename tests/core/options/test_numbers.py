import pytest

from torchlane.core.options import EncodingOptions, ModelOptions, RangeOptions, Recipe, TrainingOptions
from torchlane.core.options.searchable import is_option, is_whole


def test_kind_alone_stands_for_its_options():
    assert ModelOptions.model_validate({"numbers": "periodic"}).numbers.kind == "periodic"
    assert ModelOptions().numbers.kind == "plain"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"numbers": "linear"}, "'plain', 'piecewise_linear' or 'periodic'"),
        ({"numbers": {"bins": 9}}, "bins is for kind piecewise_linear, not plain, which has no options"),
        ({"numbers": {"kind": "periodic", "bins": 9}}, "not periodic, which has frequencies, sigma, width"),
        ({"numbers": {"kind": "piecewise_linear", "sigma": 1.0}}, "sigma is for kind periodic, not piecewise_linear"),
        ({"numbers": {"kind": "piecewise_linear", "bins": 0}}, "greater than or equal to 1"),
        ({"kind": "transformer", "numbers": "periodic"}, "numbers is not an option of kind transformer"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ModelOptions.model_validate(options)


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
    changed = recipe.changed({"model.numbers": "piecewise_linear", "model.numbers.bins": 9})
    assert (changed.model.numbers.kind, changed.model.numbers.bins) == ("piecewise_linear", 9)
    changed = recipe.changed({"training.loss": "cross_entropy", "training.loss.label_smoothing": 0.1})
    assert (changed.training.loss.name, changed.training.loss.label_smoothing) == ("cross_entropy", 0.1)
