"""Weights of rows in training: stacked members, single ones, and tables whose rows are repeated."""

import math

import pytest
import torch
from torch.utils.data import TensorDataset

from tests.core.training.stacked.members import MODEL, distance, make_parts, member, same_bits, train
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.grouping import group_alike

PLAIN = MODEL.model_copy(update={"dropout": 0.0})
TASKS = ["regression", "binary", "multiclass"]


def weighted_parts(seed: int = 0, n_rows: int = 150, dtype=torch.float64, task: str = "regression", whole=False):
    """Train and valid with weights, some of them 0; `whole` ones are from 0 to 3."""
    parts = []
    for number, part in enumerate(make_parts(seed, n_rows, dtype)):
        features, targets = part.tensors
        if task == "binary":
            targets = (targets > 0).to(dtype)
        elif task == "multiclass":
            targets = targets.flatten().round().clamp(-1, 1).long() + 1
        generator = torch.Generator().manual_seed(100 * seed + number)
        weights = torch.randint(0, 4, (len(features),), generator=generator).double()
        if not whole:
            weights *= torch.rand(len(weights), generator=generator, dtype=torch.float64).exp()
        parts.append(TensorDataset(features, targets, weights))
    return tuple(parts)


def repeated(part: TensorDataset) -> TensorDataset:
    """Each row as often as its weight says."""
    features, targets, weights = part.tensors
    return TensorDataset(*(each.repeat_interleave(weights.long(), 0) for each in (features, targets)))


def same_kept(one, other, tolerance=1e-8):
    for name, value in one["kept"].items():
        assert name == "seconds" or value == pytest.approx(other["kept"][name], abs=tolerance), name


@pytest.mark.parametrize("task", TASKS)
def test_stacked_members_with_weights_end_where_they_end_alone(task):
    parts = weighted_parts(task=task)
    members = [
        member(seed, MODEL, parts, task, learning_rate=rate, patience_epochs=3, clip_norm=1.0)
        for seed, rate in enumerate([0.001, 0.003, 0.01])
    ]
    assert len(group_alike(members)) == 1
    for one, outcome in zip(members, train(*members), strict=True):
        (alone,) = train(one)
        assert len(outcome["history"]) == len(alone["history"])
        assert distance(outcome, alone) < 1e-8
        torch.testing.assert_close(outcome["held_out"], alone["held_out"], atol=1e-8, rtol=0)
        same_kept(outcome, alone)


def test_members_with_rows_and_weights_of_their_own_are_stacked_too():
    members = [member(seed, MODEL, weighted_parts(seed, 120 + 7 * seed), learning_rate=0.01) for seed in range(3)]
    for one, outcome in zip(members, train(*members), strict=True):
        (alone,) = train(one)
        assert distance(outcome, alone) < 1e-8
        same_kept(outcome, alone)


def test_members_with_and_without_weights_do_not_share_a_stack():
    members = [member(0, MODEL, weighted_parts()), member(1, MODEL, make_parts(dtype=torch.float64))]
    assert group_alike(members) == [[0], [1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_of_a_member_with_weights_do_not_depend_on_its_company(dtype):
    parts = weighted_parts(dtype=dtype)
    probe = member(7, MODEL, parts, epochs=4, clip_norm=1.0)
    company = [member(seed, MODEL, parts, learning_rate=0.001 * seed, epochs=4, clip_norm=1.0) for seed in range(1, 6)]
    with_twin = train(probe, probe)[0]
    for others in ([company[0]], company):
        assert same_bits(train(probe, *others)[0], with_twin)
        assert same_bits(train(*others, probe)[-1], with_twin)


@pytest.mark.parametrize("together", [1, 2], ids=["alone", "stacked"])
@pytest.mark.parametrize("task", TASKS)
def test_whole_table_of_whole_weights_trains_as_its_repeated_rows_do(task, together):
    parts = weighted_parts(task=task, whole=True)
    changes = {"batch_size": 1000, "learning_rate": 0.01, "optimizer": {"name": "Adam"}}
    ends = []
    for each in (parts, tuple(map(repeated, parts))):
        members = [member(seed, PLAIN, each, task, **changes) for seed in range(together)]
        ends.append(train(*members)[-1])
    assert distance(*ends) < 1e-8
    same_kept(*ends)
    unweighted = tuple(TensorDataset(*part.tensors[:2]) for part in parts)
    plain = train(*(member(seed, PLAIN, unweighted, task, **changes) for seed in range(together)))[-1]
    assert distance(ends[0], plain) > 1e-3


@pytest.mark.parametrize("together", [1, 2], ids=["alone", "stacked"])
def test_scale_of_weights_changes_nothing(together):
    ends = []
    for scale in (1.0, 2.0**-700, 2.0**30, 0.37):
        parts = tuple(TensorDataset(*part.tensors[:2], scale * part.tensors[2]) for part in weighted_parts())
        ends.append(train(*(member(seed, MODEL, parts, learning_rate=0.01) for seed in range(together)))[-1])
    assert same_bits(ends[0], ends[1]) and same_bits(ends[0], ends[2])
    assert distance(ends[0], ends[3]) < 1e-8


@pytest.mark.parametrize("together", [1, 2], ids=["alone", "stacked"])
def test_batches_in_which_nothing_counts_change_no_loss_to_nan(together):
    train_part, valid = weighted_parts()
    weights = torch.zeros(len(train_part), dtype=torch.float64)
    weights[0] = 5.0
    parts = TensorDataset(*train_part.tensors[:2], weights), valid
    for outcome in train(*(member(seed, MODEL, parts, batch_size=4) for seed in range(together))):
        assert all(math.isfinite(line["train_loss"]) for line in outcome["history"])


def test_weights_that_are_all_0_are_refused():
    train_part, valid = weighted_parts()
    parts = TensorDataset(*train_part.tensors[:2], torch.zeros(len(train_part), dtype=torch.float64)), valid
    with pytest.raises(ValueError, match="all 110 rows have weight 0.*above 0"):
        train(member(0, MODEL, parts))


def test_balanced_classes_count_the_weights_of_their_rows():
    target = TargetEncoder(name="y", task="multiclass", labels=("a", "b", "c"), counts=(9, 1, 2))
    weighted = target.model_copy(update={"weights": (1.0, 8.0, 3.0)})
    repeats = TargetEncoder(name="y", task="multiclass", labels=("a", "b", "c"), counts=(1, 8, 3))
    balanced = {"class_weights": "balanced"}
    found, expected, plain = (_class_weights_of(each, balanced) for each in (weighted, repeats, target))
    assert found == expected != plain


def _class_weights_of(target: TargetEncoder, loss: dict) -> list[float]:
    from torchlane.core.options import LossOptions

    return Objective.of(target, LossOptions.model_validate(loss)).criterion.weight.tolist()
