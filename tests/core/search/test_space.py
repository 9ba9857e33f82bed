import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from pydantic import ValidationError

from torchlane.core.options import DataOptions, EncodingOptions, ModelOptions, Recipe, TrainingOptions, TuningOptions
from torchlane.core.options.searchable import known_options
from torchlane.core.search.given import given_params
from torchlane.core.search.space import distributions_of, grid_size, grid_values, read_values, resolve_space


def recipe(model: dict | None = None, training: dict | None = None, encoding: dict | None = None) -> Recipe:
    return Recipe(
        encoding=EncodingOptions.model_validate(encoding or {}),
        model=ModelOptions.model_validate(model or {}),
        training=TrainingOptions.model_validate({"learning_rate": 0.001, **(training or {})}),
    )


def tuning(space: dict, **options) -> TuningOptions:
    return TuningOptions.model_validate({"trials": 4, "space": space, **options})


def test_names_may_be_dotted_or_nested():
    dotted = tuning({"training.learning_rate": {"low": 1e-4, "high": 0.1, "log": True}})
    nested = tuning({"training": {"learning_rate": {"low": 1e-4, "high": 0.1, "log": True}}})
    assert dotted.space == nested.space


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            {"training.learning_rte": {"low": 1, "high": 2}},
            "'training.learning_rte' is not an option that a search can change; did you mean 'training.learning_rate'?",
        ),
        (
            {"model": {"widhts": {"choices": [[8]]}}},
            "'model.widhts' is not an option that a search can change; did you mean 'model.widths'?",
        ),
        ({"training.members": {"low": 1, "high": 3}}, "'training.members' is not an option that a search can change"),
        (
            {"training.learning_rate": {"low": 0.1, "high": 0.01}},
            "training.learning_rate: low 0.1 must be below high 0.01",
        ),
        (
            {"training.learning_rate": {"low": 0.1, "high": 0.1}},
            "training.learning_rate: low 0.1 must be below high 0.1",
        ),
        (
            {"training.learning_rate": {"low": 0, "high": 0.1, "log": True}},
            "training.learning_rate: a log range must start above 0, not at 0",
        ),
        (
            {"training.learning_rate": {"low": 0.1, "high": 1, "log": True, "step": 0.1}},
            "training.learning_rate: a log range takes no step",
        ),
        ({"training.learning_rate": {"low": 0.1}}, "training.learning_rate: high field required"),
        (
            {"training.learning_rate": {"low": 0.1, "hgih": 1}},
            "training.learning_rate: 'hgih' does not go with low, high, log, step",
        ),
        ({"training.learning_rate": 0.1}, "training.learning_rate must have low and high, or choices, not 0.1"),
        ({"training": {}}, "training must have low and high, or choices, not {}"),
        ({"model.activation": {"choices": []}}, "model.activation: choices "),
        ({"model.activation": {"choices": ["ReLU", "ReLU"]}}, "choices name 'ReLU' twice"),
        ({"model.dropout": {"low": 0.0, "high": 0.5, "step": 0.7}}, "model.dropout: step 0.7 is longer than the range"),
        ({"training.batch_size": {"low": 1.5, "high": 9}}, "training.batch_size: takes whole numbers, not 1.5"),
    ],
)
def test_a_wrong_space_is_refused_in_one_line(space, message):
    with pytest.raises(ValidationError) as caught:
        tuning(space)
    (fault,) = caught.value.errors()
    assert message in fault["msg"]
    assert "\n" not in fault["msg"]


def test_every_known_option_exists():
    whole = recipe(model={"kind": "mlp"})
    assert {"encoding.numbers", "model.widths", "training.optimizer.name", "training.loss.label_smoothing"} <= set(
        known_options()
    )
    for name in known_options():
        whole.value(name)


@pytest.mark.parametrize(
    ("space", "changes", "message"),
    [
        (
            {"training.learning_rate": {"low": -1, "high": 1}},
            {},
            "tuning.space: training.learning_rate cannot be -1.0: training.learning_rate: a number above 0, or auto is needed",
        ),
        (
            {"model.depth": {"low": 1, "high": 3}},
            {"model": {"widths": [8, 4]}},
            "model.depth needs model.width too",
        ),
        ({"model.heads": {"low": 1, "high": 3}}, {}, "heads is not an option of kind mlp"),
        (
            {"model.width": {"low": 8, "high": 9}},
            {"model": {"kind": "cnn"}},
            "model.width is for kinds mlp and rnn, not cnn",
        ),
        (
            {"training.optimizer.arguments.momentum": {"low": 0, "high": 0.9}},
            {},
            "optimizer AdamW: got an unexpected keyword argument 'momentum'",
        ),
        (
            {"model.activation": {"choices": ["ReLU", "Relu"]}},
            {},
            "model.activation cannot be Relu: model.activation: activation 'Relu' is not one of torch.nn",
        ),
    ],
)
def test_a_space_that_does_not_fit_the_network_is_refused_before_anything_trains(toy_data, space, changes, message):
    with pytest.raises(ValueError) as caught:
        resolve_space(tuning(space), recipe(**changes), toy_data)
    assert message in str(caught.value)


