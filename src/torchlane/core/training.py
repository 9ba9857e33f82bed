"""The one place where weights change: `fit`, and what it needs to know."""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from tqdm import tqdm

from torchlane.core import interruption
from torchlane.core.batches import Batches
from torchlane.core.checkpoints import Checkpoints, State
from torchlane.core.devices import place
from torchlane.core.objectives import Objective
from torchlane.core.observation import Observer
from torchlane.core.optimizers import Schedule
from torchlane.core.options import TrainingOptions
from torchlane.core.randomness import RandomState
from torchlane.core.stepping import Stepper, process_settings

logger = logging.getLogger(__name__)

LOG_LINES = 20  # per member at most, where there is no terminal for a progress bar
VALID_ROWS = 8192  # looked at together
Weights = dict[str, Tensor]


@dataclass
class Member:
    """One network and the random numbers that belong to it."""

    model: nn.Module
    random: RandomState


@dataclass
class Fitted:
    """What training leaves behind.

    `weights` holds a `state_dict` for each member. `history` has a row an epoch: `epoch`, losses and
    primary metric of train and valid (train's while the weights move), `learning_rate`, `seconds`,
    each the mean over the members still training, and `…_spread`, their standard deviation.
    `metrics` are those of the weights kept, mean over members.
    """

    weights: list[Weights]
    history: pd.DataFrame
    metrics: dict[str, float]


def make_members(build: Callable[[], nn.Module], options: TrainingOptions, device: torch.device) -> list[Member]:
    """Build `options.members` networks, member i after `torch.manual_seed(options.seed + i)`."""
    members = []
    for number in range(options.members):
        random = RandomState(options.seed + number, device)
        with random.in_use():
            model = build().to(device)
        members.append(Member(model, random))
    return members


def fit(
    members: Sequence[Member],
    train: TensorDataset,
    valid: TensorDataset,
    objective: Objective,
    options: TrainingOptions,
    checkpoints: Checkpoints,
    observer: Observer | None = None,
) -> Fitted:
    """Train every member, one after another, from the last checkpoint on if there is one.

    `observer` looks at the first member after each epoch.

    With one member on a CPU the weights are, to the bit, those of the plain loop: seed, build,
    then per batch zero_grad, forward, loss, backward, step. Looking at valid draws no random
    numbers. An empty `valid` means no early stopping: the last weights stay.

    Raises:
        ValueError: a loss is no longer a finite number.
    """
    state = checkpoints.load() or {"finished": [], "running": None}
    finished: list[State] = state["finished"]
    if observer is not None:
        observer.load_state_dict(state.get("observed", []))
    for number, member in enumerate(members[len(finished) :], start=len(finished)):
        run = MemberRun(member, train, valid, objective, options)
        if state["running"] is not None:
            run.load_state_dict(state["running"])
            state["running"] = None
            logger.info("training: member %d goes on after epoch %d", number + 1, run.epoch)
        name = "training" if len(members) == 1 else f"member {number + 1} of {len(members)}"
        saver = _Saver(checkpoints, finished, options, observer)
        try:
            with interruption.deferred():
                for _ in _with_progress(run, name, options, quiet=len(members) > 1):
                    if observer is not None and number == 0:
                        observer.after_epoch(member.model, run.epoch)
                    saver.after_epoch(run)
        except interruption.Interrupted:
            saver.save(run.last_state)
            logger.warning(
                "%s: cut off after epoch %d; the same command goes on from there", name, run.last_state["epoch"]
            )
            raise
        finished.append({"weights": run.best_weights(), "history": run.history, "kept": run.kept_line()})
    checkpoints.retire()
    kept = pd.DataFrame([each["kept"] for each in finished]).drop(columns=["epoch", "learning_rate", "seconds"])
    return Fitted(
        weights=[each["weights"] for each in finished],
        history=_mean_history([each["history"] for each in finished]),
        metrics={str(name): float(value) for name, value in kept.mean().dropna().items()},
    )


