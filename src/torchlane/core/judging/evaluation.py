"""Scores of a model in the units of the raw file, compared with the best constant prediction."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.encoding.tensors import weights_of
from torchlane.core.judging.classes import Scores, score_classes, warn_of_absent
from torchlane.core.judging.named_metrics import NamedMetrics, score_named
from torchlane.core.model.learned import is_refit, outputs_of_valid
from torchlane.core.model.seen import SeenRows
from torchlane.core.model.trained import COVERAGE, TrainedModel
from torchlane.core.options import SplitOptions, shown_number
from torchlane.core.rows.checking import ROW
from torchlane.core.rows.splits import rows_of
from torchlane.core.tasks.objectives import Objective
from torchlane.core.tasks.tasks import Task

logger = logging.getLogger(__name__)


def evaluate(
    model: TrainedModel,
    tensors: Mapping[str, TensorDataset],
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    coverage: float = COVERAGE,
    *,
    split: SplitOptions | None = None,
    named: NamedMetrics | None = None,
    quiet: bool = False,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Score each part in `tensors` (train, valid, test), and list the predictions on test.

    The first result is the content of `metrics.json`. It has the task's metrics for each part with rows,
    `loss` (the criterion in scaled units, mean over members), the constant `baseline` on test, the number of
    rows, the source of the rows, the column of their `weight` if they have one, and how well the `calibration`
    from valid holds on test. Each of these but the number of rows counts the weights. For numbers it has the `median`
    of train and the mean absolute error on test of always guessing it, the least that a constant can have on train.
    For labels it has the
    `positive` one (null unless the task is binary), `classes` with the scores of each label on test, and those
    `absent_from_test`. An undefined metric, such as R² of a single row, is null. The second result has `row`,
    `truth` and the columns of `TrainedModel.predict`, in raw units.

    If `split` makes test unlike train by intention, `split` has its `order_by` or `group_by`.
    The score on valid is that of weights which have not seen it: of a model that was refitted, of those before.

    `named` metrics stand beside those of the task, in each part with rows and in the baseline. Each distinct row of
    all parts passes through the networks once.

    Raises:
        ValueError: a named metric cannot be computed; see `named_metrics.score_named`. Or the model was refitted on
            valid, and its `valid_outputs` from before are not there.
    """
    target = model.encoder.target
    truths = {part: truth_of(rows_of(part, clean_rows, splits)[target.name], target) for part in tensors}
    metrics: dict[str, Any] = {}
    predictions: dict[str, Tensor] = {}
    seen = SeenRows(model)
    for part, dataset in tensors.items():
        if part == "valid" and is_refit(model):
            of_distinct, places = outputs_of_valid(model, dataset.tensors[0]), torch.arange(len(dataset))
        else:
            of_distinct, places = seen.outputs(dataset.tensors[0])
        each = model.predictions_of(of_distinct)
        predictions[part] = model.joint_prediction(each)[places]
        metrics[part] = _score_part(model, dataset, of_distinct[:, places], predictions[part], truths[part])
        if part == "test":
            listed = model.describe(each, coverage).iloc[places.numpy()].reset_index(drop=True)
    weights_by_part = {part: weights_of(dataset) for part, dataset in tensors.items()}
    metrics["baseline"] = _score_constant(model.task, truths, len(target.labels), weights_by_part)
    metrics |= {"rows": {part: len(dataset) for part, dataset in tensors.items()}, "data": model.details["source"]}
    if model.encoder.weight is not None:
        metrics["weight"] = model.encoder.weight
    if split is not None and split.unlike:
        metrics["split"] = split.unlike
    listed = _with_truth(listed, rows_of("test", clean_rows, splits), target)
    metrics["calibration"] = _judge_calibration(model, listed, coverage, weights_by_part["test"])
    if target.task == "regression" and metrics["test"]:
        metrics["median"] = _judge_median(model.task, truths, weights_by_part)
    if target.labels:
        metrics |= _judge_classes(target, listed, truths["test"], weights_by_part["test"], quiet)
    if metrics["test"]:
        _log(metrics, model, logging.DEBUG if quiet else logging.INFO)
    return _with_named(metrics, named or {}, model, predictions, truths), listed


def score(task: Task, prediction: Tensor, truth: Tensor, weights: Tensor | None = None) -> Scores:
    """Compute the metrics of a task; an undefined one is None. `Task` describes the shapes; weights are (n_rows,)."""
    scores = {name: task.score(name, prediction, truth, weights) for name in task.metrics}
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


def _score_part(model: TrainedModel, part: TensorDataset, outputs: Tensor, prediction: Tensor, truth: Tensor) -> Scores:
    if not len(part):
        return {}
    _, targets, *weights = part.tensors
    objective = Objective.of(model.encoder.target, model.training.loss)
    losses = [objective.loss(of_member, targets, *weights) for of_member in outputs]
    return {**score(model.task, prediction, truth, *weights), "loss": sum(losses) / len(losses)}


def shown_score(name: str, value: float | None, unit: str) -> str:
    """Write a score for the log; errors are in the `unit` of the target."""
    return f"{name} {shown_number(value)}" + (f" {unit}" if name.endswith("_error") else "")


