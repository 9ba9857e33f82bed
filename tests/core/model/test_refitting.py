import logging
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from tests.core.fitted import fitted, plain_model
from tests.core.training.test_fit import CPU, TARGET
from tests.core.training.test_fit import MODEL as NETWORK
from tests.core.training.test_saving import Losing, Memory
from torchlane.core.encoding.encoder import fit_encoder
from torchlane.core.encoding.tensors import build_tensors, fingerprint, join_rows
from torchlane.core.explaining.baselines import fit_baselines
from torchlane.core.explaining.evidence import gather_evidence
from torchlane.core.judging.evaluation import evaluate
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.model.learned import learned_parts
from torchlane.core.model.learning import Lesson, train_model, train_models
from torchlane.core.model.provenance import describe_provenance
from torchlane.core.model.refitting import fit_twice
from torchlane.core.model.trained import load
from torchlane.core.networks import build_model
from torchlane.core.options import (
    DiagnosisOptions,
    EncodingOptions,
    EvaluationOptions,
    SplitOptions,
)
from torchlane.core.rows.checking import check_rows
from torchlane.core.rows.splits import PARTS, rows_of, split_rows
from torchlane.core.search.chosen import no_change
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.members import make_members
from torchlane.core.training.observation import Observer

MODEL = plain_model(widths=(8,))
OPTIONS = {"epochs": 6, "members": 2, "learning_rate": 0.03, "batch_size": 16, "patience_epochs": 2}


@pytest.fixture
def toy(toy_rows, toy_data):
    """Give what a task is trained and judged on, with noise that makes early stopping act."""

    def make(task: str = "regression", **changes):
        data = toy_data if task == "regression" else toy_data.model_copy(update={"task": task, "target": "kind"})
        noisy = toy_rows.assign(price=toy_rows["price"].astype(int) + 1500 * (toy_rows.index % 7 == 0))
        clean, _ = check_rows(noisy.astype(str), data)
        splits = split_rows(clean, data, SplitOptions(valid_fraction=0.25))
        parts = {part: rows_of(part, clean, splits) for part in PARTS}
        encoder = fit_encoder(parts["train"], data, EncodingOptions())
        tensors = {part: build_tensors(rows, encoder) for part, rows in parts.items()}
        training = fitted(OPTIONS, **changes)
        lesson = Lesson(tensors["train"], tensors["valid"], encoder, training)
        return SimpleNamespace(data=data, clean=clean, splits=splits, tensors=tensors, lesson=lesson)

    return make


def refitted(lesson: Lesson) -> Lesson:
    return replace(lesson, training=lesson.training.model_copy(update={"refit": True}))


class OneRun:
    def __init__(self, checkpoints):
        self._checkpoints = checkpoints

    def of_run(self, identity):
        return self._checkpoints


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def direct(tensors, options, epochs):
    """Train on train and valid together, each member for so many epochs, without valid."""
    train, valid = tensors
    empty = TensorDataset(*(tensor[:0] for tensor in valid.tensors))
    made = make_members(
        lambda: build_model(NETWORK, 3, 1), join_rows(train, valid), empty, Objective.of(TARGET), options, CPU
    )
    for member, own in zip(made, epochs, strict=True):
        member.options = options.model_copy(update={"epochs": own})
    return fit(made, NoCheckpoints())


def twice(tensors, options, checkpoints=None, observer=None):
    def members(train, valid):
        return make_members(lambda: build_model(NETWORK, 3, 1), train, valid, Objective.of(TARGET), options, CPU)

    train, valid = tensors
    empty = TensorDataset(*(tensor[:0] for tensor in valid.tensors))
    return fit_twice(
        members(train, valid),
        range(options.members),
        lambda: members(join_rows(train, valid), empty),
        checkpoints or NoCheckpoints(),
        observer,
    )


@settings(max_examples=5, deadline=None)
@given(
    members=st.integers(1, 3),
    stacked=st.booleans(),
    seed=st.integers(0, 99),
    batch_size=st.sampled_from([7, 16, 200]),
    patience=st.integers(1, 3),
    optimizer=st.sampled_from(["SGD", "AdamW"]),
)
def test_refit_has_the_bits_of_a_training_on_all_rows_for_the_epochs_that_were_kept(
    members, stacked, seed, batch_size, patience, optimizer
):
    generator = torch.Generator().manual_seed(seed)
    features, targets = torch.randn(60, 3, generator=generator), torch.randn(60, 1, generator=generator)
    tensors = TensorDataset(features[:40], targets[:40]), TensorDataset(features[40:], targets[40:])
    options = fitted(
        {"members": members, "stacked": stacked, "seed": seed, "batch_size": batch_size, "epochs": 6,
         "patience_epochs": patience, "learning_rate": 0.03, "optimizer": {"name": optimizer}}
    )  # fmt: skip
    first, second = twice(tensors, options)
    kept = [int(each["kept"]["epoch"]) for each in first]
    for again, expected in zip(second, direct(tensors, options, kept), strict=True):
        assert same(again["weights"], expected["weights"])
        assert len(again["history"]) == len(expected["history"])


