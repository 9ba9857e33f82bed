"""Calibration of predictions, learned from rows that no weight was trained on."""

import math
import operator
from bisect import bisect_left
from fractions import Fraction
from typing import Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn.functional import cross_entropy

from torchlane.core.encoding.tensors import relative
from torchlane.core.options import DataOptions
from torchlane.core.training.held_out import sums_of_others

RESIDUALS = 1001  # stored at most
SPREAD_WEIGHTS = torch.cat([torch.zeros(1), torch.linspace(-2, 3, 21).exp()]).double()  # in units of 1 / mean spread
SPREAD_PRIOR = 2.0  # the prior density of a weight is (1 + weight)^-SPREAD_PRIOR
TEMPERATURE_SPREAD = 0.5  # standard deviation of the normal prior on the logarithm
TEMPERATURES = torch.linspace(-3, 3, 601, dtype=torch.float64).exp()


class Calibration(BaseModel):
    """What valid tells about a model: residuals for regression, a temperature for classification.

    `residuals` are order statistics of |truth - prediction| / (1 + spread_weight * spread), in ascending
    order. `ranks` are their ranks among all `n_rows` rows; 1 is the smallest. The spread is the standard
    deviation over members. If it does not predict how large residuals are, its weight is 0 and all intervals
    have the same width. Without rows there is no interval, and the temperature is 1.

    If rows have weights, those of weight 0 are left out, and `reached` has the sum of the weights up to each of
    `residuals`, in units of their mean, rounded to millionths so that no tie is decided by rounding errors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_rows: int = 0
    residuals: tuple[float, ...] = ()
    ranks: tuple[int, ...] = ()
    reached: tuple[float, ...] = Field(default=(), exclude_if=operator.not_)
    spread_weight: float = 0.0
    temperature: float = 1.0

    @classmethod
    def of_values(cls, prediction: Tensor, spread: Tensor, truth: Tensor, weights: Tensor | None = None) -> Self:
        """Learn from predictions, their spread, the truth and the weights of valid, all (n_rows,).

        The residual of each row is normalised with the spread weight estimated from the other rows. With its
        own row in the estimate it would be smaller than the residuals of new rows.
        """
        counting, counts = _counts(truth, weights)
        prediction, spread, truth = (each[counting].double() for each in (prediction, spread, truth))
        n_rows, residuals = len(truth), (truth - prediction).abs()
        weight, by_others = _weigh_spread(residuals, spread, counts)
        ordered, order = (residuals / (1 + by_others * spread)).sort()
        ranks = torch.linspace(1, n_rows, min(n_rows, RESIDUALS), dtype=torch.float64).ceil().long()
        return cls(
            n_rows=n_rows,
            residuals=tuple(ordered[ranks - 1].tolist()),
            ranks=tuple(ranks.tolist()),
            reached=() if weights is None else tuple(counts[order].cumsum(0)[ranks - 1].round(decimals=6).tolist()),
            spread_weight=weight,
        )

    @classmethod
    def of_probabilities(cls, probabilities: Tensor, truth: Tensor, weights: Tensor | None = None) -> Self:
        """Learn from probabilities (n_rows, n_labels), label indices and weights (n_rows,) of valid.

        The temperature (Guo et al. 2017) is applied to the members' mean (Rahaman and Thiery 2021). It is
        the most probable one under a normal prior on its logarithm, which keeps it moderate when valid has
        only a few rows and all of them are predicted correctly.
        """
        counting, counts = _counts(truth, weights)
        logits, truth = _logits(probabilities[counting].double()), truth[counting]
        losses = torch.stack([_sum_of_losses(logits / each, truth, counts, weights) for each in TEMPERATURES])
        losses += TEMPERATURES.log().square() / (2 * TEMPERATURE_SPREAD**2)
        return cls(n_rows=len(truth), temperature=float(TEMPERATURES[losses.argmin()]))

    def half_width(self, coverage: float) -> float | None:
        """Half the width of an interval that covers the truth of a share `coverage` of new rows, for spread 0.

        It is in the units of the target. For another spread, multiply by 1 + spread_weight * spread. The
        method is split conformal prediction with normalised residuals (Lei et al. 2018, doi
        10.1080/01621459.2017.1307116, section 5.2). If rows have weights, their weighted quantile is taken
        (Tibshirani et al. 2019, arXiv 1904.06019, lemma 1), where the new row has the mean weight. The result is
        infinite if valid has too few rows for the coverage, and None if there was no calibration.
        """
        if not self.n_rows:
            return None
        # Exact, since 75 * 0.68 exceeds 51 in floats.
        needed = (self.n_rows + 1) * Fraction(repr(float(coverage)))
        place = bisect_left(self.reached or self.ranks, needed)
        return self.residuals[place] if place < len(self.residuals) else math.inf


def intervals(prediction: np.ndarray, half_widths: np.ndarray, data: DataOptions) -> tuple[np.ndarray, np.ndarray]:
    """Compute the ends of intervals, float64 (n_rows,) each.

    They are cut to the bounds declared for the target, since no truth lies beyond, but never past the prediction.
    """
    bounds = data.target_column.limits
    low, high = (np.clip(end, *bounds) for end in (prediction - half_widths, prediction + half_widths))
    return np.minimum(low, prediction), np.maximum(high, prediction)


def tempered(probabilities: Tensor, temperature: Tensor | float) -> Tensor:
    """Flatten probabilities (n_rows, n_labels) with a temperature above 1, or sharpen them with one below 1."""
    return (_logits(probabilities) / temperature).softmax(-1)


def _logits(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


def _counts(truth: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    """Say which rows count at all, bool (n_rows,), and as how many of the average row each of these counts."""
    if weights is None:
        return torch.ones(len(truth), dtype=torch.bool), torch.ones(len(truth), dtype=torch.float64)
    return weights > 0, relative(weights[weights > 0].double())


def _sum_of_losses(logits: Tensor, truth: Tensor, counts: Tensor, weights: Tensor | None) -> Tensor:
    if weights is None:
        return cross_entropy(logits, truth, reduction="sum")
    return (cross_entropy(logits, truth, reduction="none") * counts).sum()


def _weigh_spread(residuals: Tensor, spread: Tensor, counts: Tensor) -> tuple[float, Tensor]:
    """Estimate the spread weight from all rows, and for each row from the other rows (n_rows,).

    It is the most probable weight if residuals follow a Laplace distribution of scale c (1 + weight * spread).
    The prior prefers small weights, which keeps the estimate moderate when there are only a few rows.
    """
    n_rows, mean = len(spread), float((counts * spread).mean())
    best, lowest = 0.0, math.inf
    of_others, lowest_of_others = torch.zeros_like(spread), torch.full_like(spread, math.inf)
    for relative_weight in SPREAD_WEIGHTS if mean > 0 else ():
        scale = 1 + relative_weight / mean * spread
        logs, scaled = counts * scale.log(), counts * (residuals / scale)
        prior = SPREAD_PRIOR * relative_weight.log1p()
        loss = float(logs.sum() + n_rows * scaled.mean().log() + prior)
        if loss < lowest:
            best, lowest = float(relative_weight / mean), loss
        losses = sums_of_others(logs) + (n_rows - counts) * sums_of_others(scaled).log() + prior
        better = losses < lowest_of_others
        of_others = torch.where(better, relative_weight / mean, of_others)
        lowest_of_others = torch.where(better, losses, lowest_of_others)
    return best, of_others
