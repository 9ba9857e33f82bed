"""One claimed file: read, scored, written, and recorded in the ledger."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import pyarrow as pa

from torchlane.core.encoding.spelling import Respelling
from torchlane.core.options import PredictionOptions
from torchlane.core.scoring import drift
from torchlane.core.scoring.archiving import archive
from torchlane.core.scoring.chunks import ChunkScorer, Scored
from torchlane.core.scoring.contracts import (
    Claim,
    ClaimLostError,
    Inbox,
    InboxFile,
    Ledger,
    PredictionStore,
    Result,
    Writer,
)
from torchlane.core.scoring.failures import DriftError, FilesFailedError, ScoringError, TooManyRejectedError
from torchlane.core.scoring.leases import renewed_lease
from torchlane.core.scoring.run_report import RunReport
from torchlane.core.scoring.threads import WritingError, read_ahead, score_in_threads, write_behind

logger = logging.getLogger(__name__)


class FileChangedError(Exception):
    """The file is no longer the one that was claimed."""


class ScoringJob:
    """The scoring of one claimed file."""

    def __init__(
        self,
        inbox: Inbox,
        ledger: Ledger,
        predictions: PredictionStore,
        scorer: ChunkScorer,
        options: PredictionOptions,
        claim: Claim,
        file: InboxFile,
    ):
        self._inbox, self._ledger, self._predictions = inbox, ledger, predictions
        self._scorer, self._options, self._claim, self._file = scorer, options, claim, file

    def run(self, report: RunReport) -> None:
        """Score the file, or set it aside with the reason so that the other files can go on."""
        name = self._file.name
        try:
            with renewed_lease(self._ledger, self._claim, self._options.lease_seconds) as require_claim:
                result = self._score(require_claim)
        except ClaimLostError:
            logger.warning("%s was taken over by another job, because this one did not renew its lease in time", name)
        except (FileChangedError, FileNotFoundError):
            self._ledger.fail(self._claim, "it changed or disappeared while it was being read", counts=False)
            report.waiting += 1
        except DriftError as error:
            self._fail(report, str(error), error)
        except WritingError as error:
            reason = f"its predictions cannot be written: {error}"
            self._fail(report, reason, FilesFailedError(f"{name}: {reason}"), counts=False)
        except ScoringError:
            raise
        except Exception as error:  # one file must not keep the others from being scored
            reason = _explain(error)
            logger.debug("%s", name, exc_info=error)
            self._fail(report, reason, FilesFailedError(f"{name}: {reason}"))
        except BaseException as error:  # such as a signal; the next run may claim the file at once
            with suppress(ScoringError):
                self._ledger.fail(self._claim, str(error) or type(error).__name__, counts=False)
            raise
        else:
            self._succeed(report, result)

    def _score(self, require_claim: Callable[[], None]) -> Result:
        started = time.perf_counter()
        scorer, claim = self._scorer, self._claim
        scored_at = self._ledger.now()
        profile = drift.Counts(scorer.profile)
        respelt: dict[str, Respelling] = {}
        reason = ""
        read = rejected = 0
        with (
            self._inbox.open(self._file) as table,
            self._predictions.writer(claim.first_name, claim.checksum) as writer,
            write_behind(writer) as background,
        ):
            undeclared = scorer.check_columns(table.names, table.remark)
            is_empty = True
            for scored in score_in_threads(scorer, read_ahead(table.chunks(scorer.features, self._options.keys))):
                require_claim()
                read += scored.rows_read
                rejected += scored.rows_rejected
                profile.add(scored.counts)
                reason = reason or _first_reason(scored.rejected)
                for each in scored.respelt:
                    respelt[each.column] = respelt[each.column] + each if each.column in respelt else each
                background.write(*_tables(scored, scorer.model.fingerprint, scored_at))
                is_empty = False
            if is_empty:  # the predictions still need a header
                background.write(*_tables(scorer.nothing, scorer.model.fingerprint, scored_at))
            background.wait()
            if not self._inbox.unchanged(self._file):
                raise FileChangedError
            result = Result(
                rows_read=read,
                rows_scored=read - rejected,
                rows_rejected=rejected,
                model=scorer.model.fingerprint,
                output=self._predictions.output_name(claim.first_name, claim.checksum),
                drift=self._measure_drift(profile),
                seconds=time.perf_counter() - started,
                note=f"ignored because not declared: {', '.join(undeclared)}" if undeclared else "",
                warnings=tuple(map(str, respelt.values())),
                reason=reason,
            )
            require_claim()
            self._ledger.finish(claim, result, lambda: _publish(writer))
        return result

    def _measure_drift(self, counts: drift.Counts) -> dict[str, Any]:
        measured = counts.measure(self._options.drift)
        if measured["beyond"] and self._options.drift.action == "stop":
            raise DriftError(f"{self._file.name} has drifted: {'; '.join(measured['beyond'])}")
        return measured

    def _succeed(self, report: RunReport, result: Result) -> None:
        name = self._file.name
        logger.info(
            "%s: %d rows scored, %d rejected, %.0f rows/s, in %s%s",
            name,
            result.rows_scored,
            result.rows_rejected,
            result.rows_read / max(result.seconds, 1e-9),
            result.output,
            f"; {result.note}" if result.note else "",
        )
        for warning in result.warnings:
            logger.warning("%s: %s", name, warning)
        for finding in result.drift["beyond"]:
            logger.warning("%s has drifted: %s", name, finding)
        entry = {"file": name, "output": result.output, "state": "done", "rows": result.rows_scored}
        report.files.append(entry | ({"warnings": [*result.warnings]} if result.warnings else {}))
        if result.rows_rejected > self._options.max_rejected_fraction * result.rows_read:
            report.errors.append(
                TooManyRejectedError(
                    f"{result.rows_rejected} of {result.rows_read} rows of {name} are rejected, more than "
                    f"prediction.max_rejected_fraction {self._options.max_rejected_fraction:g} allows: "
                    f"{result.reason}; the others are scored"
                )
            )
        archive(self._inbox, self._file, self._claim.checksum, self._options)

    def _fail(self, report: RunReport, reason: str, error: ScoringError, *, counts: bool = True) -> None:
        self._ledger.fail(self._claim, reason, counts=counts)
        attempts = f"attempt {self._claim.attempts} of {self._options.max_attempts}" if counts else "to be tried again"
        logger.error("%s is set aside, %s: %s", self._file.name, attempts, reason)
        report.files.append({"file": self._file.name, "state": "failed", "error": reason})
        report.errors.append(error)


def _first_reason(rejected: pa.Table) -> str:
    """Say which row was rejected first, and why; nothing if none was."""
    if not rejected.num_rows:
        return ""
    first = rejected.slice(0, 1).to_pylist()[0]
    what, must = (f"'{first['column']}'", "be") if first["column"] else ("the line", "have")
    return f"in row {first['row']} {what} is '{first['value']}', which must {must} {first['rule']}"


def _explain(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, OSError, pa.ArrowException)) and text:
        return text
    return f"{type(error).__name__}: {text} (--debug shows where)"


def _publish(writer: Writer) -> None:
    try:
        writer.publish()
    except OSError as error:
        raise WritingError(str(error)) from error


def _tables(scored: Scored, model: str, scored_at: datetime) -> tuple[pa.Table, pa.Table]:
    """Add model and time to the predictions of a chunk."""
    n_rows = scored.predictions.num_rows
    when = f"{scored_at.isoformat(timespec='seconds')}Z"
    predictions = scored.predictions.append_column("model", pa.repeat(model[:12], n_rows))
    return predictions.append_column("scored_at", pa.repeat(when, n_rows)), scored.rejected