SCHEDULERS = [
    {"name": "OneCycleLR", "step": "batch"},
    {"name": "CosineAnnealingLR"},
    {"name": "LinearLR", "arguments": {"start_factor": 0.1}},
]


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda each: each["name"])
def test_schedule_of_a_refit_is_as_long_as_that_of_the_first_training(toy_tensors, scheduler):
    options = fitted({"members": 2, "epochs": 8, "patience_epochs": 1, "learning_rate": 0.1, "scheduler": scheduler})
    for first, second in zip(*twice(toy_tensors, options), strict=True):
        rates = [line["learning_rate"] for line in first["history"]][: len(second["history"])]
        assert len(second["history"]) == first["kept"]["epoch"] < 8
        assert [line["learning_rate"] for line in second["history"]] == pytest.approx(rates, rel=0.3, abs=1e-3)
        assert len(set(rates)) == len(rates)


@pytest.mark.parametrize(("stacked", "store"), [(True, Memory), (False, Losing)])
def test_training_cut_off_in_either_phase_ends_with_the_bits_of_one_that_was_not(toy_tensors, stacked, store):
    options = fitted(
        {"members": 2, "stacked": stacked, "checkpoint_minutes": 0, "epochs": 4, "patience_epochs": 2,
         "learning_rate": 0.1}
    )  # fmt: skip
    watching = DiagnosisOptions(overfit_steps=0)

    def run(checkpoints):
        observer = Observer(watching)
        observer.begin(
            make_members(lambda: build_model(NETWORK, 3, 1), *toy_tensors, Objective.of(TARGET), options, CPU)[0]
        )
        first, second = twice(toy_tensors, options, checkpoints, observer)
        return first, second, observer.lines

    expected = run(Memory())
    phases = set()
    for saves in range(1, 100, 5):
        checkpoints = store(saves)
        try:
            run(checkpoints)
            break
        except KeyboardInterrupt:
            pass
        phases.add("second" if "first" in (checkpoints.state or {}) else "first")
        checkpoints._left = None
        first, second, lines = run(checkpoints)
        assert checkpoints.retired
        for one, other in zip([*first, *second], [*expected[0], *expected[1]], strict=True):
            assert same(one["weights"], other["weights"]) and torch.equal(one["held_out"], other["held_out"])
            assert (
                pd.DataFrame(one["history"])
                .drop(columns="seconds")
                .equals(pd.DataFrame(other["history"]).drop(columns="seconds"))
            )
        assert lines == expected[2]
    assert phases == {"first", "second"}


def test_training_cut_off_in_its_refit_does_not_train_for_the_first_time_again(toy, caplog):
    lesson = refitted(toy(checkpoint_minutes=0).lesson)
    data = toy().data
    whole = Memory()
    _, history = train_model(lesson, data, MODEL, OneRun(whole))
    checkpoints = Losing(len(history))  # a state after each epoch of the first training, and one of the second
    with pytest.raises(KeyboardInterrupt):
        train_model(lesson, data, MODEL, OneRun(checkpoints))
    checkpoints._left = None
    caplog.clear()
    with caplog.at_level(logging.INFO):
        train_model(lesson, data, MODEL, OneRun(checkpoints))
    ended = [record.getMessage() for record in caplog.records if " epochs in " in record.getMessage()]
    assert len(ended) == 1 and "valid_loss" not in ended[0]
    assert "goes on after epoch 1" in caplog.text


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_what_is_said_of_valid_and_the_calibration_are_those_of_weights_that_have_not_seen_it(toy, task):
    setting = toy(task)
    (before, history), (after, history_after) = (
        train_model(each, setting.data, MODEL, NoCheckpoints()) for each in (setting.lesson, refitted(setting.lesson))
    )
    assert not same(after.weights, before.weights)
    assert after.calibration == before.calibration and after.calibration.n_rows == len(setting.lesson.valid)
    assert after.details["metrics"] == before.details["metrics"]
    assert after.details["profile"] == before.details["profile"]
    assert history_after.drop(columns="seconds").equals(history.drop(columns="seconds"))
    (first, _), (second, _) = (
        evaluate(each, setting.tensors, setting.clean, setting.splits) for each in (before, after)
    )
    assert second["valid"] == first["valid"]
    assert second["train"] != first["train"] and second["test"] != first["test"]
    options, split, none = EvaluationOptions(), SplitOptions(), pd.DataFrame(columns=["feature"])
    losses = []
    for model, metrics in ((before, first), (after, second)):
        baselines = fit_baselines(model, setting.tensors, setting.clean, setting.splits, options)
        losses.append(gather_evidence(model, setting.tensors, split, metrics, baselines, none, no_change()).losses)
    assert losses[0]["valid"] == losses[1]["valid"] and losses[0]["test"] != losses[1]["test"]


