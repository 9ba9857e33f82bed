"""The one place where weights change: `fit`."""

import logging
import math
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import pandas as pd
from torch import nn
from tqdm import tqdm

from torchlane.core.machine import interruption
from torchlane.core.machine.checkpoints import Checkpoints, State
from torchlane.core.options import TrainingOptions
from torchlane.core.stacks.choice import make_program, structure_of
from torchlane.core.stacks.describing import describe
from torchlane.core.stacks.layout import NotStackableError, Program
from torchlane.core.training.members import Line, Member, Outcome, Stop
from torchlane.core.training.observation import Observer
from torchlane.core.training.plain_run import PlainRun
from torchlane.core.training.stacked.optimizers import can_step_together
from torchlane.core.training.stacked.run import StackedRun

logger = logging.getLogger(__name__)

LOG_LINES = 20  # per run at most, where there is no terminal for a progress bar
ONE_AFTER_ANOTHER = "training: %d members one after another, since they cannot be stacked: %s"
TRIAL_ROWS = 2  # that a network is tried with before it is stacked
OWN: Mapping[str, Any] = {  # options of a member of a stack; in all others members of one stack agree
    **dict.fromkeys(("members", "seed", "epochs", "patience_epochs", "learning_rate"), True),
    "optimizer": {"arguments"},  # as far as `can_step_together` lets them in
}


class Run(Protocol):
    """Members on their way; `last_state` is what `state_dict` gave after the last whole epoch."""

    epoch: int
    last_state: State

    def epochs(self) -> Iterator[Line]:
        """Train epoch after epoch, yielding the mean line of history, until all members have ended."""

    def first_network(self) -> nn.Module | None:
        """The first member as it stands, or None once it has ended."""

    def outcomes(self) -> list[Outcome]:
        """What became of the members."""

    def load_state_dict(self, state: State) -> None:
        """Go back to where a state was taken."""


def fit(
    members: Sequence[Member],
    checkpoints: Checkpoints,
    *,
    observer: Observer | None = None,
    stop: Stop | None = None,
    keep_going: bool = False,
    quiet: bool = False,
) -> list[Outcome]:
    """Train every member, from the last checkpoint on if there is one.

    Members that can be one tensor program are trained together, the others one after another; see
    `torchlane.core.training.stacked.run` and `torchlane.core.training.plain_run`. `observer` looks at the first member
    after each epoch, and `stop` is asked after each which members shall end. With `keep_going` a member that fails
    says so in its outcome. `quiet` leaves out the lines of single epochs.

    Raises:
        ValueError: a loss is no longer a finite number, and the others shall not keep going; or a batch would be
            too small for a network.
    """
    _look_at_batches(members, quiet)
    state = checkpoints.load() or {"finished": {}, "running": None}
    finished: dict[int, Outcome] = state["finished"]
    if observer is not None:
        observer.load_state_dict(state.get("observed", []))
    groups = _plan(members)
    for indices, program in groups:
        if indices[0] in finished:
            continue
        together = [members[index] for index in indices]
        asked = _for_group(stop, indices)
        run: Run = (
            PlainRun(together[0], asked, keep_going)
            if program is None
            else StackedRun(together, program, asked, keep_going)
        )
        name = _name(indices, len(members))
        if state["running"] is not None:
            run.load_state_dict(state["running"])
            state["running"] = None
            logger.info("%s: goes on after epoch %d", name, run.epoch)
        saver = _Saver(checkpoints, finished, together[0].options, observer)
        try:
            with interruption.deferred():
                for _ in _with_progress(run, name, together[0].options, quiet=quiet or len(groups) > 1):
                    if observer is not None and indices[0] == 0:
                        observer.after_epoch(run.first_network, run.epoch)
                    saver.after_epoch(run)
        except interruption.Interrupted:
            saver.save(run.last_state)
            logger.warning(
                "%s: cut off after epoch %d; the same command goes on from there", name, run.last_state["epoch"]
            )
            raise
        finished.update(zip(indices, run.outcomes(), strict=True))
    checkpoints.retire()
    return [finished[index] for index in range(len(members))]


def _look_at_batches(members: Sequence[Member], quiet: bool) -> None:
    """Refuse batches that are too small before anything is trained, and say where a last row joins another batch."""
    joining = [member for member in members if member.smallest_batch > 1]
    if joining and not quiet:
        sizes = joining[0].batch_sizes
        logger.info(
            "training: batch norm needs 2 rows in a batch, so the one row left over each epoch joins the last whole "
            "batch: %d batches, the last of %d rows",
            len(sizes),
            sizes[-1],
        )


