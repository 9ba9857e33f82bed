"""The linear baseline of a model: what ridge or logistic regression reaches on the same encoded rows."""

import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from torchlane.core.encoding.tensors import join_rows, weights_of
from torchlane.core.explaining.linear import Linear, drawn_rows, fit_logistic, fit_ridge
from torchlane.core.explaining.uncertainty import standard_errors
from torchlane.core.judging.evaluation import score, shown_score, truth_of
from torchlane.core.model.learned import is_refit
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import EvaluationOptions
from torchlane.core.rows.splits import rows_of

logger = logging.getLogger(__name__)

JUDGED_ROWS = 20_000  # of test at most, by which model and baseline are compared row by row


def fit_baselines(
    model: TrainedModel,
    tensors: Mapping[str, TensorDataset],
    clean_rows: pd.DataFrame,
    splits: pd.DataFrame,
    options: EvaluationOptions,
) -> dict[str, Any]:
    """Fit the linear baseline to encoded rows of train, and score it on valid and test as the model is scored.

    If the model was trained on valid too, so is the baseline that is scored on test.

    The result is the content of `baselines.json`. `linear` has the `name`, the chosen `options`, the metrics of
    `valid` and `test` in raw units (empty without rows), and `ahead`: by how much the model's primary metric on test
    is above that of the baseline, with the standard error of this difference (null where undefined). `linear` is
    null if `evaluation.linear_baseline` is false, and `reason` says so.
    """
    if not options.linear_baseline:
        return {"linear": None, "reason": "evaluation.linear_baseline is false"}
    of_train = _fit(model, tensors["train"])
    linear = _fit(model, join_rows(tensors["train"], tensors["valid"])) if is_refit(model) else of_train
    parts: dict[str, dict[str, Any]] = {"valid": {}, "test": {}}
    for part in parts:
        if len(tensors[part]):
            truth = truth_of(rows_of(part, clean_rows, splits)[model.encoder.target.name], model.encoder.target)
            predicted = _predict(of_train if part == "valid" else linear, model, tensors[part].tensors[0])
            parts[part] = score(model.task, predicted, truth, weights_of(tensors[part]))
            if part == "test":
                ahead = _ahead(model, tensors[part], predicted, truth)
    metric = model.task.primary_metric
    if parts["test"]:
        reached = shown_score(metric, parts["test"][metric], model.data.target_unit)
        logger.info("baseline: %s reaches test %s", linear.name, reached)
    return {
        "linear": {
            "name": linear.name,
            "options": linear.options,
            **parts,
            "ahead": ahead if parts["test"] else {"metric": metric, "by": None, "standard_error": None},
        }
    }


def _fit(model: TrainedModel, train: TensorDataset) -> Linear:
    features, targets, weights = *train.tensors[:2], weights_of(train)
    seed, labels = model.training.seed, model.encoder.target.labels
    if not labels:
        return fit_ridge(features, targets, weights, model.encoder, seed)
    return fit_logistic(features, targets, len(labels), weights, model.encoder, seed)


def _predict(linear: Linear, model: TrainedModel, features: Tensor) -> Tensor:
    predicted = torch.from_numpy(linear.predict(features))
    return predicted if model.encoder.target.labels else model.encoder.target.decode(predicted)


def _ahead(model: TrainedModel, test: TensorDataset, of_baseline: Tensor, truth: Tensor) -> dict[str, Any]:
    """Compare the primary metrics on rows of test, drawn at random if there are many."""
    metric, weights = model.task.primary_metric, weights_of(test)
    some = torch.from_numpy(np.sort(drawn_rows(test.tensors[0], weights, JUDGED_ROWS, model.training.seed)))
    of_model = model.joint_prediction(model.member_predictions(test.tensors[0][some]))
    truth, of_baseline = truth[some], of_baseline[some]
    own = torch.ones(len(truth), dtype=torch.float64) if weights is None else weights[some]

    def difference(weights: Tensor) -> list[float]:
        first, second = (model.task.score(metric, each, truth, weights) for each in (of_model, of_baseline))
        return [first - second]

    values = {"by": difference(own)[0], "standard_error": float(standard_errors(difference, len(truth), own)[0])}
    return {"metric": metric, **{name: each if math.isfinite(each) else None for name, each in values.items()}}
