"""Scores of a model in the units of the raw file, compared with the best constant prediction."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from torchlane.core.encoding.target import TargetEncoder
from torchlane.core.model.trained import COVERAGE, TrainedModel
from torchlane.core.rows.checking import ROW
from torchlane.core.rows.splits import rows_of
from torchlane.core.tasks.objectives import Objective
from torchlane.core.tasks.tasks import Task

logger = logging.getLogger(__name__)

Scores = dict[str, float | None]


def evaluate(
    model: TrainedModel,
    tensors: Mapping[str, TensorDataset],
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    coverage: float = COVERAGE,
    *,
    quiet: bool = False,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Score each part in `tensors` (train, valid, test), and list the predictions on test.

    The first result is the content of `metrics.json`. It has the task's metrics for each part with rows,
    `loss` (the criterion in scaled units, mean over members), the constant `baseline` on test, the number of
    rows, the source of the rows, and how well the `calibration` from valid holds on test. An undefined
    metric, such as R² of a single row, is null. The second result has `row`, `truth` and the columns of
    `TrainedModel.predict`, in raw units.
    """
    target = model.encoder.target
    truths = {part: truth_of(rows_of(part, clean_rows, splits)[target.name], target) for part in tensors}
    objective = Objective.of(target, model.training.loss)
    metrics: dict[str, Any] = {}
    for part, dataset in tensors.items():
        features, targets = dataset.tensors
        metrics[part] = {}
        if len(dataset):
            outputs = model.outputs(features)
            prediction = model.joint_prediction(model.task.predict(outputs, target))
            losses = [objective.loss(of_member, targets) for of_member in outputs]
            metrics[part] = {**score(model.task, prediction, truths[part]), "loss": sum(losses) / len(losses)}
    metrics["baseline"] = _score_constant(model.task, truths, len(target.labels))
    metrics["rows"] = {part: len(dataset) for part, dataset in tensors.items()}
    metrics["data"] = model.details["source"]
    predictions = _list_predictions(model, tensors["test"], rows_of("test", clean_rows, splits), coverage)
    metrics["calibration"] = _judge_calibration(model, predictions, coverage)
    primary = model.task.primary_metric
    if metrics["test"]:
        constant = metrics["baseline"][primary]
        logger.log(
            logging.DEBUG if quiet else logging.INFO,
            "evaluation: test %s (constant: %s %s), %d rows of %s",
            ", ".join(f"{name} {shown_score(value)}" for name, value in metrics["test"].items()),
            primary,
            shown_score(constant),
            metrics["rows"]["test"],
            metrics["data"],
        )
    return metrics, predictions


def score(task: Task, prediction: Tensor, truth: Tensor) -> Scores:
    """Compute the metrics of a task; an undefined one is None. `Task` describes the shapes."""
    scores = {name: task.score(name, prediction, truth) for name in task.metrics}
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


def shown_score(value: float | None) -> str:
    """Write a score for the log."""
    return "undefined" if value is None else f"{value:.4g}"


def _score_constant(task: Task, truths: Mapping[str, Tensor], n_labels: int) -> Scores:
    if not len(truths["test"]):
        return {}
    constant = task.constant(truths["train"], n_labels)
    return score(task, constant.expand(len(truths["test"]), *constant.shape).contiguous(), truths["test"])


def truth_of(values: pd.Series, target: TargetEncoder) -> Tensor:
    """Give the checked values of a target as metrics take them: raw numbers in float64, or label indices."""
    if target.task == "regression":
        return torch.tensor(values.to_numpy("float64"))
    return torch.from_numpy(target.label_index(values))


def _judge_calibration(model: TrainedModel, predictions: pd.DataFrame, coverage: float) -> Scores:
    """The share of test rows covered by the intervals and their mean width in raw units, or the temperature."""
    if model.encoder.target.task != "regression":
        return {"temperature": model.calibration.temperature}
    if "low" not in predictions or predictions.empty:
        return {}
    covered = predictions["truth"].between(predictions["low"], predictions["high"])
    width = float((predictions["high"] - predictions["low"]).mean())
    return {
        "coverage_asked": coverage,
        "coverage": float(covered.mean()),
        "interval_width": width if math.isfinite(width) else None,
    }


def _list_predictions(model: TrainedModel, test: TensorDataset, rows: pd.DataFrame, coverage: float) -> pd.DataFrame:
    predictions = model.describe_predictions(test.tensors[0], coverage)
    predictions.insert(0, ROW, rows[ROW])
    target = model.encoder.target
    truth = rows[target.name]
    predictions.insert(1, "truth", truth if target.task == "regression" else target.restore(truth))
    return predictions
