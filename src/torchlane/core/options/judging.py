"""How a model is judged, and how its training is watched."""

from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from torchlane.core.options.base import Options
from torchlane.core.options.named_metrics import MetricOptions, metrics_by_name


def require_coverage(coverage: float) -> float:
    """Check that prediction intervals can be made to cover this share of new rows.

    Raises:
        ValueError: the share is not strictly between 0 and 1.
    """
    if not 0 < coverage < 1:
        hint = f"; did you mean {coverage / 100:g}?" if 1 < coverage < 100 else ""
        raise ValueError(
            f"coverage is the share of new rows within an interval, between 0 and 1, not {coverage:g}{hint}"
        )
    return coverage


Cost = Annotated[float, Field(ge=0)]


class CostOptions(Options):
    """What a mistake costs in a binary task, in any unit; a false positive is called positive and is not.

    The figure of thresholds names the cheapest threshold at these costs. They change nothing else.
    """

    false_positive: Cost = 1.0
    false_negative: Cost = 1.0

    @model_validator(mode="after")
    def _something_costs(self) -> Self:
        if self.false_positive == self.false_negative == 0:
            raise ValueError("no mistake costs anything; give false_positive or false_negative a cost above 0")
        return self


class EvaluationOptions(Options):
    """How a model is judged, in addition to the metrics on its test part.

    Prediction intervals are made to cover the share `coverage` of new rows. `folds` is the number of folds of a
    cross-validation, which tests every row on a model that has not seen it and is repeated `repeats` times; 0
    switches it off. `metrics` of torchmetrics are computed beside those of the task. They are a list of classes, or a
    mapping of names to classes; `_score`, or `_error` if lower is better, is added to a name without such an ending.
    `linear_baseline` fits ridge or logistic regression to the same rows, to compare the model with.

    How much a feature matters is measured by permuting its column `importance_repeats` times (0 switches it off) on at
    most `importance_rows` rows of test, which are drawn at random. Large networks get fewer repeats and rows.
    `costs` are those of the two mistakes of a binary task.
    """

    coverage: Annotated[float, AfterValidator(require_coverage)] = 0.9
    folds: int = Field(0, ge=0)
    repeats: int = Field(1, ge=1)
    metrics: Annotated[dict[str, MetricOptions], BeforeValidator(metrics_by_name)] = {}
    linear_baseline: bool = True
    importance_repeats: int = Field(5, ge=0)
    importance_rows: int = Field(10_000, ge=1)
    costs: CostOptions = CostOptions()

    @field_validator("folds")
    @classmethod
    def _one_fold_is_none(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError(
                "one fold leaves no row to train on; set folds to 0 for no cross-validation, or to at least 2"
            )
        return folds


class DiagnosisOptions(Options):
    """Whether training is watched, and for how many steps one batch is overfitted as a check of the network.

    `overfit_steps: 0` skips that check.
    """

    enabled: bool = True
    overfit_steps: int = Field(100, ge=0)
