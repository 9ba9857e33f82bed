import gc
import re

import pandas as pd
import pytest
import torch

from tests.core.fitted import FEW, MANY, USUAL, fitted, plain_model, use_small_bands
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learning import Lesson, fit_lessons, identify, train_model, train_models
from torchlane.core.model.profile import summarise_training
from torchlane.core.model.trained import load
from torchlane.core.networks import memory
from torchlane.core.options import EncodingOptions, ModelOptions, TrainingOptions
from torchlane.core.rows.checking import check_rows
from torchlane.core.training.stacked.run import StackedRun


def test_checkpoint_is_of_another_training_where_the_same_codes_reach_another_network(toy_rows, toy_data):
    clean, _ = check_rows(toy_rows, toy_data)

    def identity(kind: str, encoding: str) -> str:
        encoder = fit_encoder(clean, toy_data, EncodingOptions(categories=encoding))
        tensors = build_tensors(clean, encoder)
        assert torch.equal(tensors.tensors[0], one_hot.tensors[0])
        model = ModelOptions(kind=kind)
        return identify(fit_lessons([Lesson(tensors, tensors, encoder, TrainingOptions())], model))

    one_hot = build_tensors(clean, fit_encoder(clean, toy_data, EncodingOptions()))
    of_perceptron = [identity("mlp", encoding) for encoding in ("one_hot", "codes", "ordinal")]
    assert of_perceptron[0] == of_perceptron[1] != of_perceptron[2]  # the first two are the same network
    assert len({identity("transformer", encoding) for encoding in ("one_hot", "codes", "ordinal")}) == 3


def test_log_counts_the_features_of_the_network(toy_rows, toy_data, caplog):
    clean, _ = check_rows(toy_rows, toy_data)
    counted = {}
    for encoding in ("one_hot", "codes", "ordinal"):
        encoder = fit_encoder(clean, toy_data, EncodingOptions(categories=encoding))
        tensors = build_tensors(clean, encoder)
        lesson = Lesson(tensors, tensors, encoder, TrainingOptions(epochs=1, members=1))
        model = ModelOptions(kind="transformer", blocks=1, token_width=8, heads=2)
        with caplog.at_level("INFO"):
            train_model(lesson, toy_data, model, NoCheckpoints())
        counted[encoding] = int(re.findall(r"training: \d+ rows, (\d+) features", caplog.text)[-1])
    assert counted["one_hot"] > counted["codes"] == counted["ordinal"] == len(toy_data.feature_columns)


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
    training = fitted(epochs=20, members=2, learning_rate=0.01)
    model, _ = train_model(Lesson(train, valid, encoder, training), data, plain_model(), NoCheckpoints())
    of_train, of_valid = (
        summarise_training(len(train), model.describe_predictions(part.tensors[0])["prediction"], encoder.target.labels)
        for part in (train, valid)
    )
    assert of_train != of_valid
    assert model.details["profile"] == (of_valid if n_valid else of_train)


def lesson_of(rows, data, **training) -> Lesson:
    clean, _ = check_rows(rows, data)
    encoder = fit_encoder(clean, data, EncodingOptions())
    tensors = build_tensors(clean, encoder)
    scheduler = {"name": "OneCycleLR", "step": "batch"}  # it has to know the number of epochs and batches
    return Lesson(tensors, tensors, encoder, TrainingOptions.model_validate({"scheduler": scheduler, **training}))


@pytest.mark.parametrize(("most_of_few", "numbers"), [(60, FEW), (59, MANY)])
@pytest.mark.parametrize("kind", ["mlp", "transformer"])
def test_auto_trains_to_the_bits_of_the_numbers_that_the_rows_choose(
    toy_rows, toy_data, monkeypatch, tmp_path, most_of_few, numbers, kind
):
    use_small_bands(monkeypatch, most_of_few)
    options = ModelOptions.model_validate(
        {"kind": kind, "blocks": 1, "token_width": 8, "heads": 2} if kind != "mlp" else {}
    )
    numbers = numbers if kind == "mlp" else {**numbers, "members": 1}
    by_rows, as_given = (
        train_model(lesson_of(toy_rows, toy_data, **training), toy_data, options, NoCheckpoints())
        for training in ({}, numbers)
    )
    assert by_rows[0].n_members == numbers["members"]
    assert by_rows[1].drop(columns="seconds").equals(as_given[1].drop(columns="seconds"))
    assert all(torch.equal(by_rows[0].weights[name], weights) for name, weights in as_given[0].weights.items())
    by_rows[0].save(tmp_path / "by_rows.safetensors")
    kept = load(tmp_path / "by_rows.safetensors").training
    assert kept.model_dump() == as_given[0].training.model_dump()
    assert {name: getattr(kept, name) for name in numbers} == numbers


