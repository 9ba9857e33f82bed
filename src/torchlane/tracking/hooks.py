"""Keeps a record of each finished run of a use case: in its history, and in MLflow where the environment says so."""

import logging
import re
import threading
import time
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline

from torchlane.core.machine.digests import Stamp, stamp_of
from torchlane.tracking.judgements import Judgement, judgements_of
from torchlane.tracking.mlflow_options import MlflowOptions, read_options, require_mlflow
from torchlane.tracking.records import record_of

logger = logging.getLogger(__name__)

LONGEST_REASON = 300  # characters; some errors of MLflow hold a whole page


class RecordHooks:
    """Records the runs that make metrics. A run that fails or is killed leaves no record."""

    def __init__(self) -> None:
        self._run = threading.local()  # a session reads its configuration and begins its run in one thread

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        self._run.mlflow = read_options(context.config_loader)

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: Any) -> None:
        judged = judgements_of(pipeline, catalog, made=True)
        if judged and self._options() is not None:
            require_mlflow()
        self._run.started = time.perf_counter()
        self._run.before = {each.name: _stamp(each) for each in judged}

    @hook_impl
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any) -> None:
        """Record what the run has judged; nothing of that can fail a finished run."""
        seconds = time.perf_counter() - self._run.started
        recorded: list[tuple[Judgement, dict[str, Any]]] = []
        for each in judgements_of(pipeline, catalog, made=True):
            if _stamp(each) in (None, self._run.before.get(each.name)):  # the metrics are those of an earlier run
                continue
            try:
                record = record_of(each, run_params, seconds)
                catalog[f"{each.use_case}.runs"].save(record)
            except Exception as error:
                logger.warning("%s: the history of runs was not written: %s", each.name, error)
            else:
                recorded.append((each, record))
        options = self._options()
        if recorded and options is not None:
            _log_to_mlflow(recorded, options)

    def _options(self) -> MlflowOptions | None:
        return getattr(self._run, "mlflow", None)


def _log_to_mlflow(recorded: list[tuple[Judgement, dict[str, Any]]], options: MlflowOptions) -> None:
    try:
        from torchlane.tracking.to_mlflow import log_runs

        log_runs(recorded, options)
    except Exception as error:
        logger.warning(
            "MLflow at %s has not taken the run (%s: %s); its artifacts are complete, and runs.jsonl has its numbers",
            _without_password(options.tracking_uri),
            type(error).__name__,
            _without_password(" ".join(str(error).split()))[:LONGEST_REASON],
        )


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)


def _stamp(judgement: Judgement) -> Stamp | None:
    place = judgement.path_of(judgement.metrics)
    return None if place is None else stamp_of(place)
