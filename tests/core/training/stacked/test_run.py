import copy
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from tests.core.training.stacked.members import MODEL, distance, make_parts, member, same_bits, train
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.training.fit import fit

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"name": "SGD", "arguments": {"weight_decay": 0.01}},
    "SGD with momentum": {"name": "SGD", "arguments": {"momentum": 0.9, "weight_decay": 0.01}},
    "Nesterov": {"name": "SGD", "arguments": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}},
    "Adam": {"name": "Adam", "arguments": {"weight_decay": 0.01}},
    "AdamW": {"name": "AdamW", "arguments": {"weight_decay": 0.1}},
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize(
    ("batch_norm", "dtype", "tolerance"),
    [
        (False, torch.float64, 1e-8),
        (False, torch.float32, 1e-5),
        (True, torch.float64, 1e-8),  # in float32 a bias before batch norm has a gradient of rounding errors alone
    ],
)
def test_stacked_member_ends_where_it_ends_alone(optimizer, dtype, tolerance, batch_norm):
    parts = make_parts(dtype=dtype)
    model = MODEL.model_copy(update={"batch_norm": batch_norm})
    members = [
        member(seed, model, parts, optimizer=optimizer, learning_rate=rate, patience_epochs=3)
        for seed, rate in enumerate([0.001, 0.003, 0.01, 0.02])
    ]
    together = train(*members)
    for one, outcome in zip(members, together, strict=True):
        (alone,) = train(one)
        assert len(outcome["history"]) == len(alone["history"])
        assert distance(outcome, alone) < tolerance
        assert outcome["kept"]["valid_loss"] == pytest.approx(alone["kept"]["valid_loss"], abs=tolerance)


ACTIVATIONS = ["GELU", "ReLU", "Tanh", "PReLU", "SiLU", "Sigmoid", "ELU", "Softplus", None]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_of_a_member_do_not_depend_on_its_company(activation, dtype):
    parts = make_parts(dtype=dtype)
    model = MODEL.model_copy(update={"activation": activation, "batch_norm": True})
    changes = {"epochs": 4, "clip_norm": 1.0}
    probe = member(7, model, parts, **changes)
    company = [member(seed, model, parts, learning_rate=0.001 * seed, **changes) for seed in range(1, 12)]
    with_twin = train(probe, probe)[0]
    for others in ([company[0]], company[1:3], company):
        assert same_bits(train(probe, *others)[0], with_twin)
        assert same_bits(train(*others, probe)[-1], with_twin)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_are_stacked_as_well(task):
    features = make_parts(dtype=torch.float64)[0].tensors[0]
    targets = features[:, 0].round().clamp(-1, 1).long() + 1 if task == "multiclass" else (features[:, :1] > 0).double()
    parts = (TensorDataset(features[:70], targets[:70]), TensorDataset(features[70:], targets[70:]))
    members = [member(seed, MODEL, parts, task, learning_rate=0.01) for seed in range(3)]
    for one, outcome in zip(members, train(*members), strict=True):
        (alone,) = train(one)
        assert distance(outcome, alone) < 1e-8
        for name, value in outcome["kept"].items():
            assert name == "seconds" or value == pytest.approx(alone["kept"][name], abs=1e-8)


def test_members_may_have_rows_options_and_dropout_of_their_own():
    different = [make_parts(seed, 120 + 7 * seed, torch.float64) for seed in range(3)]
    models = [MODEL.model_copy(update={"dropout": rate}) for rate in (0.0, 0.2, 0.5)]
    settings = [
        {"epochs": 4, "optimizer": {"name": "AdamW", "arguments": {"weight_decay": 0.3}}},
        {"epochs": 9, "optimizer": {"name": "AdamW", "arguments": {"betas": (0.8, 0.99)}}},
        {"epochs": 7, "patience_epochs": 1, "learning_rate": 0.05},
    ]
    members = [
        member(seed, model, parts, **changes)
        for seed, (model, parts, changes) in enumerate(zip(models, different, settings, strict=True))
    ]
    for one, outcome in zip(members, train(*members), strict=True):
        (alone,) = train(one)
        assert len(outcome["history"]) == len(alone["history"])
        assert distance(outcome, alone) < 1e-8


SCHEDULERS = [
    {"name": "OneCycleLR", "step": "batch"},
    {"name": "CosineAnnealingLR"},
    {"name": "ReduceLROnPlateau", "arguments": {"patience": 0}},
]


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda each: each["name"])
def test_each_member_follows_its_own_schedule(scheduler):
    parts = make_parts(dtype=torch.float64)
    members = [
        member(seed, MODEL, parts, scheduler=scheduler, learning_rate=0.005 * (seed + 1), optimizer={"name": "SGD"})
        for seed in range(3)
    ]
    for one, outcome in zip(members, train(*members), strict=True):
        (alone,) = train(one)
        rates = [line["learning_rate"] for line in alone["history"]]
        assert [line["learning_rate"] for line in outcome["history"]] == pytest.approx(rates)
        assert distance(outcome, alone) < 1e-8


BY_BATCH = [
    {"name": "OneCycleLR", "step": "batch"},
    {"name": "CosineAnnealingLR", "step": "batch"},
    {"name": "CyclicLR", "step": "batch", "arguments": {"base_lr": 1e-4, "max_lr": 0.02, "step_size_up": 3}},
]


@pytest.mark.parametrize("scheduler", BY_BATCH, ids=lambda each: each["name"])
@pytest.mark.parametrize("optimizer", ["SGD with momentum", "AdamW"])
def test_schedules_by_batch_part_members_that_begin_with_the_same_rate(scheduler, optimizer):
    changes = {"scheduler": scheduler, "learning_rate": 0.01, "optimizer": OPTIMIZERS[optimizer]}
    members = [
        member(seed, MODEL, make_parts(seed, n_rows, torch.float64), epochs=epochs, **changes)
        for seed, (n_rows, epochs) in enumerate([(150, 3), (150, 6), (90, 3)])
    ]
    for one, outcome in zip(members, train(*members), strict=True):
        assert distance(outcome, train(one)[0]) < 1e-8


def test_optimizers_without_a_stacked_step_train_members_one_after_another(caplog):
    members = [member(seed, optimizer={"name": "NAdam"}) for seed in range(2)]
    with caplog.at_level("INFO"):
        together = train(*members)
    assert "optimizer NAdam with these arguments is not stacked; SGD, Adam and AdamW are" in caplog.text
    assert same_bits(together[1], train(members[1])[0])


def test_stacked_false_gives_each_member_the_bits_of_the_plain_loop():
    members = [member(seed, stacked=False) for seed in range(2)]
    assert same_bits(train(*members)[1], train(members[1])[0])


def test_a_member_that_fails_leaves_and_the_others_go_on_where_asked():
    members = [member(seed, learning_rate=rate, optimizer={"name": "SGD"}) for seed, rate in enumerate([0.01, 1e12])]
    with pytest.raises(ValueError, match="the training loss is (nan|inf) after epoch"):
        train(*members)
    sound, failed = fit(copy.deepcopy(members), NoCheckpoints(), keep_going=True)
    assert sound["error"] == "" and len(sound["history"]) == 10
    assert "learning rate 1e+12" in failed["error"]
    assert same_bits(sound, train(members[0], members[0])[0])


def test_members_stop_when_told_to():
    members = [member(seed) for seed in range(3)]
    outcomes = fit(
        copy.deepcopy(members),
        NoCheckpoints(),
        stop=lambda epoch, kept: {1} if epoch == 4 else set(),
    )
    assert [len(outcome["history"]) for outcome in outcomes] == [10, 4, 10]
