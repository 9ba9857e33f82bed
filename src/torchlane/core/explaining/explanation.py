"""What drives a model: the importance of its features, and how predictions depend on the most important ones."""

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd
from torch.utils.data import TensorDataset

from torchlane.core.explaining.importances import (
    SEED,
    bounded_effort,
    no_importances,
    permutation_importances,
    undefined_reason,
)
from torchlane.core.explaining.judged_rows import judged_rows
from torchlane.core.explaining.partial_dependence import no_dependence, partial_dependence
from torchlane.core.model.learned import learned_parts
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import EvaluationOptions
from torchlane.core.rows.splits import rows_of

logger = logging.getLogger(__name__)

MOST_FEATURES = 6  # whose partial dependence is computed
MOST_ROWS = 1000  # of train that it averages over
Facts = dict[str, Any]


def explain_model(
    model: TrainedModel,
    tensors: Mapping[str, TensorDataset],
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    options: EvaluationOptions,
) -> tuple[pd.DataFrame, pd.DataFrame, Facts]:
    """Measure what drives a model: see `permutation_importances` and `partial_dependence`.

    Features are permuted on test, or on valid if test has no rows. The third result says how: `part`, `metric`, the
    number of `rows`, `repeats` and `features`, how many features were `left_out` because there are too many, and
    the `reason` why there is no importance, or null. Dependence is that of the most important features, on rows of
    train.
    """
    importances, facts = _importances(model, tensors, clean_rows, splits, options)
    if facts["reason"] is not None:
        logger.info("importances: none, since %s", facts["reason"])
        return importances, no_dependence(), facts
    top = importances["feature"].head(MOST_FEATURES).tolist()
    train = judged_rows("train", model, tensors["train"], clean_rows, splits).some(MOST_ROWS, SEED)
    dependence = partial_dependence(model, train, rows_of("train", clean_rows, splits)[top], top)
    _log(importances, facts, is_learned=facts["part"] in learned_parts(model))
    return importances, dependence, facts


def _importances(
    model: TrainedModel,
    tensors: Mapping[str, TensorDataset],
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    options: EvaluationOptions,
) -> tuple[pd.DataFrame, Facts]:
    part = next((part for part in ("test", "valid") if len(tensors[part])), None)
    facts: Facts = {"part": part, "metric": model.task.primary_metric, "rows": 0, "repeats": 0, "features": 0}
    facts |= {"left_out": 0, "reason": None}
    if model.encoder.image is not None:
        return no_importances(), facts | {"reason": "an image has no columns to permute"}
    if not options.importance_repeats:
        return no_importances(), facts | {"reason": "evaluation.importance_repeats is 0"}
    if part is None:
        return no_importances(), facts | {"reason": "neither test nor valid has rows"}
    names = [column.name for column in model.encoder.tabular]
    rows = judged_rows(part, model, tensors[part], clean_rows, splits)
    most = min(len(rows), options.importance_rows)
    effort = bounded_effort(most, options.importance_repeats, len(names), model)
    rows = rows.some(effort.rows, SEED)
    if (reason := undefined_reason(rows, model)) is not None:
        return no_importances(), facts | {"reason": reason}
    importances = permutation_importances(model, rows, effort.repeats, names[: effort.features])
    facts |= {"rows": len(rows), "repeats": effort.repeats, "features": effort.features}
    return importances, facts | {"left_out": len(names) - effort.features}


def _log(importances: pd.DataFrame, facts: Facts, *, is_learned: bool) -> None:
    first = importances[importances["importance"] > 0].head(3)
    shown = ", ".join(f"{name} ({drop:.3g})" for name, drop in zip(first["feature"], first["importance"], strict=True))
    logger.info(
        "importances: %s %s (%d rows of %s%s, %d times)%s",
        facts["metric"],
        f"drops most if {shown} is permuted" if shown else "drops for no feature that is permuted",
        facts["rows"],
        facts["part"],
        ", which the model was refitted on" * is_learned,
        facts["repeats"],
        f"; the last {facts['left_out']} features are left out, since there are too many" if facts["left_out"] else "",
    )
