"""How much each option that was searched mattered, as far as the trials can tell."""

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

BEST_SHARE = 0.25  # of the trials, that importances explain
FEWEST_BEST = 5  # trials among them, as Optuna's documentation of the evaluator asks for
REASON = "reason"  # why nothing can be told; an option's name has a dot in it
Importances = dict[str, float] | dict[str, str]


def weigh_options(
    trials: "Sequence[FrozenTrial]", values: Sequence[float], direction: Literal["maximize", "minimize"]
) -> Importances:
    """Say, and log, how much each option tells of whether a trial is among the best quarter: shares of 1, by name.

    From PED-ANOVA (Watanabe, Bansal and Hutter 2023, arXiv 2304.10255). All `trials` hold the same options; `values`
    are what they reached. Where these cannot tell options apart, the result has `reason` alone: Optuna would give
    each option the same share, or the only one all of it.
    """
    losses = sorted(-value if direction == "maximize" else value for value in values)
    if reason := _too_little(trials, losses):
        reason = f"nothing can be told: {reason}"
        logger.info("search: how much each option mattered: %s", reason)
        return {REASON: reason}
    import optuna

    mirror = optuna.create_study(direction=direction)
    for trial, value in zip(trials, values, strict=True):
        mirror.add_trial(optuna.create_trial(params=trial.params, distributions=trial.distributions, value=value))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE)
    found = optuna.importance.get_param_importances(mirror, evaluator=evaluator, params=sorted(trials[0].params))
    shares = {name: round(value, 6) for name, value in sorted(found.items(), key=lambda item: (-item[1], item[0]))}
    shown = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    logger.info("search: how much each option mattered: %s", shown)
    return shares


def _too_little(trials: "Sequence[FrozenTrial]", losses: Sequence[float]) -> str:
    """Say why trials with these losses, the best first, tell nothing of their options; empty where they do."""
    needed = math.ceil(FEWEST_BEST / BEST_SHARE)
    if len(trials) < needed:
        return f"{len(trials)} trials that tried all options have a value, and {needed} are needed"
    varied = [name for name in sorted(trials[0].params) if any(_differ(name, trials[0], each) for each in trials)]
    if len(varied) < 2:
        return f"{f'{varied[0]} alone' if varied else 'no option'} was tried with more than one value"
    if losses[math.ceil(BEST_SHARE * len(losses)) - 1] == losses[-1]:
        return f"the best quarter of the {len(losses)} trials is no better than the rest"
    return ""


def _differ(name: str, one: "FrozenTrial", other: "FrozenTrial") -> bool:
    return bool(one.params[name] != other.params[name])
