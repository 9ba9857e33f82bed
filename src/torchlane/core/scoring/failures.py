"""How a scoring run ends that did not go well, so that a scheduler can act on it."""

from collections.abc import Mapping
from typing import Any


class ScoringError(Exception):
    """A scoring run did not go well; `exit_status` says in what way."""

    exit_status: int


class TooManyRejectedError(ScoringError):
    """Files were scored in which more rows broke a rule than is allowed."""

    exit_status = 3


class FilesFailedError(ScoringError):
    """Files could not be scored, and are set aside with the reason."""

    exit_status = 4


class CouldNotStartError(ScoringError):
    """Model, inbox or ledger cannot be used."""

    exit_status = 5


class DriftError(ScoringError):
    """A file differs from the rows of train by more than a limit, and drift was to stop the run."""

    exit_status = 6


def raise_worst(*scored: Mapping[str, Any]) -> None:
    """Raise the error with the highest exit status in what one or more calls of `score_inbox` gave."""
    kinds = {kind.exit_status: kind for kind in (TooManyRejectedError, FilesFailedError, DriftError)}
    errors = sorted((error for each in scored for error in each["errors"]), key=lambda error: -error["exit_status"])
    if errors:
        more = f" (and {len(errors) - 1} more, see the log)" if len(errors) > 1 else ""
        raise kinds[errors[0]["exit_status"]](f"{errors[0]['message']}{more}")
