"""How much each searched option mattered, as far as the trials can tell."""

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

logger = logging.getLogger(__name__)

BEST_SHARE = 0.25  # of the trials; importances explain what puts a trial among them
FEWEST_BEST = 5  # trials among them, as Optuna's documentation of the evaluator asks for
REASON = "reason"  # the key of why nothing can be told; names of options have a dot
OptionImportances = dict[str, float] | dict[str, str]


def weigh_options(trials: "Sequence[FrozenTrial]", values: Sequence[float]) -> OptionImportances:
    """Measure, and log, how much each option decides whether a trial is among the best quarter.

    The result holds shares that sum to 1, by option, from PED-ANOVA (Watanabe, Bansal and Hutter 2023,
    arXiv 2304.10255). All `trials` must set the same options; `values` are the scores they reached, higher is
    better. If the trials cannot tell the options apart, the result holds `reason` alone. Optuna would give every
    option the same share then, or the whole to a single one.
    """
    if reason := _too_little(trials, sorted(values, reverse=True)):
        reason = f"nothing can be told: {reason}"
        logger.info("search: how much each option mattered: %s", reason)
        return {REASON: reason}
    import optuna

    mirror = optuna.create_study(direction="maximize")
    for trial, value in zip(trials, values, strict=True):
        mirror.add_trial(optuna.create_trial(params=trial.params, distributions=trial.distributions, value=value))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE)
    found = optuna.importance.get_param_importances(mirror, evaluator=evaluator, params=sorted(trials[0].params))
    shares = {name: round(value, 6) for name, value in sorted(found.items(), key=lambda item: (-item[1], item[0]))}
    shown = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    logger.info("search: how much each option mattered: %s", shown)
    return shares


def _too_little(trials: "Sequence[FrozenTrial]", scores: Sequence[float]) -> str:
    """Say why trials with these scores, best first, say nothing about their options; empty if they do."""
    needed = math.ceil(FEWEST_BEST / BEST_SHARE)
    if len(trials) < needed:
        return f"{len(trials)} trials that tried all options have a value, and {needed} are needed"
    varied = [name for name in sorted(trials[0].params) if any(_differ(name, trials[0], each) for each in trials)]
    if len(varied) < 2:
        return f"{f'{varied[0]} alone' if varied else 'no option'} was tried with more than one value"
    if scores[math.ceil(BEST_SHARE * len(scores)) - 1] == scores[-1]:
        return f"the best quarter of the {len(scores)} trials is no better than the rest"
    return ""


def _differ(name: str, one: "FrozenTrial", other: "FrozenTrial") -> bool:
    return bool(one.params[name] != other.params[name])
