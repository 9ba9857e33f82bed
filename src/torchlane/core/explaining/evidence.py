"""The facts that the rules of warnings look at, measured on the encoded rows and the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import Encoder
from torchlane.core.encoding.tensors import weights_of
from torchlane.core.explaining.contradictions import Contradictions, find_contradictions
from torchlane.core.explaining.findings import Estimate, Evidence, Importance
from torchlane.core.explaining.linear import drawn_rows
from torchlane.core.explaining.part_differences import tell_apart
from torchlane.core.explaining.single_features import constant_columns, signals_of
from torchlane.core.explaining.uncertainty import mean_and_error, standard_errors
from torchlane.core.model.learned import outputs_of_valid
from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import SplitOptions
from torchlane.core.search.chosen import Chosen
from torchlane.core.search.edges import Edges

JUDGED_ROWS = 20_000  # of a part at most, on which errors are measured
COMPARED_VALUES = 100_000_000  # of features, at most, among which equal rows are looked for
FEW_LEVELS, LEVEL_SHARE = 20, 0.01  # levels of a column, and a level's share of train, so that its rows are counted
LEVEL_ROWS = 30  # rows of test, below which all levels have few
TAIL_ROWS, TAIL_SHARE = 100, 0.01

Parts = Mapping[str, TensorDataset]


@dataclass(frozen=True)
class Judged:
    """Rows of a part, drawn at random, with predictions and truth in raw units, or as probabilities and labels."""

    prediction: Tensor
    truth: Tensor
    weights: Tensor | None

    def losses(self, prediction: Tensor, square: bool = True) -> np.ndarray:
        """Give the squared or absolute error, or the Brier score, of a prediction for each row: float64 (n_rows,)."""
        if prediction.ndim == 1:
            errors = (prediction - self.truth).abs()
            return (errors**2 if square else errors).numpy()
        indicators = torch.nn.functional.one_hot(self.truth, prediction.shape[1])
        return (prediction - indicators).square().sum(1).numpy()

    def estimate(self, losses: np.ndarray) -> Estimate:
        """Average something over the rows."""
        value, error = mean_and_error(losses, None if self.weights is None else self.weights.double().numpy())
        return Estimate(value, error, len(losses))


def gather_evidence(
    model: TrainedModel,
    parts: Parts,
    split: SplitOptions,
    metrics: Mapping[str, Any],
    baselines: Mapping[str, Any],
    importances: pd.DataFrame,
    chosen: Chosen,
) -> Evidence:
    """Measure what the rules look at; `parts` are the encoded rows of train, valid and test.

    `chosen` is what the search chose for this model, without trials if nothing was searched.
    Large parts are looked at through rows drawn with the seed of the training.
    """
    encoder, seed = model.encoder, model.training.seed
    train, test = parts["train"], parts["test"]
    weights = weights_of(train)
    judged = {part: _judge(model, part, parts[part], seed) for part in ("valid", "test") if len(parts[part])}
    is_image = encoder.image is not None
    has_intervals = bool(metrics.get("calibration", {}).get("coverage_asked")) and weights is None
    target = encoder.target
    return Evidence(
        task=target.task,
        target=target.name,
        primary=model.task.primary_metric,
        is_image=is_image,
        loss=model.training.loss.name or "",
        rows={part: len(each) for part, each in parts.items()},
        parted_by=_parted_by(split),
        metrics=metrics,
        baselines=baselines,
        score=_score(model, judged.get("test")),
        losses={part: each.estimate(each.losses(each.prediction, square=False)) for part, each in judged.items()},
        ahead=_ahead(model, train, judged.get("test")),
        shares=_shares(encoder),
        level_rows={} if len(test) < LEVEL_ROWS else _level_rows(train.tensors[0], test.tensors[0], encoder),
        signals={} if is_image else signals_of((train.tensors[0], train.tensors[1]), encoder, weights, seed),
        constant=() if is_image else tuple(constant_columns(train.tensors[0], encoder)),
        importances={
            str(line["feature"]): Importance(float(line["importance"]), float(line["over_repeats"]))
            for line in importances.to_dict("records")
        },
        apart=None
        if split.all_rows_in or split.group_by or "order_by" in split.unlike
        else tell_apart(train.tensors[0], test.tensors[0], encoder, seed),
        contradictions=_contradictions(parts, split, len(target.labels), seed),
        tail=None if target.labels else _tail(train.tensors[1].flatten().double().numpy()),
        edges=_edges(chosen),
        covered=(round(metrics["calibration"]["coverage"] * len(test)), len(test)) if has_intervals else None,
    )


def _judge(model: TrainedModel, part: str, dataset: TensorDataset, seed: int) -> Judged:
    """Predict rows of a part with weights that have not seen them."""
    features, weights = dataset.tensors[0], weights_of(dataset)
    rows = torch.from_numpy(drawn_rows(features, weights, JUDGED_ROWS, seed))
    targets, target = dataset.tensors[1][rows], model.encoder.target
    truth = targets.flatten().long() if target.labels else target.decode(targets.flatten())
    outputs = outputs_of_valid(model, features, rows) if part == "valid" else model.outputs(features[rows])
    prediction = model.joint_prediction(model.predictions_of(outputs))
    return Judged(prediction, truth, None if weights is None else weights[rows])


def _score(model: TrainedModel, test: Judged | None) -> Estimate | None:
    """The primary metric on test; None if it is undefined."""
    if test is None:
        return None
    metric, n_rows = model.task.primary_metric, len(test.truth)

    def score(weights: Tensor) -> list[float]:
        return [model.task.score(metric, test.prediction, test.truth, weights)]

    everywhere = torch.ones(n_rows, dtype=torch.float64) if test.weights is None else test.weights.double()
    (value,) = score(everywhere)
    return None if np.isnan(value) else Estimate(value, float(standard_errors(score, n_rows, everywhere)[0]), n_rows)


def _ahead(model: TrainedModel, train: TensorDataset, test: Judged | None) -> Estimate | None:
    """By how much the loss of the best constant exceeds that of the model, row by row."""
    if test is None:
        return None
    target, targets = model.encoder.target, train.tensors[1].flatten()
    truth = targets.long() if target.labels else target.decode(targets)
    constant = model.task.constant(truth, len(target.labels), weights_of(train)).double()
    constant = constant.expand(len(test.truth), *constant.shape)
    return test.estimate(test.losses(constant) - test.losses(test.prediction))


def _shares(encoder: Encoder) -> dict[str, float]:
    target = encoder.target
    total = sum(target.label_sizes) or 1
    labels = map(str, target.restore(target.labels)) if target.labels else ()
    return {label: size / total for label, size in zip(labels, target.label_sizes, strict=True)}


def _level_rows(train: Tensor, test: Tensor, encoder: Encoder) -> dict[str, int]:
    """Count the rows of test for each level that train has some of, of the columns with few levels."""
    found: dict[str, int] = {}
    start = 0
    for column in encoder.tabular:
        if isinstance(column, CategoryEncoder) and len(column.levels) <= FEW_LEVELS:
            of_train, of_test = (
                np.bincount(each[:, start].numpy().astype(np.int64), minlength=column.n_codes) for each in (train, test)
            )
            for code, level in enumerate(column.levels[: column.unseen]):
                if of_train[code] >= LEVEL_SHARE * len(train):
                    found[f"{column.name}={level}"] = int(of_test[code])
        start += column.width
    return found


def _contradictions(parts: Parts, split: SplitOptions, n_labels: int, seed: int) -> Contradictions | None:
    some = [parts["train"]] if split.all_rows_in else list(parts.values())
    values_a_row = max(1, some[0].tensors[0][:1].numel())
    share = min(1.0, COMPARED_VALUES / values_a_row / sum(map(len, some)))
    drawn = [
        torch.from_numpy(drawn_rows(each.tensors[0], None, int(share * len(each)), seed)) for each in some if len(each)
    ]
    taken = [each for each in some if len(each)]
    features = torch.cat([each.tensors[0][rows] for each, rows in zip(taken, drawn, strict=True)])
    targets = torch.cat([each.tensors[1][rows].flatten() for each, rows in zip(taken, drawn, strict=True)])
    numbers = targets.long() if n_labels else targets.double()
    return find_contradictions(features, numbers.numpy(), n_labels)


def _tail(targets: np.ndarray) -> float | None:
    """The share of the squared deviations from the mean that the rows farthest from it have, one in a hundred."""
    squares = np.sort((targets - targets.mean()) ** 2)[::-1]
    if len(squares) < TAIL_ROWS or squares[0] == 0:
        return None
    return float(squares[: round(TAIL_SHARE * len(squares))].sum() / squares.sum())


def _edges(chosen: Chosen) -> Edges | str:
    if not chosen.get("trials"):
        return "no search"
    edges: Edges | None = chosen.get("edges")
    return "too few trials, or an earlier version searched" if edges is None else edges


def _parted_by(split: SplitOptions) -> str:
    if split.all_rows_in:
        return "split.all_rows_in"
    if split.part_column is not None:
        return f"split.part_column '{split.part_column}'"
    if split.order_by is not None:
        return "split.order_by"
    return "split.group_by" if split.group_by else ""
