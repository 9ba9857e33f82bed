"""Rules that find problems of a training in the record of its observer, and say them in plain language."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import pandas as pd

from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.options import shown_number
from torchlane.core.tasks.tasks import TASKS
from torchlane.core.training.observation import Line, Observer

logger = logging.getLogger(__name__)

VANISHED = 1e-3  # ratio of the gradient norms of the first and the last layer
EXPLODED = 1e3  # gradient norm of all layers together; about 1 is usual for scaled features and targets
DEAD = SATURATED = 0.5  # share of the outputs of a layer
NOISE = 0.01  # share of the initial loss; a network that has learned its rows shows smaller rises
STILL = 3e-5  # change of the weights in a step, as a share of their norm
LITTLE_GAIN = 0.05  # share of the distance from the constant to a perfect score
SOME_GAIN = 0.15
CARRIED_OVER = 1 / 3  # share of the gain on train that valid must show
UNSCALED = 1e3  # a loss of constants, or a feature, that is so large
FEW_ROWS = 16  # with fewer rows that differ, units that are 0 for all of them are no surprise
FEW_TELLING = 8  # with fewer rows of valid that a constant does not predict, its score is mostly chance
RECENT = 0.1  # share of the epochs that count as the last ones
STILL_FALLING = 0.005  # share of the loss by which it must fall in them
NEGLIGIBLE = 3e-4  # share of the initial loss; next to nothing is left to improve


@dataclass(frozen=True)
class Finding:
    """One problem, and remedies in the order in which to try them."""

    name: str
    finding: str
    remedies: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """The input of the rules. `gains` of train and valid in the last epoch: 0 is the best constant, 1 is perfect.

    A gain is NaN if its metric is not defined, as for a constant target.
    """

    observer: Observer
    history: pd.DataFrame
    gains: Mapping[str, float]

    @property
    def start_loss(self) -> float:
        """The loss of an untrained network: on the fixed batch, or of the best constant on train if that is larger."""
        return max(self.observer.start_loss or 0.0, self.observer.constant_loss)

    def layers(self, measure: str) -> dict[str, dict[int, float]]:
        """Look up a measure by layer and epoch, with layers in the order of the network."""
        found: dict[str, dict[int, float]] = {}
        for line in self.observer.lines:
            if line[measure] is not None:
                found.setdefault(line["layer"], {})[line["epoch"]] = line[measure]
        return found


def diagnose(observer: Observer, history: pd.DataFrame, target: TargetEncoder, capacity: str) -> dict[str, Any]:
    """Apply the rules to what the observer recorded, and log each finding.

    The result is the content of `diagnosis.json`: `enabled`, `capacity` (parameters per layer and in total),
    `findings` (each with name, finding and remedies), and `overfit_one_batch` and `layers` of the observer.
    """
    if not observer.options.enabled:
        return {"enabled": False, "capacity": capacity, "findings": []}
    evidence = Evidence(observer, history, _gains(history, target))
    findings = [found for rule in RULES if (found := rule(evidence)) is not None]
    for found in findings:
        logger.info("diagnosis: %s; try: %s", found.finding, "; ".join(found.remedies))
    if not findings:
        logger.info("diagnosis: nothing found")
    return {
        "enabled": True,
        "capacity": capacity,
        "findings": [asdict(found) for found in findings],
        "overfit_one_batch": observer.overfit,
        "layers": [_finite(line) for line in observer.lines],
    }


def _cannot_overfit(evidence: Evidence) -> Finding | None:
    result = evidence.observer.overfit
    if result is None or result["fitted"] is not False:
        return None
    first = next(iter(evidence.layers("gradient_norm").values()), {0: 1.0})
    if not math.isfinite(result["loss"]):
        why = "the loss is no finite number: the features may not be scaled"
    elif result["constant_loss"] > UNSCALED:
        why = "the target is not scaled"
    elif evidence.observer.largest_feature > UNSCALED:
        why = "the features are not scaled"
    elif first[0] < STILL:
        why = f"hardly a gradient reaches the first layer (norm {first[0]:.1e})"
    else:
        why = "the network may be too small, or its activations may keep gradients back"
    return Finding(
        "overfit_one_batch",
        f"the network does not learn {result['rows']} rows by heart in {result['steps']} steps: loss "
        f"{shown_number(result['loss'], 3)}, the best constant has {shown_number(result['constant_loss'], 3)}; {why}",
        ("another activation, such as ReLU", "batch norm", "fewer or wider layers", "scaled features and target"),
    )


def _vanishing(evidence: Evidence) -> Finding | None:
    ratios = _first_to_last(evidence)
    if evidence.observer.blank or not ratios or median(ratios) >= VANISHED:
        return None
    return Finding(
        "vanishing_gradients",
        f"gradients vanish: the first layer's norm is {median(ratios):.1e} of the last one's",
        ("ReLU or GELU instead of sigmoid or tanh", "batch norm", "kaiming or xavier initialisation", "fewer layers"),
    )


def _exploding(evidence: Evidence) -> Finding | None:
    norms = evidence.layers("gradient_norm")
    totals = [math.hypot(*values) for values in zip(*(each.values() for each in norms.values()), strict=True)]
    if all(math.isfinite(total) and total < EXPLODED for total in totals):
        return None
    return Finding(
        "exploding_gradients",
        f"gradients explode: their norm reaches {shown_number(max(totals), 2)}, where about 1 is usual",
        ("training.clip_norm: 1", "a lower learning_rate", "scaled features and target", "batch norm"),
    )


def _dying(evidence: Evidence) -> Finding | None:
    if evidence.observer.probe_kinds < FEW_ROWS:
        return None
    shares = {layer: list(seen.values())[-1] for layer, seen in evidence.layers("dead_share").items()}
    dead = {layer: share for layer, share in shares.items() if share >= DEAD}
    if not dead:
        return None
    named = ", ".join(f"{share:.0%} of {layer}" for layer, share in dead.items())
    return Finding(
        "dying_relus",
        f"ReLUs have died: {named} give 0 for every row, and no gradient passes them",
        ("a lower learning_rate", "LeakyReLU or GELU", "batch norm", "kaiming initialisation"),
    )


def _saturation(evidence: Evidence) -> Finding | None:
    shares = {layer: list(seen.values())[-1] for layer, seen in evidence.layers("saturated_share").items()}
    full = {layer: share for layer, share in shares.items() if share >= SATURATED}
    if not full:
        return None
    named = ", ".join(f"{share:.0%} of the outputs of {layer}" for layer, share in full.items())
    return Finding(
        "saturation",
        f"activations are saturated: {named} stand at a limit, where the gradient is nearly 0",
        ("scaled features", "xavier initialisation", "batch norm", "ReLU or GELU", "a lower learning_rate"),
    )


def _rate_too_high(evidence: Evidence) -> Finding | None:
    start, losses = evidence.start_loss, evidence.history["train_loss"].tolist()
    noise = NOISE * start
    rises = sum(later > max(1.2 * earlier, earlier + noise) for earlier, later in pairwise(losses))
    diverged = losses[-1] > 2 * start > 0
    unsteady = len(losses) >= 6 and rises >= len(losses) / 4 and losses[-1] > 1.5 * min(losses)
    if not diverged and not unsteady:
        return None
    how = (
        f"it began at {shown_number(start, 3)}"
        if diverged
        else f"it rose by a fifth in {rises} of {len(losses)} epochs"
    )
    return Finding(
        "learning_rate_too_high",
        f"the learning rate looks too high: the training loss ends at {shown_number(losses[-1], 3)}, and {how}",
        ("a tenth of the learning_rate", "training.clip_norm: 1", "a larger batch_size", "a scheduler"),
    )


def _rate_too_low(evidence: Evidence) -> Finding | None:
    start, losses = evidence.observer.start_loss, evidence.history["train_loss"].tolist()
    moves = [move for seen in evidence.layers("update_ratio").values() for move in seen.values()]
    if start is None or not moves or median(moves) >= STILL or losses[-1] < start / 2:
        return None
    return Finding(
        "learning_rate_too_low",
        f"the learning rate looks too low: a step moves the weights by {median(moves):.1e} of their norm, and the "
        f"training loss went from {shown_number(start, 3)} to {shown_number(losses[-1], 3)} only",
        ("ten times the learning_rate", "more epochs", "Adam or AdamW instead of SGD"),
    )


def _overfitting(evidence: Evidence) -> Finding | None:
    train, valid = evidence.gains["train"], evidence.gains["valid"]
    if math.isnan(train) or math.isnan(valid) or evidence.observer.telling_rows < FEW_TELLING:
        return None
    if train < SOME_GAIN or valid >= CARRIED_OVER * train:
        return None
    return Finding(
        "overfitting",
        f"overfitting: of what the network gains over the constant on train ({train:.0%} of the way to a perfect "
        f"score), {max(valid, 0):.0%} shows on valid",
        ("more data, or augmentation", "more dropout", "more weight_decay", "a smaller network"),
    )


def _underfitting(evidence: Evidence) -> Finding | None:
    # A rare class may be told well although no row of it is likelier than not: then the loss shows it.
    constant, loss = evidence.observer.constant_loss, evidence.history["train_loss"].iloc[-1]
    gain = max(evidence.gains["train"], 1 - loss / constant if constant > 0 else -math.inf)
    if math.isnan(evidence.gains["train"]) or gain >= LITTLE_GAIN:
        return None
    if evidence.observer.lowest_loss > (1 - LITTLE_GAIN) * constant:
        return Finding(
            "indistinct_rows",
            "the features do not tell the rows apart: rows with equal features have different targets, and the best "
            "answers to them are hardly better than a constant",
            ("more features", "other encodings, if features were lost"),
        )
    return Finding(
        "underfitting",
        f"underfitting: on train the network is hardly better than a constant ({max(gain, 0):.0%} of the way to a "
        f"perfect score)",
        ("more epochs, or another learning_rate", "a larger network", "less dropout and weight_decay", "more features"),
    )


def _still_improving(evidence: Evidence) -> Finding | None:
    training, history = evidence.observer.training, evidence.history
    if training is None or training.patience_epochs is None:  # then the number of epochs was chosen to be fixed
        return None
    if len(history) < training.epochs or "valid_loss" not in history:
        return None
    n_members, n_ran = int(history["members"].max()), int(history["members"].iloc[-1])
    losses, recent = history["valid_loss"].tolist(), max(1, round(RECENT * len(history)))
    if len(losses) <= recent or n_ran < n_members / 2:
        return None
    if not history["members_kept"].iloc[-recent:].any():  # members that end together go by their joint prediction
        return None
    before, after = min(losses[:-recent]), min(losses[-recent:])
    if not before - after > max(STILL_FALLING * before, NEGLIGIBLE * evidence.start_loss):
        return None
    members = "" if n_ran == n_members else f" (of {n_ran} of {n_members} members)"
    time = "epoch" if recent == 1 else f"{recent} epochs"
    return Finding(
        "still_improving",
        f"all {training.epochs} epochs ran{members} and valid was still improving: its loss fell from "
        f"{shown_number(before)} to {shown_number(after)} in the last {time}",
        (f"training.epochs: {2 * training.epochs}", "a higher learning_rate"),
    )


RULES: tuple[Callable[[Evidence], Finding | None], ...] = (
    _cannot_overfit,
    _vanishing,
    _exploding,
    _dying,
    _saturation,
    _rate_too_high,
    _rate_too_low,
    _overfitting,
    _underfitting,
    _still_improving,
)


def _first_to_last(evidence: Evidence) -> list[float]:
    """The ratio of the gradient norms of the first and the last layer, per epoch; empty for fewer than three layers."""
    norms = list(evidence.layers("gradient_norm").values())
    if len(norms) < 3:
        return []
    pairs = zip(norms[0].values(), norms[-1].values(), strict=True)
    return [first / last for first, last in pairs if last > 0 and math.isfinite(first / last)]


def _gains(history: pd.DataFrame, target: TargetEncoder) -> dict[str, float]:
    metric = TASKS[target.task].primary_metric
    constant = {"r2_score": 0.0, "roc_auc_score": 0.5}.get(metric)
    if constant is None:
        constant = max(target.label_sizes) / sum(target.label_sizes)
    last = history.iloc[-1]
    return {part: float(last[f"{part}_{metric}"] - constant) / (1 - constant) for part in ("train", "valid")}


def _finite(line: Line) -> Line:
    """Replace what is not finite by None, since JSON has no infinity."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in line.items()
    }
