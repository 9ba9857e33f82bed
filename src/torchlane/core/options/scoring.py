"""How new files are scored, and when they count as drifted."""

from typing import Literal

from pydantic import Field, field_validator

from torchlane.core.options.base import Options


class DriftOptions(Options):
    """How far a file to score may drift from the rows of train before the run warns or stops.

    `max_psi` bounds the population stability index of each column and of the predictions, in excess of what
    chance alone causes. `max_missing` and `max_unseen` bound how much the fractions of missing values and of
    unseen levels may grow over those of train. A file with fewer than `min_rows` rows is never reported as
    drifted. With `action: stop`, a drifted file is set aside without being scored, and the run ends.
    """

    max_psi: float = Field(0.25, gt=0)
    max_missing: float = Field(0.1, ge=0, le=1)
    max_unseen: float = Field(0.1, ge=0, le=1)
    min_rows: int = Field(100, ge=1)
    action: Literal["warn", "stop"] = "warn"


class PredictionOptions(Options):
    """How the files of the inbox are scored.

    `keys` are columns that are copied to the predictions unchanged. A file is scored once it is
    `settle_seconds` old. A job that does not renew its claim on a file for `lease_seconds` is taken for dead,
    and another job takes over the file. A file is tried at most `max_attempts` times. Scored files stay where
    they are unless `archive` names a folder to move them to. If a larger fraction of the rows of a file than
    `max_rejected_fraction` is rejected, the other rows are scored all the same, but the exit status is not 0.
    """

    keys: tuple[str, ...] = ()
    settle_seconds: float = Field(10.0, ge=0)
    lease_seconds: float = Field(120.0, gt=0)
    max_attempts: int = Field(3, ge=1)
    max_rejected_fraction: float = Field(0.2, ge=0, le=1)
    archive: str | None = None
    drift: DriftOptions = Field(default_factory=lambda: DriftOptions.model_validate({}))

    @field_validator("keys")
    @classmethod
    def _keys_are_no_predictions(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        taken = {"row", "prediction", "spread", "low", "high", "model", "scored_at"}
        for key in keys:
            if key in taken or key.startswith("probability_"):
                raise ValueError(f"key '{key}' has the name of a column of the predictions; rename it in the files")
        if len(set(keys)) < len(keys):
            raise ValueError(f"keys name a column twice: {', '.join(keys)}")
        return keys
