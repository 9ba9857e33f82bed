"""The history of several members as one."""

from collections.abc import Sequence

import pandas as pd

from torchlane.core.training.members import Outcome


def mean_history(outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Average the histories of members: one row for each epoch, over the members still training.

    The columns are `epoch`, loss and primary metric of train and valid (on train measured while the
    weights change), `learning_rate`, `seconds` of all members together, and for losses and metrics
    `…_spread`, the standard deviation over members. `attrs["epochs_run"]` has the number of epochs of each member.
    """
    lines = pd.concat([pd.DataFrame(outcome["history"]) for outcome in outcomes])
    by_epoch = lines.groupby("epoch")
    mean, spread = by_epoch.mean(), by_epoch.std(ddof=0)
    mean["seconds"] = by_epoch["seconds"].sum()
    curves = [name for name in mean if name not in ("learning_rate", "seconds")]
    history = mean.join(spread[curves].add_suffix("_spread")).reset_index()
    history.attrs["epochs_run"] = [len(outcome["history"]) for outcome in outcomes]
    return history


def mean_metrics(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Give losses and primary metric of the kept weights, averaged over members."""
    kept = pd.DataFrame([outcome["kept"] for outcome in outcomes]).drop(columns=["epoch", "learning_rate", "seconds"])
    return {str(name): float(value) for name, value in kept.mean().dropna().items()}