def test_width_and_depth_make_widths():
    space = {"model.width": {"low": 8, "high": 32, "step": 8}, "model.depth": {"low": 1, "high": 3}}
    assert recipe().changed({"model.width": 16, "model.depth": 3}).model.widths == (16, 16, 16)
    assert recipe().changed({"model.depth": 1}).model.widths == (128,)
    assert distributions_of(tuning(space).space) == {
        "model.width": IntDistribution(8, 32, step=8),
        "model.depth": IntDistribution(1, 3),
    }


def test_what_optuna_draws_comes_back_as_the_options_take_it(toy_data):
    space = tuning(
        {
            "model.widths": {"choices": [[64, 64], [8]]},
            "model.activation": {"choices": ["ReLU", None]},
            "model.dropout": {"low": 0, "high": 1},
            "training.batch_size": {"low": 16, "high": 64, "log": True},
        }
    ).space
    assert distributions_of(space) == {
        "model.activation": CategoricalDistribution(['"ReLU"', "null"]),
        "model.dropout": FloatDistribution(0, 1),
        "model.widths": CategoricalDistribution(["[64, 64]", "[8]"]),
        "training.batch_size": IntDistribution(16, 64, log=True),
    }
    given = recipe(model={"activation": None, "dropout": 0.25, "widths": [64, 64]}, training={"batch_size": 64})
    drawn = given_params(given, space, toy_data)
    assert drawn == {
        "model.widths": "[64, 64]",
        "model.activation": "null",
        "model.dropout": 0.25,
        "training.batch_size": 64,
    }
    assert given.changed(read_values(drawn, space)) == given


def test_grid_takes_ends_and_middle_of_ranges_and_every_choice_and_step():
    space = tuning(
        {
            "training.learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
            "model.dropout": {"low": 0.0, "high": 0.4, "step": 0.2},
            "model.depth": {"low": 1, "high": 2},
            "model.activation": {"choices": ["ReLU", "GELU"]},
        }
    ).space
    values = grid_values(space, 3)
    assert values["training.learning_rate"] == pytest.approx([1e-3, 1e-2, 1e-1])
    assert values["model.dropout"] == pytest.approx([0, 0.2, 0.4])
    assert values["model.depth"] == [1, 2]
    assert grid_size(space, 3) == 3 * 3 * 2 * 2


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        (
            {},
            {
                "training.learning_rate",
                "training.optimizer.arguments.weight_decay",
                "model.dropout",
                "encoding.numbers",
            },
        ),
        (
            {"training": {"optimizer": {"name": "SGD"}}, "model": {"kind": "transformer"}},
            {
                "training.learning_rate",
                "training.optimizer.arguments.weight_decay",
                "training.optimizer.arguments.momentum",
                "model.dropout",
            },
        ),
        ({"training": {"optimizer": {"name": "Rprop"}}, "model": {"class": "mine.Net"}}, {"training.learning_rate"}),
        (
            {"encoding": {"columns": {"size": "none"}}, "model": {"widths": []}},
            {"training.learning_rate", "training.optimizer.arguments.weight_decay", "model.dropout"},
        ),
    ],
)
def test_default_space_fits_network_optimizer_and_columns(toy_data, changes, names):
    assert set(resolve_space(TuningOptions(trials=1), recipe(**changes), toy_data)) == names


def test_default_space_fits_images():
    data = DataOptions.model_validate(
        {
            "task": "multiclass",
            "target": "label",
            "columns": {"image": {"kind": "image", "size": [1, 8, 8]}, "label": {"kind": "category"}},
        }
    )
    for kind in ("cnn", "mlp"):
        space = resolve_space(TuningOptions(trials=1), recipe(model={"kind": kind, "widths": [4]}), data)
        assert set(space) == {"training.learning_rate", "training.optimizer.arguments.weight_decay", "model.dropout"}


def test_what_is_fixed_is_not_searched(toy_data):
    left = resolve_space(TuningOptions(trials=1, fixed=("training.optimizer", "model.widths")), recipe(), toy_data)
    assert set(left) == {"training.learning_rate", "model.dropout", "encoding.numbers"}
    with pytest.raises(ValueError, match="the search has nothing to change"):
        resolve_space(tuning({"model.dropout": {"low": 0, "high": 1e-3}}, fixed=("model.dropout",)), recipe(), toy_data)
    with pytest.raises(ValidationError, match="'model.dropuot' is not an option"):
        tuning({}, fixed=("model.dropuot",))


def test_arguments_and_columns_may_have_dots_in_their_names():
    changed = recipe().changed({"encoding.columns.a.b": "codes", "training.optimizer.arguments.eps": 1e-6})
    assert changed.encoding.columns == {"a.b": "codes"}
    assert changed.value("encoding.columns.a.b") == "codes"
    assert changed.training.optimizer.arguments == {"eps": 1e-6}


@pytest.mark.parametrize("url", ["redis://localhost", "search.sqlite", "journal.log"])
def test_storages_that_hold_pickles_are_refused(url):
    with pytest.raises(ValidationError, match="is not the URL of an SQL database"):
        tuning({}, storage=url)