def test_log_names_once_what_the_rows_choose_and_only_that(toy_rows, toy_data, monkeypatch, caplog):
    use_small_bands(monkeypatch, most_of_few=60)
    of_few = lesson_of(toy_rows, toy_data, epochs=2)
    of_many = lesson_of(pd.concat([toy_rows, toy_rows], ignore_index=True), toy_data, epochs=2)
    with_numbers = lesson_of(toy_rows, toy_data, **FEW)
    apart = lesson_of(toy_rows, toy_data, **{name: FEW[name] for name in FEW if name not in ("sharing", "refit")})
    caplog.clear()
    with caplog.at_level("INFO"):
        fit_lessons([of_few, of_many, of_few, with_numbers], plain_model())
        fit_lessons([apart], ModelOptions.model_validate({"kind": "transformer"}))
    assert [record.getMessage() for record in caplog.records] == [
        "training: for 60 rows of train: batches of 8 rows, a patience of 1 epoch, 2 members, a learning rate of 0.001",
        "training: for 120 rows of train: batches of 16 rows, a patience of 2 epochs, 3 members, a learning rate of 0.001",
    ]


def test_log_says_nothing_where_all_that_the_rows_choose_is_off(toy_rows, toy_data, caplog):
    lesson = lesson_of(toy_rows, toy_data, **{**USUAL, "sharing": "auto"})
    caplog.clear()
    with caplog.at_level("INFO"):
        fit_lessons([lesson], ModelOptions())
    assert caplog.records == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_models_beside_each_other_take_numbers_as_each_does_alone(toy_rows, toy_data, order):
    options = {"epochs": 2, "members": 2, "batch_size": 16}
    few_and_many = [lesson_of(rows, toy_data, **options) for rows in (toy_rows[:9], toy_rows)]
    lessons = [few_and_many[place] for place in order]
    alone = [train_model(lesson, toy_data, ModelOptions(widths=(4,)), NoCheckpoints())[0] for lesson in lessons]
    assert {model.model.numbers.kind for model in alone} == {"plain", "bins"}
    beside = train_models(lessons, toy_data, ModelOptions(widths=(4,)), NoCheckpoints())
    for (found, _), expected in zip(beside, alone, strict=True):
        assert found.model == expected.model
        assert found.weights.keys() == expected.weights.keys()
        assert all(torch.equal(found.weights[name], tensor) for name, tensor in expected.weights.items())


def test_checkpoint_is_of_another_training_where_the_rows_choose_other_numbers(toy_rows, toy_data, monkeypatch):
    def identity(most_of_few: int, **training) -> str:
        use_small_bands(monkeypatch, most_of_few)
        return identify(fit_lessons([lesson_of(toy_rows, toy_data, **training)], plain_model()))

    assert identity(60) == identity(60, **FEW) == identity(0, **FEW)
    assert identity(59) == identity(0, **MANY) != identity(60)


def test_memory_is_that_of_the_members_that_the_rows_choose(toy_rows, toy_data, monkeypatch):
    use_small_bands(monkeypatch, most_of_few=60)
    monkeypatch.setattr(memory, "total_bytes", lambda device: 32_000)
    train_model(lesson_of(toy_rows, toy_data), toy_data, plain_model(), NoCheckpoints())
    use_small_bands(monkeypatch, most_of_few=59)
    with pytest.raises(ValueError, match="lower training.members"):
        train_model(lesson_of(toy_rows, toy_data), toy_data, plain_model(), NoCheckpoints())


def test_estimate_of_memory_counts_all_copies_of_the_weights_that_a_training_holds(toy_data, monkeypatch):
    n_levels, held = 1_100, []
    rows = pd.DataFrame(
        {"size": "1", "place": [f"p{number % n_levels}" for number in range(2 * n_levels)], "price": "2"}
    )
    rows.loc[::2, "price"] = "3"
    remember = StackedRun._remember

    def storages() -> dict[int, int]:
        tensors = [
            each for each in gc.get_objects() if type(each) in (torch.Tensor, torch.nn.Parameter) and not each.is_sparse
        ]
        sizes = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}
        return {place: n_bytes for place, n_bytes in sizes.items() if n_bytes >= smallest}

    def count_after(run: StackedRun) -> None:
        remember(run)
        held.append(sum(n_bytes for place, n_bytes in storages().items() if place not in others))

    smallest = n_levels * 64 * 4  # bytes of the weights of a member's levels
    others = storages()  # of other tests
    monkeypatch.setattr(StackedRun, "_remember", count_after)
    lesson = lesson_of(rows, toy_data, epochs=2, batch_size=2_048, members=4, sharing="none", refit=False)
    trained, _ = train_model(lesson, toy_data, plain_model(), NoCheckpoints())
    copies = max(held) / sum(tensor.nbytes for tensor in trained.weights.values())
    assert memory.COPIES - 1 < copies <= memory.COPIES
