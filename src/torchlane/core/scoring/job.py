"""Claimed files: read, scored, written, and recorded in the ledger."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from torchlane.core.encoding.spelling import Respelling
from torchlane.core.machine.bars import counted
from torchlane.core.options import PredictionOptions
from torchlane.core.scoring import drift
from torchlane.core.scoring.archiving import archive
from torchlane.core.scoring.chunks import ChunkScorer, Scored
from torchlane.core.scoring.contracts import (
    Claim,
    ClaimLostError,
    Finished,
    Inbox,
    InboxFile,
    Ledger,
    Predictions,
    PredictionStore,
    Result,
    Writer,
    WritingError,
)
from torchlane.core.scoring.failures import DriftError, FilesFailedError, ScoringError, TooManyRejectedError
from torchlane.core.scoring.leases import renewed_leases
from torchlane.core.scoring.run_report import RunReport
from torchlane.core.scoring.threads import steps_for

logger = logging.getLogger(__name__)


class FileChangedError(Exception):
    """The file is no longer the one that was claimed."""


@dataclass(frozen=True)
class ClaimedFile:
    """A file of the inbox, and the right to score it."""

    claim: Claim
    file: InboxFile


class ScoringJob:
    """The scoring of claimed files with one model. Files that are claimed together are recorded together."""

    def __init__(
        self,
        inbox: Inbox,
        ledger: Ledger,
        predictions: PredictionStore,
        scorer: ChunkScorer,
        options: PredictionOptions,
    ):
        self._inbox, self._ledger, self._predictions = inbox, ledger, predictions
        self._scorer, self._options = scorer, options

    def run(self, claimed: Sequence[ClaimedFile], report: RunReport) -> None:
        """Score files, or set them aside with the reason so that the others can go on."""
        open_claims = {each.claim.key: each.claim for each in claimed}
        try:
            for each, outcome in self._outcomes(claimed):
                if isinstance(outcome, Exception):
                    self._set_aside(report, each, outcome)
                else:
                    self._succeed(report, each, outcome)
                del open_claims[each.claim.key]
        except BaseException as error:  # such as a signal; the next run may claim the files at once
            if not isinstance(error, ScoringError):
                self._give_back(open_claims.values(), str(error) or type(error).__name__)
            raise
        self._give_back(open_claims.values())

    def _outcomes(self, claimed: Sequence[ClaimedFile]) -> list[tuple[ClaimedFile, Result | Exception]]:
        """Give the result of each file, or why there is none; nothing for those behind a file that stops the run."""
        outcomes: dict[int, Result | Exception] = {}
        finished: list[Finished] = []
        claims = [each.claim for each in claimed]
        with (
            renewed_leases(self._ledger, claims, self._options.lease_seconds) as require_claim,
            ExitStack() as outputs,  # what is not published by its end is deleted
        ):
            for each in claimed:
                with ExitStack() as own:
                    try:
                        scored = self._score(each, own, require_claim)
                    except ScoringError as error:
                        if not isinstance(error, DriftError):
                            raise
                        outcomes[each.claim.key] = error
                        break
                    except Exception as error:  # one file must not keep the others from being scored
                        outcomes[each.claim.key] = error
                        continue
                    outputs.push(own.pop_all())
                finished.append(scored)
                outcomes[each.claim.key] = scored.result
            reasons = self._ledger.finish(finished) if finished else []
        for scored, reason in zip(finished, reasons, strict=True):
            outcomes[scored.claim.key] = reason or scored.result
        return [(each, outcomes[each.claim.key]) for each in claimed if each.claim.key in outcomes]

    def _score(self, each: ClaimedFile, outputs: ExitStack, require_claim: Callable[[Claim], None]) -> Finished:
        started = time.perf_counter()
        scorer, claim, file = self._scorer, each.claim, each.file
        profile = drift.Counts(scorer.profile)
        respelt: dict[str, Respelling] = {}
        reason = ""
        read = rejected = 0
        writer = outputs.enter_context(self._predictions.writer(claim.first_name, claim.checksum))
        with (
            counted(file.name, None, "row") as advance,
            self._inbox.open(file) as table,
            steps_for(file.size, writer) as steps,
        ):
            undeclared = scorer.check_columns(table.names, table.remark)
            is_empty = True
            for scored in steps.score(scorer, table.chunks(scorer.features, self._options.keys)):
                require_claim(claim)
                read += scored.rows_read
                advance(scored.rows_read)
                rejected += scored.rows_rejected
                profile.add(scored.counts)
                reason = reason or _first_reason(scored.rejected)
                for found in scored.respelt:
                    known = respelt.get(found.column)
                    respelt[found.column] = found if known is None else known + found
                steps.write(*_tables(scored, scorer.model.fingerprint, claim.started))
                is_empty = False
            if is_empty:  # the predictions still need a header
                steps.write(*_tables(scorer.nothing, scorer.model.fingerprint, claim.started))
            steps.wait()
        if not self._inbox.unchanged(file):
            raise FileChangedError
        result = Result(
            rows_read=read,
            rows_scored=read - rejected,
            rows_rejected=rejected,
            model=scorer.model.fingerprint,
            output=self._predictions.output_name(claim.first_name, claim.checksum),
            drift=self._measure_drift(profile, file.name),
            seconds=time.perf_counter() - started,
            note=f"ignored because not declared: {', '.join(undeclared)}" if undeclared else "",
            warnings=tuple(map(str, respelt.values())),
            reason=reason,
        )
        require_claim(claim)
        return Finished(claim, result, lambda: _publish(writer))

    def _measure_drift(self, counts: drift.Counts, name: str) -> dict[str, Any]:
        measured = counts.measure(self._options.drift)
        if measured["beyond"] and self._options.drift.action == "stop":
            raise DriftError(f"{name} has drifted: {'; '.join(measured['beyond'])}")
        return measured

    def _succeed(self, report: RunReport, each: ClaimedFile, result: Result) -> None:
        name = each.file.name
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
        archive(self._inbox, each.file, each.claim.checksum, self._options)

    def _set_aside(self, report: RunReport, each: ClaimedFile, error: Exception) -> None:
        name = each.file.name
        if isinstance(error, ClaimLostError):
            logger.warning("%s was taken over by another job, because this one did not renew its lease in time", name)
        elif isinstance(error, (FileChangedError, FileNotFoundError)):
            self._ledger.fail(each.claim, "it changed or disappeared while it was being read", counts=False)
            report.waiting += 1
        elif isinstance(error, DriftError):
            self._fail(report, each, str(error), error)
        elif isinstance(error, WritingError):
            reason = f"its predictions cannot be written: {error}"
            self._fail(report, each, reason, FilesFailedError(f"{name}: {reason}"), counts=False)
        else:
            reason = _explain(error)
            logger.debug("%s", name, exc_info=error)
            self._fail(report, each, reason, FilesFailedError(f"{name}: {reason}"))

    def _fail(
        self, report: RunReport, each: ClaimedFile, reason: str, error: ScoringError, *, counts: bool = True
    ) -> None:
        self._ledger.fail(each.claim, reason, counts=counts)
        attempts = f"attempt {each.claim.attempts} of {self._options.max_attempts}" if counts else "to be tried again"
        logger.error("%s is set aside, %s: %s", each.file.name, attempts, reason)
        report.files.append({"file": each.file.name, "state": "failed", "error": reason})
        report.errors.append(error)

    def _give_back(self, claims: Iterable[Claim], reason: str = "") -> None:
        """Let the next run claim files that this one has not scored, as if it had never tried them."""
        for claim in claims:
            with suppress(ScoringError):
                self._ledger.fail(claim, reason, counts=False)


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


def _tables(scored: Scored, model: str, scored_at: datetime) -> tuple[Predictions, pa.Table]:
    """Add model and time to the predictions of a chunk."""
    when = f"{scored_at.isoformat(timespec='seconds')}Z"
    return scored.predictions.with_constants(model=model[:12], scored_at=when), scored.rejected
