"""What a model predicts on average if a feature has one value in all rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from torchlane.core.encoding.columns import CategoryEncoder
from torchlane.core.encoding.encoder import TableEncoder
from torchlane.core.explaining.judged_rows import JudgedRows
from torchlane.core.explaining.varied_model import VariedModel
from torchlane.core.model.trained import TrainedModel
from torchlane.core.rows.dates import instants_of, moments_of

COLUMNS = ("feature", "kind", "label", "value", "prediction", "low", "high")
TEXTS = ("feature", "kind", "label", "value")
MOST_VALUES = 20  # of a feature
MOST_LABELS = 5  # of a multiclass task: the commonest ones in train
SHARES = np.linspace(0.05, 0.95, MOST_VALUES)  # quantiles that stand for many numbers, as scikit-learn's outer ones


def partial_dependence(
    model: TrainedModel, rows: JudgedRows, train_rows: pd.DataFrame, names: Sequence[str]
) -> pd.DataFrame:
    """Average predictions of rows in which one feature is set to each of some values.

    This is the partial dependence of Friedman (2001, doi 10.1214/aos/1013203451), as scikit-learn computes it.

    The result has the columns `COLUMNS`, with the features in the order of `names`. `value` is the text of a level, a
    number or a date: all values that `train_rows` have of a number or a date if they are at most `MOST_VALUES`, else
    quantiles; and the commonest levels. `prediction` is in the units of the target, or the probability of `label`: the
    positive one of a binary task, each of at most `MOST_LABELS` of a multiclass one. It is averaged by the weights
    of rows. `low` and `high` are the least and the largest such average of a member, calibrated like the prediction, or
    the prediction itself where it lies beyond, since a mean of probabilities is calibrated after it is taken.
    """
    varied = VariedModel(model, rows.features)
    columns = {column.name: column for column in model.encoder.tabular}
    labels = _labels(model)

    def average(name: str) -> list[tuple[Any, ...]]:
        column, found = columns[name], []
        values, texts = _values(column, train_rows[name])
        encoded = torch.from_numpy(column.encode(values))
        averages = [_average(model, varied.outputs(name, each.expand(len(rows), -1)), rows) for each in encoded]
        for label, index in labels.items():
            for text, (joint, of_members) in zip(texts, averages, strict=True):
                ends = torch.cat([of_members[:, index], joint[index, None]])
                found.append(
                    (name, column.kind, label, text, float(joint[index]), float(ends.min()), float(ends.max()))
                )
        return found

    found = [line for lines in varied.for_each(names, average) for line in lines]
    return pd.DataFrame(found, columns=list(COLUMNS)) if found else no_dependence()


def no_dependence() -> pd.DataFrame:
    """Give the table of no feature."""
    return pd.DataFrame({name: pd.Series(dtype="str" if name in TEXTS else "float64") for name in COLUMNS})


def _labels(model: TrainedModel) -> dict[str, int]:
    """Give the labels whose probabilities are shown, as they stand in the file, and their places; "" for a number."""
    target = model.encoder.target
    if not target.labels:
        return {"": 0}
    written = [f"{label}" for label in target.restore(target.labels)]
    if target.task == "binary":
        return {written[1]: 1}
    shown = np.sort(np.argsort(-np.array(target.counts), kind="stable")[:MOST_LABELS])
    return {written[index]: int(index) for index in shown}


def _average(model: TrainedModel, outputs: Tensor, rows: JudgedRows) -> tuple[Tensor, Tensor]:
    """Average predictions over rows: those of the ensemble (n_labels or 1,), and of the members (members, …)."""
    each = model.task.predict(outputs, model.encoder.target)  # (members, n_rows) or (members, n_rows, n_labels)
    joined = [model.join_members(members) for members in (each, *each.split(1))]  # calibrated all alike
    both = torch.stack(joined).view(len(each) + 1, len(rows), -1)
    weights = torch.ones(len(rows), dtype=torch.float64) if rows.weights is None else rows.weights.double()
    averages = torch.einsum("mrl,r->ml", both, weights / weights.sum())
    return averages[0], averages[1:]


def _values(column: TableEncoder, of_train: pd.Series) -> tuple[pd.Series, list[str]]:
    """Choose the values that a feature is set to, and write them."""
    if isinstance(column, CategoryEncoder):
        counts = np.array(column.counts)[[*range(column.unseen), *range(column.unseen + 2, column.n_codes)]]
        commonest = np.sort(np.argsort(-counts, kind="stable")[:MOST_VALUES])
        levels = [column.levels[place] for place in commonest if counts[place]]
        return pd.Series(levels, dtype="str"), levels
    known = of_train.dropna()
    is_date = column.kind == "date"
    numbers = np.sort(instants_of(known) if is_date else known.to_numpy(np.float64))
    chosen = np.unique(numbers)
    if len(chosen) > MOST_VALUES:
        chosen = np.unique(np.quantile(numbers, SHARES, method="inverted_cdf"))
    if not is_date:
        return pd.Series(chosen, dtype=np.float64), [f"{number:.15g}" for number in chosen]
    moments = moments_of(chosen, known.dt.tz)
    return moments, [moment.isoformat() for moment in moments]