def mean_history(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Join the members' lines: a row an epoch, the mean over the members still training.

    The columns are `epoch`, losses and primary metric of train and valid (train's while the weights
    move), `learning_rate`, `seconds` of all members, and `…_spread`, the standard deviation over members.
    """
    lines = pd.concat([pd.DataFrame(outcome["history"]) for outcome in outcomes])
    by_epoch = lines.groupby("epoch")
    mean, spread = by_epoch.mean(), by_epoch.std(ddof=0)
    mean["seconds"] = by_epoch["seconds"].sum()
    curves = [name for name in mean if name not in ("learning_rate", "seconds")]
    return mean.join(spread[curves].add_suffix("_spread")).reset_index()


def mean_metrics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Losses and primary metric of the weights kept, mean over members."""
    kept = pd.DataFrame([outcome["kept"] for outcome in outcomes]).drop(columns=["epoch", "learning_rate", "seconds"])
    return {str(name): float(value) for name, value in kept.mean().dropna().items()}


def group_alike(members: Sequence[Member]) -> list[list[int]]:
    """Put members together, by their indices, that train as one stack; one that is not stacked stays alone."""
    return [indices for indices, _ in _plan(members)]


def _plan(members: Sequence[Member]) -> list[tuple[list[int], Program | None]]:
    """Say which members are trained together, by their indices, and through which program; None is the plain loop."""
    reasons = [_why_alone(member.options) for member in members]
    if len(members) > 1 and any(reasons):
        logger.info("training: members one after another: %s", next(filter(None, reasons)))
    alike: dict[Hashable, list[int]] = {}
    for index, (member, reason) in enumerate(zip(members, reasons, strict=True)):
        alike.setdefault(index if reason else _key(member), []).append(index)
    if len(alike) == len(members) > 1 and not any(reasons):
        logger.info(ONE_AFTER_ANOTHER, len(members), "no two networks are known to be alike")
    groups: list[tuple[list[int], Program | None]] = []
    for indices in alike.values():
        program = _find_program([members[index] for index in indices])
        groups += [(indices, program)] if program is not None else [([index], None) for index in indices]
    return groups


def _why_alone(options: TrainingOptions) -> str:
    if not options.stacked:
        return "training.stacked is false"
    if options.precision != "float32":
        return f"precision {options.precision} is not stacked"
    if options.compile is not None:
        return "a compiled network is not stacked"
    if not can_step_together(options.optimizer):
        return f"optimizer {options.optimizer.name} with these arguments is not stacked; SGD, Adam and AdamW are"
    return ""


def _key(member: Member) -> Hashable:
    """What members of one stack share: all that is not known to be each one's own."""
    objective, adaptation = member.objective, member.adaptation
    return (
        structure_of(member.model, member.train.tensors[0]),
        describe([objective.target.task, objective.criterion]),
        describe(member.options.model_dump(exclude=OWN)),
        describe(None if adaptation is None else adaptation.structure),
    )


def _find_program(members: list[Member]) -> Program | None:
    if len(members) == 1:
        return None
    device = next(members[0].model.parameters()).device
    features = members[0].train.tensors[0][:TRIAL_ROWS].to(device)
    try:
        return make_program([member.model for member in members], features)
    except NotStackableError as reason:
        logger.info(ONE_AFTER_ANOTHER, len(members), reason)
        return None


def _for_group(stop: Stop | None, indices: list[int]) -> Stop | None:
    """Let `stop` know the members of a group by their indices among all."""
    if stop is None:
        return None

    def asked(epoch: int, kept: dict[int, Line]) -> set[int]:
        stopped = stop(epoch, {indices[place]: line for place, line in kept.items()})
        return {place for place in kept if indices[place] in stopped}

    return asked


def _name(indices: list[int], n_members: int) -> str:
    if n_members == 1:
        return "training"
    if len(indices) == n_members:
        return f"{n_members} members"
    return f"member {indices[0] + 1} of {n_members}" if len(indices) == 1 else f"{len(indices)} of {n_members} members"


class _Saver:
    """Writes checkpoints when they are due; a full disk costs the checkpoint, not the training."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        finished: dict[int, Outcome],
        options: TrainingOptions,
        observer: Observer | None,
    ):
        self._checkpoints = checkpoints
        self._observer = observer
        self._finished = finished
        self._options = options
        self._saved_at = time.monotonic()
        self._epochs = 0

    def after_epoch(self, run: Run) -> None:
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


def _with_progress(run: Run, name: str, options: TrainingOptions, quiet: bool) -> Iterator[None]:
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
    outcomes = run.outcomes()
    kept = sorted({int(outcome["kept"]["epoch"]) for outcome in outcomes})
    logger.info(
        "%s: %d epochs in %.1f s; keeps epoch%s: %s",
        name,
        run.epoch,
        time.perf_counter() - started,
        f" {kept[0]}" if len(kept) == 1 else f"s {kept[0]} to {kept[-1]}",
        _numbers_of(mean_metrics(outcomes)),
    )


def _numbers_of(line: Line) -> str:
    shown = {name: value for name, value in line.items() if name.startswith(("train_", "valid_"))}
    return ", ".join(f"{name} {value:.4g}" for name, value in shown.items() if not math.isnan(value))
