"""How the rows of each label fare, beside the metrics that are one number for all."""

import logging
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from torchlane.core.tasks.metrics import label_counts

logger = logging.getLogger(__name__)

OfLabel = dict[str, float | int | None]


def score_classes(probabilities: Tensor, truth: Tensor, labels: Sequence[str]) -> dict[str, OfLabel]:
    """Compute `precision`, `recall`, `f1` and `rows` of each label, as `classification_report` of scikit-learn.

    `probabilities` are (n_rows, n_labels) and `truth` is (n_rows,). What is not defined is None: the precision of a
    label that is never predicted, the recall of one that no row has, and F1 if both hold.
    """
    right, of_truth, predicted = (counts[0].double() for counts in label_counts(probabilities[None], truth[None]))
    columns = torch.stack([right / predicted, right / of_truth, 2 * right / (predicted + of_truth)], dim=1)
    return {
        label: {**_defined(scores), "rows": int(rows)}
        for label, scores, rows in zip(labels, columns.tolist(), of_truth.tolist(), strict=True)
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
