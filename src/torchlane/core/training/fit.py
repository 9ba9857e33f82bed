"""The one place where weights change: `fit`."""

import logging
from collections.abc import Sequence

from torchlane.core.machine import interruption
from torchlane.core.machine.checkpoints import Checkpoints
from torchlane.core.options import FittedTraining
from torchlane.core.stacks.layout import Program
from torchlane.core.training.grouping import plan_groups
from torchlane.core.training.members import Line, Member, Outcome, Stop
from torchlane.core.training.observation import Observer
from torchlane.core.training.plain_run import PlainRun
from torchlane.core.training.progress import Run, with_progress
from torchlane.core.training.saving import Saver
from torchlane.core.training.stacked.run import StackedRun

logger = logging.getLogger(__name__)


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

    Members that share weights are trained as one module, members that can be one tensor program are trained
    together, and the others one after another; see `torchlane.core.training.stacked.run` and
    `torchlane.core.training.plain_run`. After each epoch, `observer` measures the first member and `stop` says which
    members end; those that share weights end if it names all of them. With `keep_going`, a member that fails has an
    `error` in its outcome and the others continue. `quiet` omits the log lines of single epochs.

    Raises:
        ValueError: a loss is not finite, without `keep_going`; or a batch would be too small for a network.
    """
    _log_joined_batch(members, quiet)
    state = checkpoints.load() or {"finished": {}, "running": None}
    finished: dict[int, Outcome] = state["finished"]
    if observer is not None:
        observer.load_state_dict(state.get("observed", []))
    groups = plan_groups(members)
    for indices, program in groups:
        if indices[0] in finished:
            continue
        together = [members[index] for index in indices]
        run = _make_run(together, program, _for_group(stop, indices), keep_going)
        name = _name(indices, len(members))
        if state["running"] is not None:
            run.load_state_dict(state["running"])
            state["running"] = None
            logger.info("%s: goes on after epoch %d", name, run.epoch)
        saver = Saver(checkpoints, finished, together[0].options, observer)
        watching = observer if indices[0] == 0 else None
        _train(run, name, together[0].options, saver, watching, quiet=quiet or len(groups) > 1)
        finished.update(zip(indices, run.outcomes(), strict=True))
    checkpoints.retire()
    return [finished[index] for index in range(len(members))]


def _log_joined_batch(members: Sequence[Member], quiet: bool) -> None:
    """Log that a last row joins another batch; raise `ValueError` for batches that are too small for a network."""
    joining = [member for member in members if member.smallest_batch > 1]
    if joining and not quiet:
        sizes = joining[0].batch_sizes
        logger.info(
            "training: batch norm needs 2 rows in a batch, so the one row left over each epoch joins the last whole "
            "batch: %d batches, the last of %d rows",
            len(sizes),
            sizes[-1],
        )


def _make_run(members: list[Member], program: Program | None, stop: Stop | None, keep_going: bool) -> Run:
    if program is None:
        return PlainRun(members, stop, keep_going)
    return StackedRun(members, program, stop, keep_going)


def _train(
    run: Run, name: str, options: FittedTraining, saver: Saver, observer: Observer | None, *, quiet: bool
) -> None:
    """Run to the end; if a signal interrupts it, save the last complete epoch first."""
    try:
        with interruption.deferred():
            for _ in with_progress(run, name, options, quiet):
                if observer is not None:
                    observer.after_epoch(run.first_network, run.epoch)
                saver.after_epoch(run.last_state)
    except interruption.Interrupted:
        saver.save(run.last_state)
        logger.warning("%s: cut off after epoch %d; the same command goes on from there", name, run.last_state["epoch"])
        raise


def _for_group(stop: Stop | None, indices: list[int]) -> Stop | None:
    """Let `stop` see the members of a group under their indices among all members."""
    if stop is None:
        return None

    def asked(epoch: int, kept: dict[int, Line]) -> set[int]:
        stopped = stop(epoch, {indices[position]: line for position, line in kept.items()})
        return {position for position in kept if indices[position] in stopped}

    return asked


def _name(indices: list[int], n_members: int) -> str:
    if n_members == 1:
        return "training"
    if len(indices) == n_members:
        return f"{n_members} members"
    return f"member {indices[0] + 1} of {n_members}" if len(indices) == 1 else f"{len(indices)} of {n_members} members"
