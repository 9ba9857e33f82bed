import pytest

from torchlane.core.encoding.columns import CategoryEncoder, NumberEncoder
from torchlane.core.encoding.encoder import Encoder, fit_encoder
from torchlane.core.encoding.images import ImageEncoder
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import TABLE_MEMBERS, Lesson, identify, train_model, with_members
from torchlane.core.model.profile import summarise_training
from torchlane.core.options import EncodingOptions, ModelOptions, TrainingOptions
from torchlane.core.rows.checking import check_rows

TARGET = TargetEncoder(name="y", task="regression")
NUMBER = NumberEncoder(name="x", encoding="z_score", median=0.0, quantiles=(0.0, 1.0), missing=0, flagged=False)
CODES = CategoryEncoder(name="c", encoding="codes", levels=("a",), counts=(1, 0, 0))
IMAGE = ImageEncoder(name="image", encoding="unit", size=(1, 8, 8), means=(0.5,), deviations=(1.0,))
TABLE, PICTURES = Encoder(columns=(NUMBER, CODES), target=TARGET), Encoder(columns=(IMAGE,), target=TARGET)


@pytest.mark.parametrize(
    ("model", "encoder", "expected"),
    [
        ({}, TABLE, TABLE_MEMBERS),
        ({"kind": "transformer"}, TABLE, 1),
        ({"class": "package.Net"}, TABLE, 1),
        ({}, PICTURES, 1),
        ({"kind": "cnn"}, PICTURES, 1),
        ({"kind": "rnn"}, PICTURES, 1),
        ({"kind": "torchvision", "name": "resnet18"}, PICTURES, 1),
    ],
)
def test_perceptrons_on_tables_are_16_and_all_else_is_one_where_the_options_leave_it_open(model, encoder, expected):
    options = ModelOptions.model_validate(model)
    assert TABLE_MEMBERS == 16
    assert with_members(TrainingOptions(), options, encoder).members == expected
    assert with_members(TrainingOptions(members=3), options, encoder).members == 3


@pytest.mark.parametrize("task", ["regression", "binary"])
@pytest.mark.parametrize("n_valid", [12, 0])
def test_profile_of_predictions_is_that_of_valid_and_of_train_only_where_there_is_none(
    toy_rows, toy_data, task, n_valid
):
    data = toy_data if task == "regression" else toy_data.model_copy(update={"task": task, "target": "kind"})
    clean, _ = check_rows(toy_rows, data)
    encoder = fit_encoder(clean, data, EncodingOptions())
    parts = [clean.iloc[n_valid:].reset_index(drop=True), clean.iloc[:n_valid].reset_index(drop=True)]  # the cheap ones
    train, valid = (build_tensors(part, encoder) for part in parts)
    training = TrainingOptions(epochs=20, members=2, learning_rate=0.01)
    model, _ = train_model(Lesson(train, valid, encoder, training), data, ModelOptions(), NoCheckpoints())
    of_train, of_valid = (
        summarise_training(len(train), model.describe_predictions(part.tensors[0])["prediction"], encoder.target.labels)
        for part in (train, valid)
    )
    assert of_train != of_valid
    assert model.details["profile"] == (of_valid if n_valid else of_train)


def test_training_is_another_one_where_the_same_codes_mean_something_else(toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)

    def identity(categories: str, kind: str) -> str:
        encoder = fit_encoder(clean, toy_data, EncodingOptions.model_validate({"categories": categories}))
        tensors = build_tensors(clean, encoder)
        return identify([Lesson(tensors, tensors, encoder, TrainingOptions())], ModelOptions(kind=kind))

    for kind in ("mlp", "transformer"):
        assert identity("one_hot", kind) != identity("ordinal", kind)
        assert identity("one_hot", kind) == identity("one_hot", kind)
    assert identity("one_hot", "mlp") == identity("codes", "mlp")
    assert identity("one_hot", "transformer") != identity("codes", "transformer")
