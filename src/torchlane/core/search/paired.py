"""Two trials compared row by row on valid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from torchlane.core.model.trained import TrainedModel
from torchlane.core.options import shown_number
from torchlane.core.search.candidates import Candidate
from torchlane.core.search.ground import Ground
from torchlane.core.search.records import Record
from torchlane.core.training.members import Outcome

MOST_VALUES = 500  # that a study keeps of a trial; of more rows it keeps sums over rows that follow each other
DIGITS = 7  # significant ones
CHANCE = 0.05  # that the best of trials no better than the options given is taken nevertheless


@dataclass(frozen=True)
class Lead:
    """How far a trial is ahead of the options given, in the metric, and how far chance may put the best ahead."""

    ahead: float
    margin: float
    rows: int

    @property
    def is_clear(self) -> bool:
        """Whether the trial is ahead by more than chance explains."""
        return self.ahead > self.margin

    def __str__(self) -> str:
        return f"{shown_number(self.ahead, 2)} ± {shown_number(self.margin, 2)} on {self.rows:,} rows of valid"


def score_rows(ground: Ground, candidate: Candidate, outcomes: Sequence[Outcome]) -> Record:
    """Score the rows of valid with the networks of a trial, in the form that its study keeps.

    `scores` has the mean over the members of what each row adds to the metric; see `torchlane.core.tasks.row_scores`.
    """
    assert candidate.encoder is not None and candidate.recipe is not None
    valid, recipe = candidate.members[0].valid, candidate.recipe
    weights = {name: torch.stack([each["weights"][name] for each in outcomes]) for name in outcomes[0]["weights"]}
    model = TrainedModel(weights, candidate.encoder, ground.data, recipe.model, recipe.training)
    features, targets, *of_rows = valid.tensors
    found = model.task.row_scores(model.outputs(features), targets.flatten(), *of_rows)
    parts = found.values.mean(0).tensor_split(min(MOST_VALUES, len(valid)))
    sums = [float(part.sum()) * len(parts) / len(valid) for part in parts]
    return {"scores": [float(f"{each:.{DIGITS}g}") for each in sums], "rows": len(valid), "worth": found.worth}


def lead_of(trial: Record, given: Record, n_compared: int) -> Lead:
    """Say how far a trial is ahead of the options given, by the records of both; `n_compared` were the other trials.

    The margin is the standard error of the mean difference of the rows, times the normal quantile that the best of
    `n_compared` trials passes by chance in 5 of 100 searches at most, however alike the trials are (Bonferroni's bound,
    as for comparisons with a control by Dunn 1961, doi 10.1080/01621459.1961.10482090). As in McNemar's test (1947,
    doi 10.1007/BF02295996), the difference itself counts as noise too: few rows tell nothing, even if they agree.
    """
    from scipy.stats import norm

    ours, theirs = trial["paired"], given["paired"]
    differences = torch.tensor(ours["scores"], dtype=torch.float64) - torch.tensor(
        theirs["scores"], dtype=torch.float64
    )
    ahead = trial["value"] - given["value"]
    variance = float((differences - differences.mean()).square().sum()) / len(differences) ** 2
    error = math.sqrt(variance + ahead**2 / ours["worth"])
    return Lead(ahead, float(norm.ppf(1 - CHANCE / max(n_compared, 1))) * error, ours["rows"])