class _Saver:
    """Writes checkpoints when they are due; a full disk costs the checkpoint, not the training."""

    def __init__(
        self, checkpoints: Checkpoints, finished: list[State], options: TrainingOptions, observer: Observer | None
    ):
        self._checkpoints = checkpoints
        self._observer = observer
        self._finished = finished
        self._options = options
        self._saved_at = time.monotonic()
        self._epochs = 0

    def after_epoch(self, run: "MemberRun") -> None:
        self._epochs += 1
        minutes = (time.monotonic() - self._saved_at) / 60
        every = self._options.checkpoint_epochs
        if minutes >= self._options.checkpoint_minutes or (every is not None and self._epochs >= every):
            self.save(run.last_state)

    def save(self, state: State) -> None:
        try:
            observed = [] if self._observer is None else self._observer.state_dict()
            self._checkpoints.save({"finished": self._finished, "running": state, "observed": observed})
        except OSError as error:
            logger.warning(
                "the checkpoint could not be written (%s); the training goes on, the one before stays", error
            )
        self._saved_at, self._epochs = time.monotonic(), 0


class MemberRun:
    """One member on its way; `last_state` is what `state_dict` gave after the last whole epoch."""

    def __init__(
        self,
        member: Member,
        train: TensorDataset,
        valid: TensorDataset,
        objective: Objective,
        options: TrainingOptions,
    ):
        self._model = member.model
        self._random = member.random
        device = next(member.model.parameters()).device
        self._valid_features, self._valid_targets = (tensor.to(device) for tensor in valid.tensors)
        self._objective = objective
        self._options = options
        self._batches = Batches(place(train, device), options.batch_size, device=device)
        self._stepper = Stepper(self._model, objective.criterion, options)
        self._schedule = Schedule(self._stepper.optimizer, options.scheduler, options.epochs, len(self._batches))
        self._best: Weights | None = None
        self.best_epoch = 0
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.last_state: State = {}

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train epoch after epoch, yielding each one's line of history, until patience or epochs end."""
        with self._random.in_use(), process_settings(self._options):
            self.last_state = self.state_dict()
            while self.epoch < self._options.epochs and not self._out_of_patience():
                line = self._train_epoch()
                self.last_state = self.state_dict()
                yield line

    def best_weights(self) -> Weights:
        """The weights of the lowest validation loss, or the last where nothing was validated; on the CPU."""
        return _copy_weights(self._model) if self._best is None else self._best

    def kept_line(self) -> dict[str, float]:
        """The line of history that belongs to `best_weights`."""
        return self.history[self.best_epoch - 1]

    def _out_of_patience(self) -> bool:
        patience = self._options.patience_epochs
        return patience is not None and self._has_valid and self.epoch - self.best_epoch >= patience

    @property
    def _has_valid(self) -> bool:
        return len(self._valid_features) > 0

    def _train_epoch(self) -> dict[str, float]:
        started = time.perf_counter()
        learning_rate = self._schedule.learning_rate
        losses, outputs, targets = self._walk_train()
        self.epoch += 1
        rows = torch.tensor([len(output) for output in outputs], dtype=torch.float64)
        line = {
            "epoch": self.epoch,
            "train_loss": float(torch.stack(losses).double().cpu() @ rows / rows.sum()),
            "valid_loss": math.nan,
            f"train_{self._objective.task.primary_metric}": self._objective.score(
                torch.cat(outputs), torch.cat(targets)
            ),
            f"valid_{self._objective.task.primary_metric}": math.nan,
            "learning_rate": learning_rate,
        }
        self._require_finite("training", line["train_loss"])
        if self._has_valid:
            self._look_at_valid(line)
        else:
            self.best_epoch = self.epoch
        self._schedule.after_epoch(line["valid_loss"] if self._has_valid else line["train_loss"])
        line["seconds"] = time.perf_counter() - started
        self.history.append(line)
        return line

    def _walk_train(self) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        self._model.train()
        losses, all_outputs, all_targets = [], [], []
        for features, targets in self._batches:
            interruption.check()
            outputs, loss = self._stepper.step(features, targets)
            self._schedule.after_batch()
            losses.append(loss)
            all_outputs.append(outputs)
            all_targets.append(targets)
        return losses, all_outputs, all_targets

    def _look_at_valid(self, line: dict[str, float]) -> None:
        self._model.eval()
        with torch.inference_mode():
            outputs = torch.cat([self._model(rows) for rows in self._valid_features.split(VALID_ROWS)])
            line["valid_loss"] = self._objective.loss(outputs, self._valid_targets)
            line[f"valid_{self._objective.task.primary_metric}"] = self._objective.score(outputs, self._valid_targets)
        self._require_finite("validation", line["valid_loss"])
        if self._best is None or line["valid_loss"] < self.kept_line()["valid_loss"]:
            self._best, self.best_epoch = _copy_weights(self._model), self.epoch

    def _require_finite(self, which: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise ValueError(
                f"the {which} loss is {loss} after epoch {self.epoch} at learning rate "
                f"{self._schedule.learning_rate:g}: most often the rate is too high or the features are not "
                f"scaled; lower training.learning_rate, or set encoding.numbers to z_score or quantile"
            )

    def state_dict(self) -> State:
        """Everything the next epoch depends on, as copies."""
        return {
            "model": _copy_weights(self._model),
            "stepper": copy.deepcopy(self._stepper.state_dict()),
            "schedule": copy.deepcopy(self._schedule.state_dict()),
            "random": self._random.snapshot(),
            "best": self._best,
            "best_epoch": self.best_epoch,
            "epoch": self.epoch,
            "history": list(self.history),
        }

    def load_state_dict(self, state: State) -> None:
        """Go back to where `state_dict` was taken."""
        self._model.load_state_dict(state["model"])
        self._stepper.load_state_dict(state["stepper"])
        self._schedule.load_state_dict(state["schedule"])
        self._random.state = state["random"]
        self._best, self.best_epoch = state["best"], state["best_epoch"]
        self.epoch, self.history = state["epoch"], state["history"]


def _copy_weights(model: nn.Module) -> Weights:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _with_progress(run: MemberRun, name: str, options: TrainingOptions, quiet: bool) -> Iterator[None]:
    """Show a bar on a terminal, elsewhere log some tens of lines unless `quiet`; one line in the end."""
    bar = tqdm(total=options.epochs, initial=run.epoch, desc=name, unit="epoch", disable=None, leave=False)
    started = time.perf_counter()
    with bar:
        for line in run.epochs():
            bar.update()
            bar.set_postfix_str(_numbers_of(line), refresh=False)
            if bar.disable and not quiet and line["epoch"] % max(1, options.epochs // LOG_LINES) == 0:
                logger.info("%s: epoch %d: %s", name, line["epoch"], _numbers_of(line))
            yield
    kept = run.kept_line()
    seconds = time.perf_counter() - started
    logger.info(
        "%s: %d epochs in %.1f s; keeps epoch %d: %s", name, run.epoch, seconds, kept["epoch"], _numbers_of(kept)
    )


def _numbers_of(line: dict[str, float]) -> str:
    shown = {name: value for name, value in line.items() if name.startswith(("train_", "valid_"))}
    return ", ".join(f"{name} {value:.4g}" for name, value in shown.items() if not math.isnan(value))


def _mean_history(histories: Sequence[list[dict[str, float]]]) -> pd.DataFrame:
    """Join the members' lines to `Fitted.history`."""
    lines = pd.concat([pd.DataFrame(history) for history in histories])
    by_epoch = lines.groupby("epoch")
    mean, spread = by_epoch.mean(), by_epoch.std(ddof=0)
    curves = [name for name in mean if name not in ("learning_rate", "seconds")]
    return mean.join(spread[curves].add_suffix("_spread")).reset_index()
