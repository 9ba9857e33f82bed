"""One run that trains a single member, bit for bit as the plain PyTorch loop does."""

import copy
import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from torchlane.core.encoding.tensors import with_relative_weights
from torchlane.core.layers.coded import rows_at_once
from torchlane.core.machine import interruption
from torchlane.core.machine.checkpoints import State
from torchlane.core.machine.devices import move_if_it_fits
from torchlane.core.training.batches import Batches
from torchlane.core.training.held_out import HeldOut
from torchlane.core.training.members import Line, Member, Outcome, Stop, Weights, line_of, loss_fault
from torchlane.core.training.optimizers import Schedule
from torchlane.core.training.stepping import Stepper, process_settings

VALID_ROWS = 8192  # evaluated at a time


class PlainRun:
    """One member in training; `last_state` is the state after the last complete epoch.

    With `training.exact` on a CPU the weights equal those of the plain loop bit for bit: seed, build, then
    for each batch zero_grad, forward, loss, backward, step. Evaluation on valid draws no random numbers.
    """

    def __init__(self, member: Member, stop: Stop | None, keep_going: bool):
        self._model = member.model
        self._random = member.random
        self._stop = stop
        self._keep_going = keep_going
        device = next(member.model.parameters()).device
        self._valid_features, self._valid_targets, *weights = (tensor.to(device) for tensor in member.valid.tensors)
        self._valid_weights = weights[0] if weights else None
        self._objective = member.objective
        self._options = member.options
        self._threads = member.threads()
        self._train = member.train
        self._has_learned = member.adaptation is not None
        weighted = with_relative_weights(member.train, next(member.model.parameters()).dtype)
        train = move_if_it_fits(weighted, device)
        self._batches = Batches(train, self._options.batch_size, smallest=member.smallest_batch, device=device)
        self._stepper = Stepper(self._model, self._objective.batch_loss, self._options, member.adaptation)
        epochs, scheduler = self._options.epochs, self._options.scheduler
        self._schedule = Schedule(self._stepper.optimizer, scheduler, epochs, len(self._batches))
        self._best: Weights | None = None
        self._best_epoch = 0
        self._held_out = HeldOut([member])
        self.epoch = 0
        self._history: list[Line] = []
        self._fault = ""
        self._stopped = False
        self.last_state: State = {}

    def epochs(self) -> Iterator[Line]:
        """Train until the epochs or the patience are used up; yield the line of history of each epoch.

        Raises:
            ValueError: a loss is not finite, and the other members are not to continue.
        """
        with self._random.in_use(), process_settings(self._options, self._threads):
            if self._has_learned and self._has_valid and not self._history:
                self._look_at_start()
            self.last_state = self.state_dict()
            while not self._has_ended():
                line = self._train_epoch()
                self._fault = loss_fault(line, self._has_valid)
                if self._fault and not self._keep_going:
                    raise ValueError(self._fault)
                kept = {0: line_of(self._history, self._best_epoch)}
                self._stopped = not self._fault and self._stop is not None and bool(self._stop(self.epoch, kept))
                self.last_state = self.state_dict()
                yield line

    def first_network(self) -> nn.Module:
        return self._model

    def outcomes(self) -> list[Outcome]:
        """Give the outcome of the member: the weights with the lowest validation loss, or the last without valid."""
        weights = _copy_weights(self._model) if self._best is None else self._best
        kept = line_of(self._history, self._best_epoch)
        held_out = self._held_out.rows_of(0)
        return [
            Outcome(
                weights=weights,
                history=self._history,
                kept=kept,
                held_out=held_out,
                threads=self._threads,
                error=self._fault,
            )
        ]

    def _has_ended(self) -> bool:
        patience = self._options.patience_epochs
        out_of_patience = patience is not None and self._has_valid and self.epoch - self._best_epoch >= patience
        return bool(self._fault) or self._stopped or out_of_patience or self.epoch >= self._options.epochs

    @property
    def _has_valid(self) -> bool:
        return len(self._valid_features) > 0

    def _train_epoch(self) -> Line:
        started = time.perf_counter()
        learning_rate = self._schedule.learning_rate
        losses, outputs, targets, weights = self._walk_train()
        self.epoch += 1
        rows = torch.tensor([len(output) for output in outputs], dtype=torch.float64)
        metric = self._objective.task.primary_metric
        joined = [torch.cat(each)[None] for each in (outputs, targets, weights) if each]
        line = {
            "epoch": self.epoch,
            "train_loss": float(torch.stack(losses).double().cpu() @ rows / rows.sum()),
            "valid_loss": math.nan,
            f"train_{metric}": self._objective.scores(*joined)[0],
            f"valid_{metric}": math.nan,
            "learning_rate": learning_rate,
        }
        if self._has_valid:
            self._look_at_valid(line)
        else:
            self._best_epoch = self.epoch
        self._schedule.after_epoch(line["valid_loss"] if self._has_valid else line["train_loss"])
        line["seconds"] = time.perf_counter() - started
        self._history.append(line)
        return line

    def _look_at_start(self) -> None:
        """Measure epoch 0 on train and valid; its weights are the best so far."""
        device = self._valid_targets.device
        features, targets, *weights = (tensor.to(device) for tensor in self._train.tensors)
        metric = self._objective.task.primary_metric
        self._model.eval()
        with torch.inference_mode():
            outputs = torch.cat([self._model(rows) for rows in features.split(rows_at_once(self._model, VALID_ROWS))])
        line = {
            "epoch": 0,
            "train_loss": self._objective.loss(outputs, targets, *weights),
            "valid_loss": math.nan,
            f"train_{metric}": self._objective.scores(outputs[None], targets[None], *(each[None] for each in weights))[
                0
            ],
            f"valid_{metric}": math.nan,
            "learning_rate": self._schedule.learning_rate,
            "seconds": 0.0,
        }
        self._look_at_valid(line)
        self._history.append(line)

    def _walk_train(self) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
        """Take the steps of an epoch; give losses, outputs, targets and, if there are any, weights of its batches."""
        self._stepper.begin_epoch(self.epoch + 1)
        losses, all_outputs, all_targets, all_weights = [], [], [], []
        for features, targets, *weights in self._batches:
            interruption.check()
            outputs, loss = self._stepper.step(features, targets, *weights)
            del features  # so that the next block can take the memory of the last one, which is in the cache
            self._schedule.after_batch()
            losses.append(loss)
            all_outputs.append(outputs)
            all_targets.append(targets)
            all_weights += weights
        return losses, all_outputs, all_targets, all_weights

    def _look_at_valid(self, line: Line) -> None:
        self._model.eval()
        metric = self._objective.task.primary_metric
        with torch.inference_mode():
            blocks = self._valid_features.split(rows_at_once(self._model, VALID_ROWS))
            outputs = torch.cat([self._model(rows) for rows in blocks])
            line["valid_loss"] = self._objective.loss(outputs, self._valid_targets, self._valid_weights)
            weights = None if self._valid_weights is None else self._valid_weights[None]
            line[f"valid_{metric}"] = self._objective.scores(outputs[None], self._valid_targets[None], weights)[0]
            self._held_out.update([0], self._objective, outputs[None], self._valid_targets[None], weights)
        if self._best is None or line["valid_loss"] < line_of(self._history, self._best_epoch)["valid_loss"]:
            self._best, self._best_epoch = _copy_weights(self._model), self.epoch

    def state_dict(self) -> State:
        """Everything the next epoch depends on, as copies."""
        return {
            "model": _copy_weights(self._model),
            "stepper": copy.deepcopy(self._stepper.state_dict()),
            "schedule": copy.deepcopy(self._schedule.state_dict()),
            "random": self._random.snapshot(),
            "best": self._best,
            "best_epoch": self._best_epoch,
            "held_out": self._held_out.state_dict(),
            "epoch": self.epoch,
            "history": list(self._history),
            "fault": self._fault,
            "stopped": self._stopped,
        }

    def load_state_dict(self, state: State) -> None:
        """Return to the state that `state_dict` gave."""
        self._model.load_state_dict(state["model"])
        self._stepper.load_state_dict(state["stepper"])
        self._schedule.load_state_dict(state["schedule"])
        self._random.state = state["random"]
        self._best, self._best_epoch = state["best"], state["best_epoch"]
        self._held_out.load_state_dict(state["held_out"])
        self.epoch, self._history = state["epoch"], state["history"]
        self._fault, self._stopped = state["fault"], state["stopped"]


def _copy_weights(model: nn.Module) -> Weights:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
