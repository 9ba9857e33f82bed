import math

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from tests.core.fitted import FEW, MANY, USUAL, use_small_bands
from torchlane.core.options import (
    EncodingOptions,
    FineTuningOptions,
    FittedTraining,
    ModelOptions,
    Recipe,
    TrainingOptions,
    fitted_values,
    fitting,
    fitting_network,
)
from torchlane.core.options.by_rows import BANDS, CHOSEN, OTHERS, TABLES, describe_fitting

OPEN = TrainingOptions()
COUNTS = ("batch_size", "epochs", "patience_epochs", "members")


def chosen(training: TrainingOptions, n_rows: int = 50, model: dict | None = None, *, is_table: bool = True) -> dict:
    fitted = fitting(training, ModelOptions.model_validate(model or {}), n_rows, is_table=is_table)
    return {name: getattr(fitted, name) for name in CHOSEN}


@pytest.mark.parametrize(
    ("model", "is_table", "kind"),
    [
        ({}, True, TABLES),
        ({"kind": "transformer"}, True, OTHERS),
        ({"class": "package.Net"}, True, OTHERS),
        ({}, False, OTHERS),
        ({"kind": "cnn"}, False, OTHERS),
        ({"kind": "rnn"}, False, OTHERS),
        ({"kind": "torchvision", "name": "resnet18"}, False, OTHERS),
    ],
)
def test_perceptrons_on_tables_have_bands_of_their_own(model, is_table, kind):
    first = BANDS[kind][0]
    assert chosen(OPEN, 1, model, is_table=is_table) == {name: getattr(first, name) for name in CHOSEN}


def test_every_number_of_rows_has_a_band():
    for bands in BANDS.values():
        ends = [band.most_rows for band in bands]
        assert ends == sorted(set(ends))
        assert ends[-1] == math.inf


GIVEN = {
    **dict.fromkeys(COUNTS, some.integers(1, 9)),
    "learning_rate": some.floats(1e-6, 1.0),
    "sharing": some.sampled_from(["none", "tabm", "tabm_mini", "columns"]),
    "refit": some.booleans(),
}


@given(n_rows=some.integers(0, 100), given_options=some.fixed_dictionaries({}, optional=GIVEN))
def test_what_is_given_stays_and_the_rest_is_that_of_the_band(n_rows, given_options):
    with pytest.MonkeyPatch.context() as patch:
        use_small_bands(patch, most_of_few=40)
        asked = TrainingOptions.model_validate(given_options)
        assert chosen(asked, n_rows) == (FEW if n_rows <= 40 else MANY) | given_options
        fitted = fitting(asked, ModelOptions(), n_rows, is_table=True)
    assert set(fitted_values(asked, fitted)) == set(CHOSEN) - set(given_options)
    assert fitting(fitted, ModelOptions(), 10**9, is_table=True) == fitted  # nothing is left open


def test_no_patience_stays_none_and_no_number_of_members_means_auto():
    training = TrainingOptions.model_validate({"patience_epochs": None, "members": None})
    assert training.patience_epochs is None
    assert training.members == "auto"
    assert chosen(training)["patience_epochs"] is None
    assert chosen(training)["members"] == BANDS[TABLES][0].members


def test_all_other_options_are_kept():
    settings = {"learning_rate": 0.5, "loss": "huber", "scheduler": {"name": "OneCycleLR", "step": "batch"}, "seed": 7}
    training = TrainingOptions.model_validate(settings)
    fitted = fitting(training, ModelOptions(), 10, is_table=True)
    assert {name: getattr(fitted, name) for name in settings} == {name: getattr(training, name) for name in settings}


def test_a_recipe_leaves_only_sharing_open_once_it_is_fitted(monkeypatch):
    use_small_bands(monkeypatch, most_of_few=40)
    recipe = Recipe(encoding=EncodingOptions(), model=ModelOptions(), training=TrainingOptions(epochs=9))
    few, many = (recipe.fitted(n_rows, is_table=True).training for n_rows in (40, 41))
    assert {name: getattr(few, name) for name in CHOSEN} == {**FEW, "epochs": 9, "sharing": "auto"}
    assert {name: getattr(many, name) for name in CHOSEN} == {**MANY, "epochs": 9, "sharing": "auto"}
    assert type(few) is TrainingOptions  # as that of a trial, with which it is compared


def refusal(name: str, value: object) -> str:
    """Give the message with which an option of training is refused, which is one for all its types."""
    with pytest.raises(ValidationError) as refused:
        TrainingOptions.model_validate({name: value})
    (fault,) = refused.value.errors()
    assert fault["loc"] == (name,)
    return fault["msg"]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1, "many", "Auto", 1.5])
def test_what_is_neither_a_number_nor_auto_is_refused_in_one_sentence(name, value):
    assert refusal(name, value) == f"Value error, a whole number, 1 or more, or auto is needed, not {value!r}"


@pytest.mark.parametrize("value", [0, -0.1, "fast", "Auto", None, [0.1]])
def test_a_rate_that_is_neither_a_number_above_0_nor_auto_is_refused_in_one_sentence(value):
    assert refusal("learning_rate", value) == f"Value error, a number above 0, or auto is needed, not {value!r}"


