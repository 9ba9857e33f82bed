"""How a model is judged, and its training watched."""

from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from torchlane.core.options.base import Options


def require_coverage(coverage: float) -> float:
    """Let a share of new rows through that intervals can be made to cover.

    Raises:
        ValueError: it is not between 0 and 1.
    """
    if not 0 < coverage < 1:
        hint = f"; did you mean {coverage / 100:g}?" if 1 < coverage < 100 else ""
        raise ValueError(
            f"coverage is the share of new rows within an interval, between 0 and 1, not {coverage:g}{hint}"
        )
    return coverage


class EvaluationOptions(Options):
    """How a model is judged beside its test part.

    Intervals are made to cover `coverage` of new rows. `folds` trains a model for each of so many
    splits, `repeats` times over, so that every row is tested; 0 leaves that out.
    """

    coverage: Annotated[float, AfterValidator(require_coverage)] = 0.9
    folds: int = Field(0, ge=0)
    repeats: int = Field(1, ge=1)

    @field_validator("folds")
    @classmethod
    def _one_fold_is_none(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves no row to train on; set 0 for none, or at least 2")
        return folds


class DiagnosisOptions(Options):
    """Whether the training is watched, and how many steps may be taken to learn one batch by heart (0: none)."""

    enabled: bool = True
    overfit_steps: int = Field(100, ge=0)
