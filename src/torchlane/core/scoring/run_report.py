"""What one scoring run did, for its log line, its report and its exit status."""

import logging
from dataclasses import dataclass, field
from typing import Any

from torchlane.core.scoring.failures import ScoringError

logger = logging.getLogger(__name__)


@dataclass
class RunReport:
    """The files that a run scored or set aside, and the errors that decide its exit status."""

    files: list[dict[str, Any]] = field(default_factory=list)
    waiting: int = 0
    copies: int = 0
    errors: list[ScoringError] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values: `files`, `waiting`, `copies`, `errors`."""
        errors = [{"exit_status": error.exit_status, "message": str(error)} for error in self.errors]
        return {"files": self.files, "waiting": self.waiting, "copies": self.copies, "errors": errors}

    def log(self, place: str) -> None:
        """Log the totals of a run over the inbox at `place`."""
        done = [file for file in self.files if file["state"] == "done"]
        logger.info(
            "%s: %d file%s scored with %d rows, %d set aside, %d copies, %d waiting to settle",
            place,
            len(done),
            "s" * (len(done) != 1),
            sum(file["rows"] for file in done),
            len(self.files) - len(done),
            self.copies,
            self.waiting,
        )
