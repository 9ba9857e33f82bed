"""How far predictions can be trusted, learned from rows that trained no weight."""

import math
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

RESIDUALS = 1001  # stored at most
TEMPERATURE_SPREAD = 0.5  # of the logarithm, before any row is seen
TEMPERATURES = torch.linspace(-3, 3, 601, dtype=torch.float64).exp()


class Calibration(BaseModel):
    """What valid says of a model: its residuals for numbers, a temperature for classes.

    `residuals` are order statistics of |truth - prediction|, ascending, and `ranks` their places among
    all `n_rows` (1 is the smallest). Without rows nothing is known: no interval, temperature 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_rows: int = 0
    residuals: tuple[float, ...] = ()
    ranks: tuple[int, ...] = ()
    temperature: float = 1.0

    @classmethod
    def of_values(cls, prediction: Tensor, truth: Tensor) -> Self:
        """Learn from predictions and truth of valid, both (n_rows,)."""
        n_rows = len(truth)
        ordered = (truth.double() - prediction.double()).abs().sort().values
        ranks = torch.linspace(1, n_rows, min(n_rows, RESIDUALS), dtype=torch.float64).ceil().long()
        return cls(n_rows=n_rows, residuals=tuple(ordered[ranks - 1].tolist()), ranks=tuple(ranks.tolist()))

    @classmethod
    def of_probabilities(cls, probabilities: Tensor, truth: Tensor) -> Self:
        """Learn from probabilities (n_rows, n_labels) and label indices (n_rows,) of valid.

        The temperature (Guo et al. 2017) is applied to the members' mean (Rahaman and Thiery 2021). It
        is the most probable one under a normal prior on its logarithm, so that a handful of rows that
        all come out right does not make it extreme.
        """
        losses = torch.stack([_cross_entropies(tempered(probabilities, each), truth).sum() for each in TEMPERATURES])
        losses += TEMPERATURES.log().square() / (2 * TEMPERATURE_SPREAD**2)
        return cls(n_rows=len(truth), temperature=float(TEMPERATURES[losses.argmin()]))

    def half_width(self, coverage: float) -> float | None:
        """How far a prediction may be off, such that `coverage` of new rows stay within, in the units of the target.

        Split conformal prediction (Lei et al. 2018, doi 10.1080/01621459.2017.1307116): infinite where
        valid has too few rows to say, None where nothing was learned.
        """
        if not self.n_rows:
            return None
        needed = math.ceil((self.n_rows + 1) * coverage)
        return next((each for each, rank in zip(self.residuals, self.ranks, strict=True) if rank >= needed), math.inf)


def tempered(probabilities: Tensor, temperature: Tensor | float) -> Tensor:
    """Make probabilities (n_rows, n_labels) flatter with a temperature above 1, sharper with one below."""
    tiny = torch.finfo(probabilities.dtype).tiny
    return (probabilities.clamp_min(tiny).log() / temperature).softmax(-1)


def _cross_entropies(probabilities: Tensor, truth: Tensor) -> Tensor:
    tiny = torch.finfo(probabilities.dtype).tiny
    return -probabilities.gather(1, truth[:, None]).clamp_min(tiny).log()