def _log(metrics: Mapping[str, Any], model: TrainedModel, level: int) -> None:
    primary = model.task.primary_metric
    logger.log(
        level,
        "evaluation: test %s (constant: %s %s), %d rows of %s%s%s%s",
        ", ".join(shown_score(name, value, model.data.target_unit) for name, value in metrics["test"].items()),
        primary,
        shown_number(metrics["baseline"][primary]),
        metrics["rows"]["test"],
        metrics["data"],
        f", weighted by '{metrics['weight']}'" if "weight" in metrics else "",
        "" if metrics.get("positive") is None else f"; the positive label is '{metrics['positive']}'",
        _about_split(metrics.get("split", {})),
    )


def _about_split(unlike: Mapping[str, Any]) -> str:
    if "order_by" in unlike:
        return f"; test is later than train and valid by '{unlike['order_by']}'"
    return f"; no group of test by '{', '.join(unlike['group_by'])}' is in train or valid" if unlike else ""


def _score_constant(
    task: Task, truths: Mapping[str, Tensor], n_labels: int, weights: Mapping[str, Tensor | None]
) -> Scores:
    if not len(truths["test"]):
        return {}
    everywhere = _constant_of(task, truths, n_labels, weights["train"])
    return score(task, everywhere, truths["test"], weights["test"])


def _constant_of(task: Task, truths: Mapping[str, Tensor], n_labels: int, weights: Tensor | None = None) -> Tensor:
    """Give the best constant prediction for each row of test."""
    constant = task.constant(truths["train"], n_labels, weights)
    return constant.expand(len(truths["test"]), *constant.shape).contiguous()


def _judge_median(task: Task, truths: Mapping[str, Tensor], weights: Mapping[str, Tensor | None]) -> Scores:
    """The (lower) median of train, and the mean absolute error on test of always guessing it."""
    ordered, order = truths["train"].sort()
    counting = torch.ones_like(ordered) if weights["train"] is None else weights["train"].double()
    cumulated = counting[order].cumsum(0)
    median = ordered[torch.searchsorted(cumulated, cumulated[-1] / 2)]
    error = task.score("mean_absolute_error", median.expand(len(truths["test"])), truths["test"], weights["test"])
    return {"value": float(median), "mean_absolute_error": error if math.isfinite(error) else None}


def _judge_classes(
    target: TargetEncoder, predictions: pd.DataFrame, truth: Tensor, weights: Tensor | None, quiet: bool
) -> dict[str, Any]:
    """Name the positive label, score each label on test, and list those that no row of test has."""
    labels = [f"{label}" for label in target.restore(target.labels)]  # as they stand in the file
    probabilities = predictions[[f"probability_{label}" for label in labels]].to_numpy("float64", copy=True)
    classes = score_classes(torch.from_numpy(probabilities), truth, labels, weights)
    absent = [label for label, own in classes.items() if not own["rows"]]
    if len(truth) and not quiet:
        warn_of_absent(absent)
    positive = labels[1] if target.positive is not None else None
    return {"positive": positive, "classes": classes, "absent_from_test": absent}


def truth_of(values: pd.Series, target: TargetEncoder) -> Tensor:
    """Give the checked values of a target as metrics take them: raw numbers in float64, or label indices."""
    if target.task == "regression":
        return torch.tensor(values.to_numpy("float64"))
    return torch.from_numpy(target.label_index(values))


def _judge_calibration(
    model: TrainedModel, predictions: pd.DataFrame, coverage: float, weights: Tensor | None
) -> Scores:
    """The share of test rows covered by the intervals and their mean width in raw units, or the temperature."""
    if model.encoder.target.task != "regression":
        return {"temperature": model.calibration.temperature}
    if "low" not in predictions or predictions.empty:
        return {}
    covered = predictions["truth"].between(predictions["low"], predictions["high"])
    width = _mean(predictions["high"] - predictions["low"], weights)
    return {
        "coverage_asked": coverage,
        "coverage": _mean(covered, weights),
        "interval_width": width if math.isfinite(width) else None,
    }


def _mean(values: pd.Series, weights: Tensor | None) -> float:
    if weights is None:
        return float(values.mean())
    counting = weights.numpy() > 0  # an infinite width of a row that does not count is no matter
    return float(np.average(values[counting], weights=weights.numpy()[counting]))


def _with_named(
    metrics: Mapping[str, Any],
    named: NamedMetrics,
    model: TrainedModel,
    predictions: Mapping[str, Tensor],
    truths: Mapping[str, Tensor],
) -> dict[str, Any]:
    """Add the named metrics to those of each part with rows, and to the constant `baseline`."""
    task, n_labels = model.encoder.target.task, len(model.encoder.target.labels)
    of_parts = {part: (each, truths[part]) for part, each in predictions.items() if named and len(each)}
    if named and metrics["baseline"]:
        of_parts["baseline"] = (_constant_of(model.task, truths, n_labels), truths["test"])
    added = {name: score_named(named, task, n_labels, *pair) for name, pair in of_parts.items()}
    return {name: {**value, **added[name]} if name in added else value for name, value in metrics.items()}


def _with_truth(predictions: pd.DataFrame, rows: pd.DataFrame, target: TargetEncoder) -> pd.DataFrame:
    truth = rows[target.name]
    predictions.insert(0, ROW, rows[ROW])
    predictions.insert(1, "truth", truth if target.task == "regression" else target.restore(truth))
    return predictions
