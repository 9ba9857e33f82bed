"""Members that share weights train as one module, and are ordinary perceptrons afterwards."""

import math
from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from tests.core.fitted import plain_model
from tests.core.training.stacked.members import make_parts
from tests.core.training.test_saving import Memory
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.networks import build_model
from torchlane.core.options import DiagnosisOptions, ModelOptions, TrainingOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.grouping import plan_groups
from torchlane.core.training.history import mean_history
from torchlane.core.training.members import Member, Outcome, make_members
from torchlane.core.training.observation import Observer
from torchlane.core.training.plain_run import PlainRun

CPU = torch.device("cpu")
MODEL = plain_model(widths=(12, 8), dropout=0.2)
SCHEDULER = {"name": "ReduceLROnPlateau", "arguments": {"patience": 0}}
TARGETS = {
    "regression": TargetEncoder(name="y", task="regression"),
    "binary": TargetEncoder(name="y", task="binary", labels=("a", "b"), counts=(60, 50)),
    "multiclass": TargetEncoder(name="y", task="multiclass", labels=("a", "b", "c"), counts=(40, 40, 30)),
}


def parts_of(task: str, n_rows: int = 90) -> tuple[TensorDataset, ...]:
    parts = []
    for features, values in (part.tensors for part in make_parts(n_rows=n_rows)):
        classes = torch.bucketize(values, torch.tensor([-0.3] if task == "binary" else [-0.3, 0.5]))
        targets = {"regression": values, "binary": classes.float(), "multiclass": classes.flatten()}[task]
        parts.append(TensorDataset(features, targets, torch.linspace(0.5, 1.5, len(values))))
    return tuple(parts)


def make(task: str = "regression", model: ModelOptions = MODEL, parts=None, **changes: Any) -> list[Member]:
    given = {"members": 3, "sharing": "columns", "epochs": 6, "batch_size": 16, "learning_rate": 0.02}
    given |= {"patience_epochs": None, **changes}
    options = TrainingOptions.model_validate(given)
    train, valid = parts or parts_of(task)
    objective = Objective.of(TARGETS[task], options.loss)
    width = objective.task.width(len(TARGETS[task].labels))
    return make_members(lambda: build_model(model, 13, width), train, valid, objective, options, CPU)


def run(members: list[Member], **arguments: Any) -> list[Outcome]:
    return fit(members, NoCheckpoints(), **arguments)


def same(one: Outcome, other: Outcome) -> bool:
    lines = [[{**line, "seconds": 0} for line in each["history"]] for each in (one, other)]
    return (
        lines[0] == lines[1]
        and torch.equal(one["held_out"], other["held_out"])
        and all(torch.equal(tensor, other["weights"][name]) for name, tensor in one["weights"].items())
    )


def outputs_of(members: list[Member], outcomes: list[Outcome], features: torch.Tensor) -> torch.Tensor:
    found = []
    for member, outcome in zip(members, outcomes, strict=True):
        member.model.load_state_dict(outcome["weights"])
        with torch.no_grad():
            found.append(member.model.eval()(features))
    return torch.stack(found)


@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("sharing", ["tabm", "tabm_mini", "columns"])
def test_each_member_is_a_perceptron_with_the_losses_that_its_branch_had(task, sharing):
    members = make(task, sharing=sharing)
    outcomes = run(members)
    features, targets, weights = members[0].valid.tensors
    outputs = outputs_of(members, outcomes, features)
    for outcome, own in zip(outcomes, outputs, strict=True):
        assert outcome["weights"].keys() == members[0].model.state_dict().keys()
        loss = members[0].objective.loss(own, targets, weights)
        assert loss == pytest.approx(outcome["kept"]["valid_loss"], rel=1e-4)
        assert len(outcome["history"]) == 6
        assert outcome["history"][-1]["train_loss"] < outcome["history"][0]["train_loss"]
    assert len({outcome["kept"]["epoch"] for outcome in outcomes}) == 1
    assert len({outcome["kept"]["valid_loss"] for outcome in outcomes}) == 3


