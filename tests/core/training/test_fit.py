import itertools
import threading
import time
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.core.fitted import fitted, plain_model
from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.machine.checkpoints import NoCheckpoints
from torchlane.core.machine.threads import threads_for, torch_threads
from torchlane.core.networks import build_model
from torchlane.core.options import FittedTraining, ModelOptions
from torchlane.core.tasks.objectives import Objective
from torchlane.core.training.fit import fit
from torchlane.core.training.history import mean_history, mean_metrics
from torchlane.core.training.members import Weights, make_members

TARGET = TargetEncoder(name="y", task="regression")
MODEL = plain_model(widths=(8, 4), dropout=0.2, batch_norm=True)
CPU = torch.device("cpu")


def options(**changes: Any) -> FittedTraining:
    return fitted({"epochs": 6, "batch_size": 16, "patience_epochs": None, **changes})


@dataclass
class Fitted:
    weights: list[Weights]
    history: pd.DataFrame
    metrics: dict[str, float]


def train(tensors, changes: dict[str, Any], model: ModelOptions = MODEL, checkpoints: Any = None) -> Fitted:
    chosen = options(**changes)
    objective = Objective.of(TARGET, chosen.loss)
    members = make_members(lambda: build_model(model, 3, 1), *tensors, objective, chosen, CPU)
    outcomes = fit(members, checkpoints or NoCheckpoints())
    return Fitted([each["weights"] for each in outcomes], mean_history(outcomes), mean_metrics(outcomes))


def plain_loop(tensors, chosen: FittedTraining, make_optimizer, make_scheduler=None) -> tuple[dict, list[float]]:
    with torch_threads(threads_for(lambda: 0)):  # as many as narrow steps take: the bits of batch norm depend on it
        return plain_loop_on_these_threads(tensors, chosen, make_optimizer, make_scheduler)


def plain_loop_on_these_threads(tensors, chosen, make_optimizer, make_scheduler) -> tuple[dict, list[float]]:
    torch.manual_seed(chosen.seed)
    model = build_model(MODEL, 3, 1)
    optimizer = make_optimizer(model.parameters())
    scheduler = make_scheduler(optimizer) if make_scheduler else None
    loader = DataLoader(tensors[0], batch_size=chosen.batch_size, shuffle=True)
    valid_losses = []
    for _ in range(chosen.epochs):
        model.train()
        for features, targets in loader:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(features), targets)
            loss.backward()
            optimizer.step()
        if scheduler:
            scheduler.step()
        model.eval()
        with torch.no_grad():
            features, targets = tensors[1].tensors
            valid_losses.append(float(nn.functional.mse_loss(model(features).double(), targets.double())))
    return model.state_dict(), valid_losses


OPTIMIZERS = {
    "SGD": {"weight_decay": 0.01},
    "SGD with momentum": {"momentum": 0.9, "nesterov": True},
    "Adam": {"weight_decay": 0.01},
    "AdamW": {},
    "RMSprop": {"momentum": 0.5},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("scheduled", [False, True])
def test_one_member_has_the_bits_of_the_plain_loop(toy_tensors, name, scheduled):
    optimizer, arguments = name.split()[0], OPTIMIZERS[name]
    scheduler = {"name": "StepLR", "arguments": {"step_size": 2, "gamma": 0.5}} if scheduled else None
    changes = {
        "optimizer": {"name": optimizer, "arguments": arguments},
        "learning_rate": 0.01,
        "seed": 5,
        "scheduler": scheduler,
    }
    # Early stopping that never strikes: the weights kept are those of the last epoch only without valid.
    fitted = train((toy_tensors[0], TensorDataset(torch.empty(0, 3), torch.empty(0, 1))), changes)
    with_valid = train(toy_tensors, changes)
    weights, valid_losses = plain_loop(
        toy_tensors,
        options(**changes),
        lambda parameters: getattr(torch.optim, optimizer)(parameters, lr=0.01, **arguments),
        (lambda made: torch.optim.lr_scheduler.StepLR(made, 2, 0.5)) if scheduled else None,
    )
    assert set(weights) == set(fitted.weights[0])
    for key, expected in weights.items():
        assert torch.equal(fitted.weights[0][key], expected), key
    assert with_valid.history["valid_loss"].tolist() == valid_losses


def test_history_has_a_line_an_epoch_with_losses_metric_rate_and_seconds(toy_tensors):
    history = train(toy_tensors, {"members": 2}).history
    assert list(history) == [
        "epoch", "train_loss", "valid_loss", "train_r2_score", "valid_r2_score", "learning_rate", "seconds",
        "train_loss_spread", "valid_loss_spread", "train_r2_score_spread", "valid_r2_score_spread",
        "members", "members_kept",
    ]  # fmt: skip
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert (history["train_loss_spread"] > 0).all()
    assert (history["learning_rate"] == 1e-3).all()


def test_seconds_of_members_add_up_and_are_each_ones_own(toy_tensors, monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))
    for stacked, share in ((True, 0.5), (False, 1.0)):
        chosen = options(members=2, stacked=stacked, epochs=2)
        members = make_members(lambda: build_model(MODEL, 3, 1), *toy_tensors, Objective.of(TARGET), chosen, CPU)
        outcomes = fit(members, NoCheckpoints())
        assert [line["seconds"] for outcome in outcomes for line in outcome["history"]] == [share] * 4
        assert mean_history(outcomes)["seconds"].tolist() == [2 * share] * 2