def test_a_rate_may_be_any_number_above_0():
    assert TrainingOptions(learning_rate=1).learning_rate == 1.0
    assert TrainingOptions.model_validate({"learning_rate": "0.5"}).learning_rate == 0.5
    assert FineTuningOptions(learning_rate=0.5).learning_rate == 0.5


@pytest.mark.parametrize("n_rows", [1, 1_500, 10_000, 25_000])
def test_perceptrons_on_tables_of_at_most_25_000_rows_share_weights_by_column_and_are_trained_once_more(n_rows):
    fitted = fitting(OPEN, ModelOptions(), n_rows, is_table=True)
    assert (fitted.sharing, fitted.learning_rate, fitted.refit) == ("columns", 0.002, True)
    assert fitted.members == (16 if n_rows <= 10_000 else 8)


def test_larger_tables_take_fewer_members_and_no_second_training():
    fitted = fitting(OPEN, ModelOptions(), 25_001, is_table=True)
    assert (fitted.members, fitted.sharing, fitted.learning_rate, fitted.refit) == (4, "columns", 0.002, False)


@pytest.mark.parametrize(
    ("training", "model"),
    [({"members": 1}, {}), ({"stacked": False}, {}), ({}, {"widths": ()}), ({}, {"kind": "transformer"})],
)
def test_weights_are_not_shared_by_rule_where_nothing_can_be_shared(training, model):
    assert chosen(TrainingOptions.model_validate(training), model=model)["sharing"] == "none"


@pytest.mark.parametrize(("training", "model"), [({"members": 1}, {}), ({"stacked": False}, {}), ({}, {"widths": ()})])
def test_sharing_that_is_asked_for_is_kept_where_the_rule_would_not_share(training, model):
    assert chosen(TrainingOptions.model_validate({"sharing": "tabm", **training}), model=model)["sharing"] == "tabm"


def test_networks_of_images_and_other_kinds_are_trained_once_with_no_shared_weights():
    for model, is_table in (({}, False), ({"kind": "cnn"}, False), ({"kind": "transformer"}, True)):
        options = chosen(OPEN, model=model, is_table=is_table)
        assert (options["refit"], options["sharing"], options["learning_rate"]) == (False, "none", 0.001)


def test_the_log_names_rate_sharing_and_refit_where_the_rule_chose_them():
    fitted = fitting(OPEN, ModelOptions(), 1_234, is_table=True)
    assert describe_fitting(fitted_values(OPEN, fitted), 1_234) == (
        "for 1,234 rows of train: batches of 64 rows, at most 200 epochs, a patience of 16 epochs, 16 members, "
        "a learning rate of 0.002, weights shared by column, a refit on train and valid"
    )
    few = TrainingOptions(members=1, refit=False, learning_rate=0.1)
    said = describe_fitting(fitted_values(few, fitting(few, ModelOptions(), 1, is_table=True)), 1)
    assert said == "for 1 row of train: batches of 64 rows, at most 200 epochs, a patience of 16 epochs"


@pytest.mark.parametrize(
    ("n_numbers", "n_rows", "kind"),
    [(0, 1, "bins"), (9, 90, "bins"), (9, 89, "plain"), (128, 10_000, "bins"), (129, 10_000, "plain")],
)
def test_numbers_have_bins_unless_they_are_many_or_many_for_the_rows(n_numbers, n_rows, kind):
    assert fitting_network(ModelOptions(), n_numbers, n_rows).numbers.kind == kind


@pytest.mark.parametrize("numbers", ["plain", "bins", "periodic", {"kind": "piecewise_linear", "bins": 4}])
def test_numbers_that_are_asked_for_are_kept_however_many_they_are(numbers):
    model = ModelOptions.model_validate({"numbers": numbers})
    assert fitting_network(model, 5_000, 10) is model


def test_the_number_of_bins_is_kept_where_auto_means_bins():
    model = ModelOptions.model_validate({"numbers": {"kind": "auto", "bins": 5}})
    assert fitting_network(model, 3, 100).numbers.n_out == 6
    assert fitting_network(model, 3, 10).numbers.n_out == 1


def test_fitted_options_leave_nothing_open():
    for name in CHOSEN:
        with pytest.raises(ValidationError):
            FittedTraining.model_validate({**USUAL, name: "auto"})
    for name in {*COUNTS, "learning_rate"}:
        with pytest.raises(ValidationError):
            FittedTraining.model_validate({each: value for each, value in USUAL.items() if each != name})


def test_fine_tuning_has_numbers_for_few_rows_and_takes_auto():
    assert FineTuningOptions().model_dump(include={"epochs", "patience_epochs", "batch_size"}) == {
        "epochs": 100,
        "patience_epochs": 20,
        "batch_size": 32,
    }
    assert FineTuningOptions(batch_size="auto").batch_size == "auto"


def test_choice_is_said_in_words_and_what_is_not_done_is_left_out():
    said = describe_fitting({"members": 16, "sharing": "columns", "refit": True}, 210)
    assert said == "for 210 rows of train: 16 members, weights shared by column, a refit on train and valid"
    assert describe_fitting({"sharing": "none", "refit": False}, 210) == ""