def outputs_now(members, features):
    """Compute what the branches say as they are now: (branches, n_rows, width)."""
    shared = members[0].shared
    assert shared is not None
    with torch.no_grad():
        return shared.eval()(features)


@pytest.mark.parametrize("task", TARGETS)
def test_best_epoch_is_that_of_the_joint_prediction(task):
    members = make(task, epochs=8, learning_rate=0.1)
    trainer, joint_losses = PlainRun(members, None, keep_going=False), []
    features, targets, weights = members[0].valid.tensors
    for _ in trainer.epochs():
        predictions = outputs_now(members, features)
        if task == "regression":
            losses = (predictions.double().mean(0) - targets).square().flatten()
        else:
            p = predictions.double().sigmoid() if task == "binary" else predictions.double().softmax(-1)
            p = torch.cat([1 - p, p], dim=-1).mean(0) if task == "binary" else p.mean(0)
            losses = -p.gather(1, targets.long().view(-1, 1)).log().flatten()
        joint_losses.append(float(losses @ weights.double() / weights.sum()))
    best = 1 + min(range(8), key=joint_losses.__getitem__)
    assert {outcome["kept"]["epoch"] for outcome in trainer.outcomes()} == {best}
    assert trainer._best_loss == pytest.approx(min(joint_losses), rel=1e-6)


def test_patience_waits_for_the_joint_prediction():
    outcomes = run(make(epochs=60, patience_epochs=2, learning_rate=0.1))
    assert len(outcomes[0]["history"]) == outcomes[0]["kept"]["epoch"] + 2 < 60


def test_held_out_outputs_are_those_of_the_epoch_that_the_joint_prediction_of_other_rows_chooses():
    members = make(epochs=8, learning_rate=0.1, members=2)
    trainer, seen = PlainRun(members, None, keep_going=False), []
    features, targets, weights = members[0].valid.tensors
    for _ in trainer.epochs():
        seen.append(outputs_now(members, features).double().squeeze(-1))
    outputs = torch.stack(seen)  # (epochs, members, n_rows)
    losses = (outputs.mean(1) - targets.double().T).square() * weights
    others = losses.sum(1, keepdim=True) - losses
    chosen = others.argmin(0)
    assert len(chosen.unique()) > 1
    for member, outcome in enumerate(trainer.outcomes()):
        expected = outputs[chosen, member, torch.arange(len(chosen))]
        torch.testing.assert_close(outcome["held_out"], expected, rtol=1e-5, atol=1e-6)


def test_same_seed_gives_the_same_bits_alone_and_beside_another_model():
    alone = run(make(seed=3))
    beside = run([*make(seed=9), *make(seed=3), *make(seed=4, sharing="none")])[3:6]
    assert all(map(same, alone, beside))
    assert not any(map(same, alone, run(make(seed=4))))


@pytest.mark.parametrize("die_after", [1, 4, 8])
def test_a_training_cut_off_ends_with_the_bits_of_one_that_was_not(die_after):
    changes = {"checkpoint_minutes": 0, "scheduler": SCHEDULER}
    expected = run([*make(**changes), *make(seed=7, **changes)])
    memory = Memory(die_after)
    with pytest.raises(KeyboardInterrupt):
        fit([*make(**changes), *make(seed=7, **changes)], memory)
    memory._left = None
    resumed = fit([*make(**changes), *make(seed=7, **changes)], memory)
    assert all(map(same, expected, resumed))


def test_all_end_once_a_search_gives_all_of_them_up():
    asked = []

    def stop(epoch, kept):
        asked.append((epoch, sorted(kept)))
        return {0, 1} if epoch == 2 else set(kept) if epoch == 4 else set()

    outcomes = run(make(), stop=stop)
    assert asked == [(epoch, [0, 1, 2]) for epoch in range(1, 5)]
    assert [len(outcome["history"]) for outcome in outcomes] == [4, 4, 4]


