"""How the rows of each label fare, beside the metrics that are one number for all."""

import logging
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchlane.core.tasks.metrics import label_counts

logger = logging.getLogger(__name__)

Scores = dict[str, float | None]
OfLabel = dict[str, float | int | None]


def score_classes(
    probabilities: Tensor, truth: Tensor, labels: Sequence[str], weights: Tensor | None = None
) -> dict[str, OfLabel]:
    """Compute `precision`, `recall`, `f1` and `rows` of each label, as `classification_report` of scikit-learn.

    `probabilities` are (n_rows, n_labels), `truth` and `weights` are (n_rows,). The number of `rows` does not depend
    on weights. What is not defined is None: the precision of a label that is never predicted, the recall of one that
    no row has, and F1 if both hold.
    """
    of_member = None if weights is None else weights[None]
    counts = label_counts(probabilities[None], truth[None], of_member)
    right, of_truth, predicted = (each[0].double() for each in counts)
    rows = torch.bincount(truth.long(), minlength=len(labels)).tolist()
    columns = torch.stack([right / predicted, right / of_truth, 2 * right / (predicted + of_truth)], dim=1)
    return {
        label: {**_defined(scores), "rows": n_rows}
        for label, scores, n_rows in zip(labels, columns.tolist(), rows, strict=True)
    }


def warn_of_absent(labels: Sequence[str]) -> None:
    """Warn of labels that no row of test has, so that nothing is known about how well they are told."""
    if labels:
        logger.warning(
            "evaluation: test has no row of %s, so nothing is known about such rows, and averages over labels leave "
            "them out; give more of them, or set another split.seed",
            ", ".join(labels),
        )


def _defined(scores: Sequence[float]) -> OfLabel:
    names = ("precision", "recall", "f1")
    return {name: value if math.isfinite(value) else None for name, value in zip(names, scores, strict=True)}
