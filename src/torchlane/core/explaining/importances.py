"""How much each feature matters to a model: what permuting its column costs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from torchlane.core.explaining.judged_rows import JudgedRows, generator_of
from torchlane.core.explaining.varied_model import VariedModel, bytes_of_row, work_of_row
from torchlane.core.model.trained import TrainedModel

COLUMNS = ("feature", "importance", "over_repeats", "over_members", "part", "metric", "score")
TEXTS = ("feature", "part", "metric")
MOST_WORK = 260_000_000_000  # multiply-adds of all permutations together: a quarter of a minute on one core
MOST_BYTES = 512 << 20  # of rows that pass at once
FEWEST_ROWS = 200  # to which rows are reduced before features are left out
ROWS_AT_ONCE = 1024  # few rows are permuted several times in one pass
SEED = 0


@dataclass(frozen=True)
class Effort:
    """How many rows are permuted how often, and how many of the features."""

    rows: int
    repeats: int
    features: int


def bounded_effort(n_rows: int, repeats: int, n_features: int, model: TrainedModel) -> Effort:
    """Reduce repeats, then rows, then features, until the work is at most `MOST_WORK`."""
    work = work_of_row(model)
    n_rows = max(1, min(n_rows, MOST_BYTES // bytes_of_row(model)))
    passes = MOST_WORK // work  # of rows
    repeats = min(repeats, max(1, passes // (n_rows * n_features)))
    n_rows = min(n_rows, max(FEWEST_ROWS, passes // (repeats * n_features)))
    return Effort(n_rows, repeats, min(n_features, max(1, passes // (repeats * n_rows))))


def undefined_reason(rows: JudgedRows, model: TrainedModel) -> str | None:
    """Say why the primary metric has no value on rows, or None if it has one."""
    metric = model.task.primary_metric
    if not math.isnan(_score(model, model.outputs(rows.features), rows)):
        return None
    distinct = len(torch.unique(rows.truth))
    what = "label" if model.encoder.target.labels else "value"
    if distinct == 1:
        return f"{metric} is not defined on {rows.part}, whose {len(rows)} rows have one {what} of the target"
    return f"{metric} is not defined on {rows.part}: predictions are not finite"


def permutation_importances(model: TrainedModel, rows: JudgedRows, repeats: int, names: Sequence[str]) -> pd.DataFrame:
    """Measure by how much the primary metric of the ensemble drops when the column of a feature is permuted.

    The result has the columns `COLUMNS`, the largest importance first. `importance` is the mean drop over permutations
    (Breiman 2001, doi 10.1023/A:1010933404324; `permutation_importance` of scikit-learn), so larger means that the
    feature matters more, also where lower values of a metric are better. `over_repeats` is its standard deviation over
    permutations. `over_members` is that of the members' own drops, for the first permutation. The encoded columns of a
    feature are permuted together. Permutations depend on the name of the feature and on the rows, but not on the order
    of either. `score` is the metric of the rows as they are.
    """
    copies = max(1, min(repeats, ROWS_AT_ONCE // len(rows)))  # permutations in one pass
    varied = VariedModel(model, rows.features.repeat(copies, 1))
    as_they_are = _outputs(varied, names[0], [torch.arange(len(rows))])[:, 0]
    score, of_members = _score(model, as_they_are, rows), _score_members(model, as_they_are, rows)
    sign = 1 if model.task.primary_metric.endswith("_score") else -1

    def measure(name: str) -> tuple[str, float, float, float]:
        random = generator_of(name, SEED)
        permuted = [torch.from_numpy(random.permutation(len(rows))) for _ in range(repeats)]
        scores: list[float] = []
        for start in range(0, repeats, copies):
            outputs = _outputs(varied, name, permuted[start : start + copies])
            if start == 0:
                own_drops = of_members - _score_members(model, outputs[:, 0], rows)
            scores += [_score(model, each, rows) for each in outputs.unbind(1)]
        drops = sign * (score - np.array(scores))
        return name, drops.mean(), drops.std(), float(own_drops.std(correction=0))

    found = varied.for_each(names, measure)
    table = pd.DataFrame(found, columns=list(COLUMNS[:4]))
    table = table.sort_values(["importance", "feature"], ascending=[False, True], ignore_index=True)
    return table.assign(part=rows.part, metric=model.task.primary_metric, score=score)


def no_importances() -> pd.DataFrame:
    """Give the table of no feature."""
    return pd.DataFrame({name: pd.Series(dtype="str" if name in TEXTS else "float64") for name in COLUMNS})


def _outputs(varied: VariedModel, name: str, permuted: Sequence[Tensor]) -> Tensor:
    """Give the outputs (members, n_permutations, n_rows, width) for permutations (n_rows,) of a feature."""
    values, n_rows = varied.encoded(name), len(permuted[0])
    spare = len(values) // n_rows - len(permuted)
    outputs = varied.outputs(name, values[torch.cat([*permuted, *[torch.arange(n_rows)] * spare])])
    return outputs.unflatten(1, (-1, n_rows))[:, : len(permuted)]


def _score_members(model: TrainedModel, outputs: Tensor, rows: JudgedRows) -> Tensor:
    """Compute the primary metric of each member from outputs (members, n_rows, width): float64 (members,)."""
    targets = rows.targets.expand(len(outputs), *rows.targets.shape)
    weights = None if rows.weights is None else rows.weights.expand(len(outputs), -1)
    return model.task.primary(outputs, targets, weights)


def _score(model: TrainedModel, outputs: Tensor, rows: JudgedRows) -> float:
    """Compute the primary metric of the ensemble from outputs (members, n_rows, width)."""
    prediction = model.join_members(model.task.predict(outputs, model.encoder.target))
    return model.task.score(model.task.primary_metric, prediction, rows.truth, rows.weights)
