"""Finished runs as runs of MLflow. Imported only where an environment asks for it: MLflow takes a second to import."""

import hashlib
import logging
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torchlane.tracking.judgements import Judgement
from torchlane.tracking.mlflow_options import MlflowOptions

for name, value in {  # before MLflow is imported; what the user has set stands
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # of 7: the run has ended and holds the lock of its use case
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}.items():
    os.environ.setdefault(name, value)

from mlflow.entities import Metric, Param, RunTag  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402

METRICS_AT_ONCE, PARAMS_AT_ONCE = 1000, 100  # limits of the interface of MLflow
LONGEST_NAME, LONGEST_PARAM, LONGEST_TAG = 250, 6000, 5000
NOT_IN_NAMES = re.compile(r"[^\w\-. :/]")
FILES = ("report", "model_card", "warnings", "feature_importances", "mistakes", "diagnosis")


def log_runs(recorded: Sequence[tuple[Judgement, Mapping[str, Any]]], options: MlflowOptions) -> None:
    """Log finished runs, several of them under a common parent.

    Raises:
        MlflowException: the tracking server cannot be reached, or does not take a run.
    """
    for library in ("mlflow", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri=options.tracking_uri)
    experiment = _experiment(client, options)
    _end_killed_runs(client, experiment, [each for each, _ in recorded])
    if len(recorded) == 1:
        _log(client, experiment, *recorded[0])
        return
    name = ", ".join(each.name for each, _ in recorded)
    with _run(client, experiment, name, {"torchlane.outputs": _outputs(recorded[0][0])}) as parent:
        for judgement, record in recorded:
            _log(client, experiment, judgement, record, parent)


def params_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Write the options that differ from the defaults, within MLflow's limits on names and lengths."""
    given = {name: value if isinstance(value, str) else str(value) for name, value in record["options"].items()}
    return {_name(name.replace("/", "_")): value[:LONGEST_PARAM] for name, value in given.items()}


def metrics_of(record: Mapping[str, Any], history: Any, now: int) -> Iterator[Metric]:
    """Give the curves as `epoch/<column>`, then the final metrics as `<part>/<metric>`; undefined ones are left out."""
    if history is not None:
        curves = [str(name) for name in history.columns if name != "epoch"]
        for line in history.to_dict("records"):
            values = ((name, float(line[name])) for name in curves)
            for name, value in values:
                if math.isfinite(value):
                    yield Metric(_name(f"epoch/{name}"), value, now, int(line["epoch"]))
    for part, metrics in record["metrics"].items():
        for name, value in metrics.items():
            if value is not None and math.isfinite(value):
                yield Metric(_name(f"{part}/{name}"), float(value), now, 0)
    yield Metric("seconds", float(record["seconds"]), now, 0)


def _log(
    client: MlflowClient, experiment: str, judgement: Judgement, record: Mapping[str, Any], parent: str | None = None
) -> None:
    tags = {
        "torchlane.outputs": _outputs(judgement),
        "torchlane.pipeline": record["pipeline"],
        "torchlane.env": record["env"] or "",
        "torchlane.data": record["data"] or "",
        "torchlane.warnings": ", ".join(record["warnings"] or []),
        "mlflow.source.git.commit": (record["commit"] or "").partition(",")[0],
        **{f"torchlane.{name}": value or "" for name, value in record["fingerprints"].items()},
        **({"mlflow.parentRunId": parent} if parent else {}),
    }
    with _run(client, experiment, judgement.name, tags) as run:
        history = "history" if judgement.model == "model" else "fine_tuned_history"
        curves = judgement.load(history) if judgement.belongs(history) else None
        metrics = list(metrics_of(record, curves, int(time.time() * 1000)))
        params = [Param(name, value) for name, value in params_of(record).items()]
        for start in range(0, len(params), PARAMS_AT_ONCE):
            client.log_batch(run, params=params[start : start + PARAMS_AT_ONCE])
        for start in range(0, len(metrics), METRICS_AT_ONCE):
            client.log_batch(run, metrics=metrics[start : start + METRICS_AT_ONCE])
        for path, folder in _files(judgement):
            client.log_artifact(run, str(path), folder)


def _files(judgement: Judgement) -> Iterator[tuple[Path, str | None]]:
    """Give the files that go with a run, and the folder of each in MLflow."""
    whole = {judgement.metrics: None, judgement.model: "model"}
    whole |= {name: None for name in FILES if judgement.model == "model" and judgement.belongs(name)}
    for name, folder in {**whole, **dict.fromkeys(judgement.figures(), "figures")}.items():
        path = judgement.path_of(name)
        if path is not None:
            yield path, folder


@contextmanager
def _run(client: MlflowClient, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[str]:
    """Make a run, which ends as FINISHED, FAILED, or KILLED after a signal."""
    run: str = client.create_run(experiment, run_name=name).info.run_id
    try:
        client.log_batch(run, tags=[RunTag(key, value[:LONGEST_TAG]) for key, value in tags.items() if value])
        yield run
    except BaseException as error:
        with suppress(Exception):
            client.set_terminated(run, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    client.set_terminated(run, "FINISHED")


def _experiment(client: MlflowClient, options: MlflowOptions) -> str:
    found = client.get_experiment_by_name(options.experiment)
    if found is not None:
        return found.experiment_id
    place = options.artifact_location
    if place is not None and "://" not in place:
        place = Path(place).absolute().as_uri()
    return client.create_experiment(options.experiment, artifact_location=place)


def _end_killed_runs(client: MlflowClient, experiment: str, judgements: Sequence[Judgement]) -> None:
    """End the runs of processes that were killed while they logged: this one holds the lock of their use case."""
    for place in {_outputs(each) for each in judgements}:
        asked = f"attributes.status = 'RUNNING' AND tags.`torchlane.outputs` = '{place}'"
        for run in client.search_runs([experiment], asked):
            client.set_terminated(run.info.run_id, "KILLED")


def _outputs(judgement: Judgement) -> str:
    """Name a pipeline and where it writes, in a text without quotes, which could end that of a query."""
    place = str(judgement.path_of(judgement.metrics))
    return f"{judgement.name} {hashlib.sha256(place.encode()).hexdigest()[:16]}"


def _name(name: str) -> str:
    """Write a name with the characters and the length that MLflow takes."""
    return NOT_IN_NAMES.sub("_", name)[:LONGEST_NAME]
