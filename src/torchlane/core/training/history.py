"""The history of several members as one."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from torchlane.core.training.members import Line, Outcome


def mean_history(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Average the histories of members: one row for each epoch, over all members.

    A member that has stopped counts with the values of its last epoch, so that no curve jumps where members stop.

    The columns are `epoch`; loss and primary metric of train and valid (on train measured while the weights change);
    `learning_rate` of the members that train; `seconds` of all members together; for losses and metrics `…_spread`,
    the standard deviation over members; `members`, how many train in this epoch; and `members_kept`, how many of the
    members keep their weights of this epoch.
    """
    last = max(int(outcome["history"][-1]["epoch"]) for outcome in outcomes)
    lines = pd.DataFrame([line for outcome in outcomes for line in _until(outcome["history"], last)])
    by_epoch = lines.groupby("epoch")
    mean, spread = by_epoch.mean(), by_epoch.std(ddof=0)
    mean["seconds"] = by_epoch["seconds"].sum()
    curves = [name for name in mean if name not in ("learning_rate", "seconds")]
    history = mean.join(spread[curves].add_suffix("_spread")).reset_index()
    training = Counter(line["epoch"] for outcome in outcomes for line in outcome["history"])
    kept = Counter(outcome["kept"]["epoch"] for outcome in outcomes)
    return history.assign(
        members=[training[epoch] for epoch in history["epoch"]],
        members_kept=[kept[epoch] for epoch in history["epoch"]],
    )


def _until(history: Sequence[Line], epoch: int) -> list[Line]:
    """Repeat the last line of a member up to an epoch, without the rate and the seconds of a training."""
    end = history[-1]
    idle = {**end, "learning_rate": float("nan"), "seconds": 0.0}
    return [*history, *({**idle, "epoch": later} for later in range(int(end["epoch"]) + 1, epoch + 1))]


def mean_line(lines: Sequence[Line]) -> Line:
    """Average lines of several members."""
    return {name: sum(line[name] for line in lines) / len(lines) for name in lines[0]}


def mean_metrics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Give losses and primary metric of the kept weights, averaged over members."""
    kept = pd.DataFrame([outcome["kept"] for outcome in outcomes]).drop(columns=["epoch", "learning_rate", "seconds"])
    return {str(name): float(value) for name, value in kept.mean().dropna().items()}
