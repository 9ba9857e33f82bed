"""The errors of a scoring run, each with an exit status that a scheduler can act on."""

from collections.abc import Mapping
from typing import Any


class ScoringError(Exception):
    """A scoring run did not succeed; `exit_status` tells why."""

    exit_status: int


class TooManyRejectedError(ScoringError):
    """More rows of a file broke a rule than are allowed; its other rows are scored."""

    exit_status = 3


class FilesFailedError(ScoringError):
    """Files could not be scored and are set aside with the reason."""

    exit_status = 4


class CouldNotStartError(ScoringError):
    """The model, the inbox or the ledger cannot be used."""

    exit_status = 5


class DriftError(ScoringError):
    """A file differs from the rows of train by more than a limit, and drift is set to stop the run."""

    exit_status = 6


def raise_worst(*scored: Mapping[str, Any]) -> None:
    """Raise the error with the highest exit status among the results of `score_inbox`, if there is one."""
    kinds = {kind.exit_status: kind for kind in (TooManyRejectedError, FilesFailedError, DriftError)}
    errors = sorted((error for each in scored for error in each["errors"]), key=lambda error: -error["exit_status"])
    if errors:
        more = f" (and {len(errors) - 1} more, see the log)" if len(errors) > 1 else ""
        raise kinds[errors[0]["exit_status"]](f"{errors[0]['message']}{more}")
