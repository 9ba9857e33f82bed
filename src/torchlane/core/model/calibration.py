"""How far predictions can be trusted, learned from rows that trained no weight."""

import math
from fractions import Fraction
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn.functional import cross_entropy

from torchlane.core.training.held_out import sums_of_others

RESIDUALS = 1001  # stored at most
SPREAD_WEIGHTS = torch.cat([torch.zeros(1), torch.linspace(-2, 3, 21).exp()]).double()  # over 1 / mean spread
SPREAD_PRIOR = 2.0  # power of the prior density (1 + weight)^-power, before any row is seen
TEMPERATURE_SPREAD = 0.5  # of the logarithm, before any row is seen
TEMPERATURES = torch.linspace(-3, 3, 601, dtype=torch.float64).exp()


class Calibration(BaseModel):
    """What valid says of a model: its residuals for numbers, a temperature for classes.

    `residuals` are order statistics of |truth - prediction| / (1 + spread_weight * spread), ascending, and
    `ranks` their places among all `n_rows` (1 is the smallest). The spread is the standard deviation over
    members; where it says nothing of how far predictions are off, its weight is 0 and all intervals are as
    wide. Without rows nothing is known: no interval, temperature 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_rows: int = 0
    residuals: tuple[float, ...] = ()
    ranks: tuple[int, ...] = ()
    spread_weight: float = 0.0
    temperature: float = 1.0

    @classmethod
    def of_values(cls, prediction: Tensor, spread: Tensor, truth: Tensor) -> Self:
        """Learn from predictions, their spread and the truth of valid, all (n_rows,).

        The residual of each row is divided by what the other rows say of the weight of its spread, since
        one that had a say would look smaller than those of new rows.
        """
        n_rows = len(truth)
        residuals, spread = (truth.double() - prediction.double()).abs(), spread.double()
        weight, by_others = _weigh_spread(residuals, spread)
        ordered = (residuals / (1 + by_others * spread)).sort().values
        ranks = torch.linspace(1, n_rows, min(n_rows, RESIDUALS), dtype=torch.float64).ceil().long()
        return cls(
            n_rows=n_rows,
            residuals=tuple(ordered[ranks - 1].tolist()),
            ranks=tuple(ranks.tolist()),
            spread_weight=weight,
        )

    @classmethod
    def of_probabilities(cls, probabilities: Tensor, truth: Tensor) -> Self:
        """Learn from probabilities (n_rows, n_labels) and label indices (n_rows,) of valid.

        The temperature (Guo et al. 2017) is applied to the members' mean (Rahaman and Thiery 2021). It
        is the most probable one under a normal prior on its logarithm, so that a handful of rows that
        all come out right does not make it extreme.
        """
        logits = _logits(probabilities.double())
        losses = torch.stack([cross_entropy(logits / each, truth, reduction="sum") for each in TEMPERATURES])
        losses += TEMPERATURES.log().square() / (2 * TEMPERATURE_SPREAD**2)
        return cls(n_rows=len(truth), temperature=float(TEMPERATURES[losses.argmin()]))

    def half_width(self, coverage: float) -> float | None:
        """How far a prediction without spread may be off, such that `coverage` of new rows stay within.

        It is in the units of the target, and 1 + spread_weight * spread times as much with a spread. Split
        conformal prediction with normalised residuals (Lei et al. 2018, doi 10.1080/01621459.2017.1307116,
        section 5.2): infinite where valid has too few rows to say, None where nothing was learned.
        """
        if not self.n_rows:
            return None
        needed = math.ceil((self.n_rows + 1) * Fraction(repr(float(coverage))))  # 75 * 0.68 is more than 51 in floats
        return next((each for each, rank in zip(self.residuals, self.ranks, strict=True) if rank >= needed), math.inf)


def tempered(probabilities: Tensor, temperature: Tensor | float) -> Tensor:
    """Make probabilities (n_rows, n_labels) flatter with a temperature above 1, sharper with one below."""
    return (_logits(probabilities) / temperature).softmax(-1)


def _logits(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


def _weigh_spread(residuals: Tensor, spread: Tensor) -> tuple[float, Tensor]:
    """How much wider an interval is for each unit of spread: by all rows, and for each row by the others (n_rows,).

    The most probable weight where residuals follow a Laplace distribution of scale c (1 + weight * spread),
    under a prior that prefers small weights, so that a handful of rows does not make it extreme.
    """
    n_rows, mean = len(spread), float(spread.mean())
    best, lowest = 0.0, math.inf
    of_others, lowest_of_others = torch.zeros_like(spread), torch.full_like(spread, math.inf)
    for relative in SPREAD_WEIGHTS if mean > 0 else ():
        scale = 1 + relative / mean * spread
        logs, scaled, prior = scale.log(), residuals / scale, SPREAD_PRIOR * relative.log1p()
        loss = float(logs.sum() + n_rows * scaled.mean().log() + prior)
        if loss < lowest:
            best, lowest = float(relative / mean), loss
        losses = sums_of_others(logs) + (n_rows - 1) * sums_of_others(scaled).log() + prior
        better = losses < lowest_of_others
        of_others = torch.where(better, relative / mean, of_others)
        lowest_of_others = torch.where(better, losses, lowest_of_others)
    return best, of_others
