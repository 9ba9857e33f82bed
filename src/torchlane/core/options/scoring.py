"""How new files are scored, and when they are too far from train."""

from typing import Literal

from pydantic import Field, field_validator

from torchlane.core.options.base import Options


class DriftOptions(Options):
    """How far a file to score may be from the rows of train before the run warns, or stops.

    `max_psi` is for the population stability index of a column or of the predictions, beyond what
    chance alone brings; `max_missing` and `max_unseen` for what the shares of missing values and
    unseen levels may gain on those of train. Files with fewer rows than `min_rows` are beyond nothing.
    With `action: stop` such a file is set aside instead of scored, and the run ends.
    """

    max_psi: float = Field(0.25, gt=0)
    max_missing: float = Field(0.1, ge=0, le=1)
    max_unseen: float = Field(0.1, ge=0, le=1)
    min_rows: int = Field(100, ge=1)
    action: Literal["warn", "stop"] = "warn"


class PredictionOptions(Options):
    """How the files of the inbox are scored.

    `keys` are columns that go into the predictions as they are. A file counts as settled when it is
    `settle_seconds` old. A job that does not renew its claim for `lease_seconds` counts as dead, and
    its file is taken up again; a file is tried `max_attempts` times. Files that are done stay where
    they are unless `archive` names a folder. A larger share of rejected rows in a file than
    `max_rejected_fraction` does not keep the others from being scored, but shows in the exit status.
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