def test_loss_falls_on_what_can_be_learned(toy_tensors):
    fitted = train(toy_tensors, {"epochs": 150, "learning_rate": 0.01}, plain_model(widths=(16,)))
    assert fitted.history["valid_loss"].iloc[-1] < 0.1 * fitted.history["valid_loss"].iloc[0]
    assert fitted.metrics["valid_r2_score"] > 0.95


def test_patience_ends_training_and_the_best_weights_come_back(toy_tensors):
    changes = {"epochs": 500, "patience_epochs": 3, "learning_rate": 0.05}
    stopped = train(toy_tensors, changes)
    losses = stopped.history["valid_loss"].tolist()
    assert len(losses) < 500
    assert min(losses) == losses[-4] == stopped.metrics["valid_loss"]
    best_only = train(toy_tensors, {**changes, "epochs": len(losses) - 3, "patience_epochs": None})
    for key, expected in best_only.weights[0].items():
        assert torch.equal(stopped.weights[0][key], expected)


@pytest.mark.parametrize("stacked", [True, False])
def test_members_differ_and_each_follows_its_own_seed(toy_tensors, stacked):
    optimizer = {"name": "SGD"}  # Adam makes much of the rounding errors in the gradient of a bias before batch norm
    together = train(toy_tensors, {"members": 3, "seed": 7, "stacked": stacked, "optimizer": optimizer})
    alone = train(toy_tensors, {"members": 1, "seed": 9, "optimizer": optimizer})
    assert not torch.equal(together.weights[0]["head.weight"], together.weights[1]["head.weight"])
    for key, expected in alone.weights[0].items():
        torch.testing.assert_close(together.weights[2][key], expected, rtol=0, atol=1e-6 if stacked else 0)


def test_the_global_generator_is_left_as_it_was(toy_tensors):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    train(toy_tensors, {})
    assert torch.equal(torch.get_rng_state(), before)


def test_trainings_in_threads_have_the_bits_they_have_alone(toy_tensors):
    expected = [train(toy_tensors, {"seed": seed}).weights[0] for seed in range(3)]
    found: dict[int, dict] = {}
    threads = [
        threading.Thread(target=lambda seed=seed: found.update({seed: train(toy_tensors, {"seed": seed}).weights[0]}))
        for seed in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, weights in enumerate(expected):
        assert all(torch.equal(found[seed][key], tensor) for key, tensor in weights.items())


def test_loss_that_is_no_number_stops_with_epoch_and_likely_causes(toy_tensors):
    with pytest.raises(
        ValueError, match=r"the training loss is (nan|inf) after epoch \d+ at learning rate 1e\+10: .*learning_rate"
    ):
        train(
            toy_tensors,
            {"learning_rate": 1e10, "optimizer": {"name": "SGD"}},
            plain_model(widths=(8,), activation=None),
        )


def test_loss_of_another_task_is_refused():
    with pytest.raises(
        ValueError, match="training.loss 'cross_entropy' is not a loss for regression; choose one of mse, l1, huber"
    ):
        Objective.of(TARGET, "cross_entropy")


def test_batch_larger_than_the_data_is_one_batch(toy_tensors):
    fitted = train(toy_tensors, {"batch_size": 10_000, "epochs": 2})
    assert len(fitted.history) == 2


def test_schedule_longer_than_the_run_is_cut(toy_tensors):
    scheduler = {"name": "CosineAnnealingLR", "arguments": {"T_max": 1000}}
    rates = train(toy_tensors, {"scheduler": scheduler}).history["learning_rate"]
    assert rates.is_monotonic_decreasing
    assert rates.iloc[-1] > 0.9e-3


def test_free_training_learns_and_repeats_itself(toy_tensors):
    changes = {"exact": False, "epochs": 40, "learning_rate": 0.01}
    first, again = train(toy_tensors, changes), train(toy_tensors, changes)
    assert first.metrics["valid_r2_score"] > 0.8
    assert all(torch.equal(again.weights[0][key], tensor) for key, tensor in first.weights[0].items())
