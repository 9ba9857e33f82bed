"""One run that trains a single module, bit for bit as the plain PyTorch loop does."""

import copy
import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from torchlane.core.encoding.tensors import with_relative_weights
from torchlane.core.layers.coded import rows_at_once
from torchlane.core.machine import interruption
from torchlane.core.machine.checkpoints import State
from torchlane.core.machine.devices import move_if_it_fits
from torchlane.core.training.batches import Batches
from torchlane.core.training.held_out import HeldOut
from torchlane.core.training.history import mean_line
from torchlane.core.training.members import Line, Member, Outcome, Stop, Weights, line_of, loss_fault
from torchlane.core.training.optimizers import Schedule
from torchlane.core.training.pupils import make_pupil
from torchlane.core.training.stepping import Stepper, process_settings

VALID_ROWS = 8192  # evaluated at a time, counted for each member


class PlainRun:
    """One member in training, or several that are branches of one module, which begin and end together.

    `last_state` is the state after the last complete epoch. With `training.exact` on a CPU the weights equal those of
    the plain loop bit for bit: seed, build, then for each batch zero_grad, forward, loss, backward, step. Evaluation
    on valid draws no random numbers.
    Branches take the random numbers of the first member. Their best epoch is that with the lowest loss of their joint
    prediction on valid.
    """

    def __init__(self, members: Sequence[Member], stop: Stop | None, keep_going: bool):
        member = members[0]
        self._pupil = make_pupil(members)
        self._n_members = len(members)
        self._model = self._pupil.model
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
        self._stepper = Stepper(self._model, self._pupil.losses, self._options, member.adaptation)
        epochs, scheduler = self._options.epochs, self._options.scheduler
        self._schedule = Schedule(self._stepper.optimizer, scheduler, epochs, len(self._batches))
        self._best: Weights | None = None
        self._best_epoch, self._best_loss = 0, math.inf
        self._held_out = HeldOut(members)
        self.epoch = 0
        self._history: list[list[Line]] = []  # of each epoch, the lines of the members
        self._fault = ""
        self._stopped = False
        self.last_state: State = {}

    def epochs(self) -> Iterator[Line]:
        """Train until the epochs or the patience are used up; yield the mean line of history of each epoch.

        Raises:
            ValueError: a loss is not finite, and the other members are not to continue.
        """
        with self._random.in_use(), process_settings(self._options, self._threads):
            if self._has_learned and self._has_valid and not self._history:
                self._look_at_start()
            self.last_state = self.state_dict()
            while not self._has_ended():
                lines = self._train_epoch()
                self._fault = next(filter(None, (loss_fault(line, self._has_valid) for line in lines)), "")
                if self._fault and not self._keep_going:
                    raise ValueError(self._fault)
                self._stopped = not self._fault and self._is_to_stop()
                self.last_state = self.state_dict()
                yield {**mean_line(lines), "epoch": self.epoch}

    def first_network(self) -> nn.Module:
        return self._pupil.network()

    def outcomes(self) -> list[Outcome]:
        """Give the outcome of each member: the weights of the best epoch, or the last ones without valid."""
        weights = self._pupil.weights_of(_copy_weights(self._model) if self._best is None else self._best)
        return [
            Outcome(
                weights=weights[member],
                history=history,
                kept=line_of(history, self._best_epoch),
                held_out=self._held_out.rows_of(member),
                threads=self._threads,
                error=self._fault,
            )
            for member, history in enumerate(self._histories())
        ]

    def _histories(self) -> list[list[Line]]:
        return [[lines[member] for lines in self._history] for member in range(self._n_members)]

    def _is_to_stop(self) -> bool:
        if self._stop is None:
            return False
        kept = {member: line_of(history, self._best_epoch) for member, history in enumerate(self._histories())}
        return self._stop(self.epoch, kept) >= kept.keys()

    def _has_ended(self) -> bool:
        patience = self._options.patience_epochs
        out_of_patience = patience is not None and self._has_valid and self.epoch - self._best_epoch >= patience
        return bool(self._fault) or self._stopped or out_of_patience or self.epoch >= self._options.epochs

    @property
    def _has_valid(self) -> bool:
        return len(self._valid_features) > 0

    def _train_epoch(self) -> list[Line]:
        started = time.perf_counter()
        learning_rate = self._schedule.learning_rate
        losses, outputs, targets, weights = self._walk_train()
        self.epoch += 1
        rows = torch.tensor([len(each) for each in targets], dtype=torch.float64)
        metric = self._objective.task.primary_metric
        joined = [self._of_all(torch.cat(each)) for each in (targets, weights) if each]
        scores = self._objective.scores(torch.cat(outputs, dim=1), *joined)
        of_members = torch.stack(losses).double().cpu().view(len(losses), -1).T.contiguous()
        lines = [
            {
                "epoch": self.epoch,
                "train_loss": float(own @ rows / rows.sum()),
                "valid_loss": math.nan,
                f"train_{metric}": score,
                f"valid_{metric}": math.nan,
                "learning_rate": learning_rate,
            }
            for own, score in zip(of_members, scores, strict=True)
        ]
        watched = mean_line(lines)["train_loss"]
        if self._has_valid:
            watched = self._look_at_valid(lines)
        else:
            self._best_epoch = self.epoch
        self._schedule.after_epoch(watched)
        seconds = time.perf_counter() - started
        for line in lines:
            line["seconds"] = seconds / len(lines)
        self._history.append(lines)
        return lines

    def _of_all(self, tensor: Tensor) -> Tensor:
        """Give each member the targets or the weights (n_rows, …) of the same rows."""
        return tensor.expand(self._n_members, *tensor.shape)

    def _look_at_start(self) -> None:
        """Measure epoch 0 on train and valid; its weights are the best so far."""
        device = self._valid_targets.device
        features, targets, *weights = (tensor.to(device) for tensor in self._train.tensors)
        metric = self._objective.task.primary_metric
        of_members = self._evaluate(features)
        scores = self._objective.scores(of_members, *map(self._of_all, (targets, *weights)))
        lines = [
            {
                "epoch": 0,
                "train_loss": self._objective.loss(outputs, targets, *weights),
                "valid_loss": math.nan,
                f"train_{metric}": score,
                f"valid_{metric}": math.nan,
                "learning_rate": self._schedule.learning_rate,
                "seconds": 0.0,
            }
            for outputs, score in zip(of_members, scores, strict=True)
        ]
        self._look_at_valid(lines)
        self._history.append(lines)

    def _evaluate(self, features: Tensor) -> Tensor:
        """Compute the outputs of all members for features (n_rows, …): (members, n_rows, width)."""
        self._model.eval()
        blocks = features.split(rows_at_once(self._model, max(1, VALID_ROWS // self._n_members)))
        with torch.inference_mode():
            return torch.cat([self._pupil.by_member(self._model(rows)) for rows in blocks], dim=1)

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
            all_outputs.append(self._pupil.by_member(outputs))
            all_targets.append(targets)
            all_weights += weights
        return losses, all_outputs, all_targets, all_weights

    def _look_at_valid(self, lines: list[Line]) -> float:
        """Complete the lines of an epoch, and keep its weights if they are the best; give the loss that judges it."""
        metric, objective = self._objective.task.primary_metric, self._objective
        outputs = self._evaluate(self._valid_features)
        with torch.inference_mode():
            targets, weights = self._valid_targets, self._valid_weights
            of_all = self._of_all(targets), None if weights is None else self._of_all(weights)
            for line, own, score in zip(lines, outputs, objective.scores(outputs, *of_all), strict=True):
                line["valid_loss"] = objective.loss(own, targets, weights)
                line[f"valid_{metric}"] = score
            joint = self._pupil.joint(outputs)
            loss = lines[0]["valid_loss"] if joint is None else objective.loss(joint, targets, weights)
            judged = None if joint is None else self._of_all(joint)
            self._held_out.update([*range(self._n_members)], objective, outputs, *of_all, judged)
        if self._best is None or loss < self._best_loss:
            self._best, self._best_epoch, self._best_loss = _copy_weights(self._model), self.epoch, loss
        return loss

    def state_dict(self) -> State:
        """Everything the next epoch depends on, as copies."""
        return {
            "model": _copy_weights(self._model),
            "stepper": copy.deepcopy(self._stepper.state_dict()),
            "schedule": copy.deepcopy(self._schedule.state_dict()),
            "random": self._random.snapshot(),
            "best": self._best,
            "best_epoch": self._best_epoch,
            "best_loss": self._best_loss,
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
        self._best, self._best_epoch, self._best_loss = (state[each] for each in ("best", "best_epoch", "best_loss"))
        self._held_out.load_state_dict(state["held_out"])
        self.epoch, self._history = state["epoch"], state["history"]
        self._fault, self._stopped = state["fault"], state["stopped"]


def _copy_weights(model: nn.Module) -> Weights:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
