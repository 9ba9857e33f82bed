"""Every good row of every file in an inbox, scored exactly once.

The ledger records the state of each file. A job claims a file, scores it chunk by chunk, and publishes the
predictions only if the claim is still its own.
"""

from typing import Any

from torchlane.core.model.trained import COVERAGE, TrainedModel
from torchlane.core.options import PredictionOptions
from torchlane.core.scoring.chunks import ChunkScorer
from torchlane.core.scoring.contracts import Inbox, Ledger, PredictionStore
from torchlane.core.scoring.failures import CouldNotStartError, DriftError
from torchlane.core.scoring.job import ClaimedFile, ScoringJob
from torchlane.core.scoring.run_report import RunReport
from torchlane.core.scoring.settling import settled_files


def score_inbox(
    inbox: Inbox,
    ledger: Ledger,
    predictions: PredictionStore,
    model: TrainedModel,
    options: PredictionOptions,
    coverage: float = COVERAGE,
) -> dict[str, Any]:
    """Score each file that has settled, is not a copy and is not claimed by another job.

    Intervals are made to cover the share `coverage` of new rows.
    The result has `files` (each with `state`, and `rows` or `error`), the numbers of `copies` and of files
    `waiting` to settle, and `errors`, each with `exit_status` and `message`.

    Raises:
        CouldNotStartError: the inbox cannot be listed, the ledger cannot be read or written, or the model
            takes images.
    """
    report = RunReport()
    predictions.sweep(lambda: {predictions.output_name(*claimed) for claimed in ledger.claimed()})
    try:
        listed = inbox.files()
    except OSError as error:
        raise CouldNotStartError(f"the inbox cannot be listed: {error}") from error
    files = {file.name: file for file in listed}
    present: dict[str, list[str]] = {}
    for checksum, name in settled_files(inbox, ledger, listed, options, report):
        present.setdefault(checksum, []).append(name)
    report.copies += sum(len(names) - 1 for names in present.values())
    scorer = ChunkScorer(model, options.keys, coverage)
    job = ScoringJob(inbox, ledger, predictions, scorer, options)
    while claims := ledger.claim(present, options):
        job.run([ClaimedFile(claim, files[claim.name]) for claim in claims], report)
        if any(isinstance(error, DriftError) for error in report.errors):
            break
    report.log(inbox.place)
    return report.to_json()
