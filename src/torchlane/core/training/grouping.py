"""Which members are trained together as one stack."""

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from torchlane.core.options import FittedTraining
from torchlane.core.stacks.choice import make_program, structure_of
from torchlane.core.stacks.describing import describe
from torchlane.core.stacks.layout import NotStackableError, Program
from torchlane.core.training.members import Member
from torchlane.core.training.stacked.optimizers import can_step_together

logger = logging.getLogger(__name__)

ONE_AFTER_ANOTHER = "training: %d members one after another, since they cannot be stacked: %s"
TRIAL_ROWS = 2  # for a trial pass of a network before it is stacked
OWN: Mapping[str, Any] = {  # options in which members of one stack may differ
    **dict.fromkeys(("members", "seed", "epochs", "patience_epochs", "learning_rate"), True),
    "optimizer": {"arguments"},  # those that `can_step_together` allows
}


def group_alike(members: Sequence[Member]) -> list[list[int]]:
    """Group the indices of members that are trained as one stack; a member that is not stacked is alone."""
    return [indices for indices, _ in plan_groups(members)]


def plan_groups(members: Sequence[Member]) -> list[tuple[list[int], Program | None]]:
    """Group the indices of members that are trained together, with their program.

    None stands for the plain loop, which trains one network, or one module whose branches are the members.
    """
    reasons = ["" if member.shared is not None else _why_alone(member.options) for member in members]
    if len(members) > 1 and any(reasons):
        logger.info("training: members one after another: %s", next(filter(None, reasons)))
    alike: dict[Hashable, list[int]] = {}
    for index, (member, reason) in enumerate(zip(members, reasons, strict=True)):
        alike.setdefault(member.shared or (index if reason else _key(member)), []).append(index)
    if len(alike) == len(members) > 1 and not any(reasons) and members[0].shared is None:
        logger.info(ONE_AFTER_ANOTHER, len(members), "no two networks are known to be alike")
    groups: list[tuple[list[int], Program | None]] = []
    for indices in alike.values():
        if members[indices[0]].shared is not None:
            groups.append((indices, None))
            continue
        program = _find_program([members[index] for index in indices])
        groups += [(indices, program)] if program is not None else [([index], None) for index in indices]
    return groups


def _why_alone(options: FittedTraining) -> str:
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
    """Describe what members of one stack share: everything that is not known to be allowed to differ."""
    objective, adaptation = member.objective, member.adaptation
    return (
        structure_of(member.model, member.train.tensors[0]),
        len(member.train.tensors),
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