def test_a_training_that_explodes_fails_alone_if_the_others_are_to_go_on():
    parts = parts_of("regression")
    for part in parts:
        part.tensors[0][:, 0] = 1e30
    with pytest.raises(ValueError, match="lower training.learning_rate"):
        run(make(parts=parts))
    outcomes = run([*make(parts=parts), *make()], keep_going=True)
    assert [bool(outcome["error"]) for outcome in outcomes] == [True] * 3 + [False] * 3


def test_without_valid_the_last_weights_are_kept():
    train, valid = parts_of("regression")
    outcomes = run(make(parts=(train, TensorDataset(*(tensor[:0] for tensor in valid.tensors)))))
    assert [outcome["kept"]["epoch"] for outcome in outcomes] == [6] * 3
    assert all(math.isnan(outcome["kept"]["valid_loss"]) for outcome in outcomes)


def test_history_has_the_mean_and_the_spread_of_the_members():
    outcomes = run(make())
    history = mean_history(outcomes)
    assert history["members"].tolist() == [3] * 6
    assert history["members_kept"].sum() == 3
    losses = [outcome["history"][2]["valid_loss"] for outcome in outcomes]
    assert history["valid_loss"][2] == pytest.approx(sum(losses) / 3)
    assert (history["valid_loss_spread"] > 0).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"clip_norm": 0.1},
        {"exact": False, "precision": "bfloat16"},
        {"scheduler": {"name": "OneCycleLR", "step": "batch"}},
        {"optimizer": {"name": "SGD", "arguments": {"momentum": 0.9}}},
        {"loss": {"class_weights": "balanced", "label_smoothing": 0.2}},
    ],
)
def test_options_of_training_have_an_effect_and_loss_falls(changes):
    plain, changed = run(make("multiclass", seed=2)), run(make("multiclass", seed=2, **changes))
    assert not any(map(same, plain, changed))
    assert changed[0]["history"][-1]["train_loss"] < changed[0]["history"][0]["train_loss"]


def test_batch_norm_has_statistics_of_each_member():
    members = make(model=MODEL.model_copy(update={"batch_norm": True}))
    outcomes = run(members)
    features, targets, weights = members[0].valid.tensors
    outputs = outputs_of(members, outcomes, features)
    for outcome, own in zip(outcomes, outputs, strict=True):
        loss = members[0].objective.loss(own, targets, weights)
        assert loss == pytest.approx(outcome["kept"]["valid_loss"], rel=1e-4)
    means = [outcome["weights"]["batch_norm_1.running_mean"] for outcome in outcomes]
    assert not torch.allclose(means[0], means[1])


def test_members_start_as_the_branches_and_the_first_one_is_observed_as_a_perceptron():
    members = make(members=2)
    features = members[0].train.tensors[0]
    shared = members[0].shared
    assert shared is not None
    outputs = shared.eval()(features)
    for member, own in zip(members, outputs, strict=True):
        torch.testing.assert_close(member.model.eval()(features), own, rtol=1e-4, atol=1e-5)
    observer = Observer(DiagnosisOptions(overfit_steps=0))
    observer.begin(members[0])
    fit(members, NoCheckpoints(), observer=observer)
    ratios = [line["update_ratio"] for line in observer.lines if line["layer"] == "linear_1" and line["epoch"] == 1]
    assert len(ratios) == 1
    assert 0 < ratios[0] < 0.1


def test_a_single_member_shares_nothing():
    (member,) = make(members=1)
    assert member.shared is None
    (plain,) = run(make(members=1, sharing="none"))
    (single,) = run([member])
    assert same(plain, single)


def test_members_of_one_model_are_one_group_whatever_their_optimizer():
    members = [*make(optimizer={"name": "NAdam"}), *make(stacked=False)]
    assert plan_groups(members) == [([0, 1, 2], None), ([3, 4, 5], None)]
