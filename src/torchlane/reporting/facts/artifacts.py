"""The artifacts that facts are made from, and a check of their format."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from torchlane.core.options import (
    DataOptions,
    DiagnosisOptions,
    EvaluationOptions,
    Recipe,
    SplitOptions,
    TuningOptions,
)
from torchlane.lineage import STAGES

if TYPE_CHECKING:
    from pandas import DataFrame
else:  # the facts of a page need no pandas of their own
    DataFrame = Any

Facts = dict[str, Any]
NEEDED: dict[str, tuple[str, tuple[str, ...]]] = {  # the stage that makes an artifact, and what it must hold
    "data_summary": ("prepare", ("source", "rows", "rejected", "missing", "repeats", "split", "columns")),
    "provenance": ("train", ("time", "model", "rows", "members", "by_rows", "versions", "device")),
    "history": ("train", ("epoch", "seconds", "train_loss", "members", "members_kept")),
    "diagnosis": ("train", ("enabled", "capacity", "findings")),
    "metrics": ("evaluate", ("train", "valid", "test", "baseline", "rows", "data", "calibration", "cross_validation")),
    "baselines": ("evaluate", ("linear",)),
    "warnings": ("evaluate", ("warnings", "checked", "not_checked")),
    "feature_importances": ("evaluate", ("feature", "importance", "over_repeats", "over_members")),
    "explanation": ("evaluate", ("part", "metric", "reason", "left_out")),
    "mistakes": ("evaluate", ("row", "truth", "prediction", "error")),
    "failures": ("evaluate", ("feature", "group", "rows", "error", "overall", "standard_errors")),
    "leaderboard": ("tune", ("trial", "state")),
}


LINES = {  # what each line of a list must hold
    "data_summary": ("rejected", ("rule", "column", "rows")),
    "warnings": ("warnings", ("code", "title", "warning", "remedy")),
    "diagnosis": ("findings", ("name", "finding", "remedies")),
}


@dataclass(frozen=True)
class Artifacts:
    """What a page is made of: artifacts by the names of the catalog, and options by their sections."""

    data_summary: Mapping[str, Any]
    provenance: Mapping[str, Any]
    history: DataFrame
    diagnosis: Mapping[str, Any]
    metrics: Mapping[str, Any]
    baselines: Mapping[str, Any]
    warnings: Mapping[str, Any]
    explanation: Mapping[str, Any]
    feature_importances: DataFrame
    mistakes: DataFrame
    failures: DataFrame
    leaderboard: DataFrame
    chosen_options: Mapping[str, Any]
    option_importances: Mapping[str, Any]
    recipe: Recipe
    data: DataOptions
    split: SplitOptions
    tuning: TuningOptions
    evaluation: EvaluationOptions
    diagnosing: DiagnosisOptions

    @property
    def unit(self) -> str:
        """The unit of the target; empty if none is declared."""
        return self.data.target_column.unit or ""

    @property
    def refit(self) -> Mapping[str, Any]:
        """The rows and epochs of a refit on train and valid; empty if there was none."""
        return dict(self.provenance.get("refit", {}))

    @property
    def judged(self) -> str:
        """The part that the model is judged on: test, or the best substitute that has rows."""
        return next((part for part in ("test", "valid") if self.metrics["rows"].get(part)), "train")


def require_format(artifacts: Artifacts) -> None:
    """Check that every artifact holds what facts are made of.

    Raises:
        ValueError: an artifact lacks something, because another version of the program wrote it; the message names
            the stage to run again.
    """
    for name in (field.name for field in fields(artifacts)):
        stage, needed = NEEDED.get(name, ("", ()))
        artifact = getattr(artifacts, name)
        lacking = [each for each in needed if each not in artifact]
        if name in LINES and not lacking:
            part, fields_of_line = LINES[name]
            lacking = [
                f"{field} in {part}" for field in fields_of_line if any(field not in line for line in artifact[part])
            ]
        if lacking:
            raise ValueError(
                f"{name} has no {' and no '.join(lacking)}, as another version of Torchlane wrote it or it was "
                f"changed by hand; run the stage {stage} and those after it again: "
                f"--tags={','.join(STAGES[STAGES.index(stage) :])}"
            )
