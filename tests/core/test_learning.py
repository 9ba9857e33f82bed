import pytest

from torchlane.core import drift
from torchlane.core.checkpoints import NoCheckpoints
from torchlane.core.encoders import fit_encoder
from torchlane.core.learning import Lesson, train_model
from torchlane.core.options import EncodingOptions, ModelOptions, TrainingOptions
from torchlane.core.rows import check_rows
from torchlane.core.tensors import build_tensors


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
        drift.summarise_training(
            len(train), model.describe_predictions(part.tensors[0])["prediction"], encoder.target.labels
        )
        for part in (train, valid)
    )
    assert of_train != of_valid
    assert model.details["profile"] == (of_valid if n_valid else of_train)
