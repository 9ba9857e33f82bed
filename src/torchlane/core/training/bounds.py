"""The losses between which a network should end on given rows: that of the best constant, and the lowest possible."""

import torch
from torch import Tensor, nn

from torchlane.core.tasks.objectives import Objective


def distinct_rows(features: Tensor) -> Tensor:
    """Give the position of the first of each group of equal rows, in order: int64 (n_kinds,)."""
    kinds = _number_kinds(features)
    first = torch.full((int(kinds.max()) + 1,), len(kinds), device=kinds.device)
    first = first.scatter_reduce(0, kinds, torch.arange(len(kinds), device=kinds.device), "amin")
    return first.sort().values


def constant_loss(targets: Tensor, objective: Objective, weights: Tensor | None = None) -> float:
    """Compute the loss of the best constant for encoded targets (n_rows, …).

    `weights` (n_rows,), also below, are in units of their mean.
    """
    kinds = torch.zeros(len(targets), dtype=torch.int64, device=targets.device)
    return _loss_by_kind(kinds, targets, objective, weights)


def lowest_loss(features: Tensor, targets: Tensor, objective: Objective, weights: Tensor | None = None) -> float:
    """Compute the loss that no network can beat: rows with equal features (n_rows, …) get the same answer."""
    return _loss_by_kind(_number_kinds(features), targets, objective, weights)


def _number_kinds(features: Tensor) -> Tensor:
    """Number the rows such that equal ones share a number: int64 (n_rows,)."""
    kinds: Tensor = features.flatten(1).unique(dim=0, return_inverse=True)[1]
    return kinds


def _loss_by_kind(kinds: Tensor, targets: Tensor, objective: Objective, weights: Tensor | None) -> float:
    """Compute the loss if the rows of each kind get their mean, or the shares of their labels."""
    if objective.target.task == "multiclass":
        known = torch.nn.functional.one_hot(targets, len(objective.target.labels)).float()
    else:
        known = targets.float()
    counts = _row_weights(known, objective)
    counts = counts if weights is None else counts * weights.to(counts)[:, None]
    sums = known.new_zeros(int(kinds.max()) + 1, known.shape[1])
    totals = sums[:, :1].index_add(0, kinds, counts)
    means = sums.index_add(0, kinds, known * counts) / totals.where(totals > 0, 1)
    smoothing = getattr(objective.criterion, "label_smoothing", 0.0)
    if smoothing:
        rows = counts.new_ones(len(counts), 1) if weights is None else weights.to(counts)[:, None]
        means = _smoothed(means * totals, sums[:, :1].index_add(0, kinds, rows), objective.criterion, smoothing)
    return float(objective.batch_loss(_outputs(means, objective)[kinds], targets, weights))


def _smoothed(sums: Tensor, rows: Tensor, criterion: nn.Module, smoothing: float) -> Tensor:
    """Give the shares of labels with which `label_smoothing` costs least: it adds a part of each row to every label.

    `sums` (n_kinds, n_labels) add up the weights of labels and rows, and `rows` (n_kinds, 1) those of rows.
    """
    of_labels = getattr(criterion, "weight", None)
    of_labels = sums.new_ones(sums.shape[1]) if of_labels is None else of_labels.to(sums)
    smoothed = (1 - smoothing) * sums + smoothing / sums.shape[1] * of_labels * rows
    totals = smoothed.sum(1, keepdim=True)
    return smoothed / totals.where(totals > 0, 1)


def _row_weights(known: Tensor, objective: Objective) -> Tensor:
    """Say how much each row counts by the weights of its class: (n_rows, 1)."""
    of_labels, of_positive = (getattr(objective.criterion, name, None) for name in ("weight", "pos_weight"))
    if of_positive is not None:
        return 1 + known * (of_positive.to(known) - 1)
    return known[:, :1] * 0 + 1 if of_labels is None else (known * of_labels.to(known)).sum(1, keepdim=True)


def _outputs(means: Tensor, objective: Objective) -> Tensor:
    """Turn means of values or of indicators of labels into outputs of a network that predicts them."""
    if objective.target.task == "multiclass":
        return means.log().clamp_min(-1e4)
    return means.logit(eps=1e-6) if objective.target.task == "binary" else means
