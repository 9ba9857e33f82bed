"""The steps of the prediction pipeline: unpack, call core, return."""

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torchlane.core.options import EvaluationOptions, PredictionOptions

if TYPE_CHECKING:
    from torchlane.core.model.trained import TrainedModel
    from torchlane.core.scoring.contracts import Inbox, Ledger, PredictionStore
else:  # Kedro resolves all annotations of a node for the types of its options
    Inbox = Ledger = PredictionStore = TrainedModel = Any


def score_files(
    inbox: Inbox,
    ledger: Ledger,
    predictions: PredictionStore,
    model: TrainedModel,
    prediction: PredictionOptions,
    evaluation: EvaluationOptions,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Score the files in the inbox; the result is the report and decides this run's exit status.

    See `torchlane.core.scoring.inbox.score_inbox`.
    """
    from torchlane.core.scoring.inbox import score_inbox

    scored = score_inbox(inbox, ledger, predictions, model, prediction, evaluation.coverage)
    return scored, scored


def collect_drift(scored: dict[str, Any], ledger: Ledger, prediction: PredictionOptions) -> dict[str, Any]:
    """List the drift of the latest files, including those that other jobs scored."""
    return {"limits": prediction.drift.model_dump(), "files": ledger.latest_drift()}


def plot_drift(drift: dict[str, Any], ledger: Ledger) -> Iterator[Any]:
    """Draw the drift of the latest files, unless some job has done so; plotly is imported only if needed."""
    digest = hashlib.sha256(json.dumps(drift, sort_keys=True).encode()).hexdigest()
    if drift["files"] and ledger.note("drift") != digest:
        from torchlane.figures import drift as figures

        yield figures.plot_drift(drift)
        ledger.write_note("drift", digest)  # the figure is saved by now


def score_outcomes(
    scored: dict[str, Any],
    outcomes: Inbox,
    ledger: Ledger,
    predictions: PredictionStore,
    model: TrainedModel,
    prediction: PredictionOptions,
) -> Iterator[dict[str, Any]]:
    """Compare predictions with the truth that has arrived, if there are new predictions or outcomes."""
    files = outcomes.files()
    if not files:
        return
    from torchlane.core.scoring import live_metrics

    done = [entry for entry in ledger.entries() if entry["state"] == "done"]
    digest = live_metrics.digest_inputs(files, done, model, prediction.keys)
    if ledger.note("outcomes") != digest:
        yield live_metrics.measure(outcomes, predictions, done, model, prediction.keys)
        ledger.write_note("outcomes", digest)  # the metrics are saved by now