def test_model_says_what_it_was_refitted_on(toy, caplog):
    setting = toy()
    lesson = refitted(setting.lesson)
    with caplog.at_level(logging.INFO):
        model, history = train_model(lesson, setting.data, MODEL, NoCheckpoints())
    n_rows, n_valid = len(lesson.train) + len(lesson.valid), len(lesson.valid)
    epochs = model.details["refit"]["epochs"]
    assert model.details["refit"] == {"rows": n_rows, "valid_rows": n_valid, "epochs": epochs}
    kept = history.loc[history["members_kept"] > 0, "epoch"]
    assert sorted(set(epochs)) == kept.to_list()
    assert model.details["data_fingerprint"] == fingerprint(join_rows(lesson.train, lesson.valid))
    assert describe_provenance(model)["refit"] == model.details["refit"]
    assert learned_parts(model) == ("train", "valid")
    assert f"trained on {n_rows} rows" in repr(model)
    assert f"refit: 2 members once more on train and valid, {n_rows} rows, for " in caplog.text


def test_refitted_model_is_judged_on_valid_only_by_the_outputs_from_before(toy, tmp_path):
    setting = toy()
    model, _ = train_model(refitted(setting.lesson), setting.data, MODEL, NoCheckpoints())
    model.save(tmp_path / "model.safetensors")
    loaded = load(tmp_path / "model.safetensors")
    features = setting.tensors["test"].tensors[0]
    assert loaded.describe_predictions(features).equals(model.describe_predictions(features))
    judged = setting.tensors, setting.clean, setting.splits
    with pytest.raises(ValueError, match="refitted on valid, so only its outputs from before can judge it there"):
        evaluate(loaded, *judged)
    expected, _ = evaluate(model, *judged)
    assert evaluate(replace(loaded, valid_outputs=model.valid_outputs), *judged)[0] == expected
    without = {part: setting.tensors[part] for part in ("train", "test")}
    assert evaluate(loaded, without, setting.clean, setting.splits)[0]["test"] == expected["test"]


@pytest.mark.parametrize(("valid", "reason"), [("none", "valid has no rows"), ("train", "valid has the rows of train")])
def test_nothing_is_refitted_without_rows_that_train_lacks_and_this_is_said_once(toy, caplog, valid, reason):
    setting = toy()
    train = setting.lesson.train
    part = train if valid == "train" else TensorDataset(*(tensor[:0] for tensor in train.tensors))
    lesson = replace(setting.lesson, valid=part)
    expected, _ = train_model(lesson, setting.data, MODEL, NoCheckpoints())
    with caplog.at_level(logging.INFO):
        model, _ = train_model(refitted(lesson), setting.data, MODEL, NoCheckpoints())
    assert same(model.weights, expected.weights) and "refit" not in model.details
    assert caplog.text.count(f"refit: nothing to train on once more, since {reason}") == 1


def test_of_several_lessons_those_with_the_option_are_refitted_as_they_are_alone(toy):
    setting = toy(stacked=False)
    lessons = [setting.lesson, refitted(setting.lesson), setting.lesson]
    trained = [model for model, _ in train_models(lessons, setting.data, MODEL, NoCheckpoints())]
    alone, _ = train_model(refitted(setting.lesson), setting.data, MODEL, NoCheckpoints())
    assert same(trained[1].weights, alone.weights) and trained[1].details == alone.details
    assert same(trained[0].weights, trained[2].weights) and not same(trained[0].weights, alone.weights)


def test_weights_of_rows_count_in_a_refit(toy):
    setting = toy()
    lesson = refitted(setting.lesson)

    def with_weights(part: TensorDataset, weight: float) -> TensorDataset:
        return TensorDataset(*part.tensors, torch.full((len(part),), weight, dtype=torch.float64))

    def train(of_train: float, of_valid: float):
        encoder = lesson.encoder.model_copy(update={"weight": "size"})
        weighted = replace(
            lesson,
            train=with_weights(lesson.train, of_train),
            valid=with_weights(lesson.valid, of_valid),
            encoder=encoder,
        )
        return train_model(weighted, setting.data, MODEL, NoCheckpoints())[0].weights

    assert same(train(1, 1), train(2, 2))
    assert not same(train(1, 1), train(1, 5))


def test_linear_baseline_is_fitted_to_the_same_rows_as_the_model_that_it_is_compared_with(toy):
    setting = toy()
    found = {}
    for name, lesson in {"before": setting.lesson, "after": refitted(setting.lesson)}.items():
        model, _ = train_model(lesson, setting.data, MODEL, NoCheckpoints())
        found[name] = fit_baselines(model, setting.tensors, setting.clean, setting.splits, EvaluationOptions())[
            "linear"
        ]
    assert found["after"]["valid"] == found["before"]["valid"]
    assert found["after"]["test"] != found["before"]["test"]
    joined = {**setting.tensors, "train": join_rows(setting.tensors["train"], setting.tensors["valid"])}
    model, _ = train_model(setting.lesson, setting.data, MODEL, NoCheckpoints())
    expected = fit_baselines(model, joined, setting.clean, setting.splits, EvaluationOptions())["linear"]
    assert found["after"]["test"] == expected["test"]
