"""The line that a finished run leaves in the history of its use case."""

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from torchlane.core.machine.surroundings import commit_of
from torchlane.core.options import SECTIONS
from torchlane.core.options.differing import differing
from torchlane.tracking.judgements import Judgement

PARTS = ("train", "valid", "test", "baseline")
PACKAGES = ("torchlane", "torch", "kedro", "numpy", "pandas")
MOST_COLUMNS = 50  # whose options a line holds one by one; of more, it holds a digest
REPEATED = {"data.digest", "fine_tuning.digest", "tuning.fixed"}  # what fingerprints and other options say too


def record_of(judgement: Judgement, run_params: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Describe a finished run of a use case as a line of its history; see docs/runs.md for the fields."""
    metrics = judgement.load(judgement.metrics) or {}
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "pipeline": judgement.name,
        "tags": sorted(run_params.get("tags") or ()),
        "env": run_params.get("env"),
        "seconds": round(seconds, 2),
        "options": options_of(judgement),
        "fingerprints": fingerprints_of(judgement),
        "data": metrics.get("data"),
        "rows": metrics.get("rows", {}),
        "primary_metric": primary_metric(metrics),
        "metrics": {part: numbers_of(metrics[part]) for part in PARTS if metrics.get(part)},
        "warnings": judgement.codes(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "commit": commit_of(Path.cwd()),
    }


def primary_metric(metrics: Mapping[str, Any]) -> str | None:
    """Name the first metric of the first part that has some: that of the task."""
    return next((str(name) for part in PARTS for name in metrics.get(part) or ()), None)


def numbers_of(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """Keep the metrics that are one number or undefined."""
    return {name: value for name, value in metrics.items() if value is None or isinstance(value, (int, float))}


def options_of(judgement: Judgement) -> dict[str, Any]:
    """Return the options that differ from their defaults, by `section.option`, as the model was made with them."""
    beside = "fine_tuning" if judgement.model == "model" else "tuning"
    sections = {name: judgement.options(name) for name in SECTIONS if name not in (beside, "prediction")}
    recipe = judgement.load("recipe") if judgement.model == "model" else None
    if recipe is not None:  # with what a search chose
        sections |= {name: getattr(recipe, name) for name in ("encoding", "model", "training")}
    found: dict[str, Any] = {}
    for name, options in sections.items():
        if options is not None:
            found |= _flattened({option: value for option, value, _ in differing(options)}, name)
    return {name: value for name, value in found.items() if name not in REPEATED}


def fingerprints_of(judgement: Judgement) -> dict[str, str | None]:
    """Return the SHA-256 of the rows, the splits and the model."""
    new = "" if judgement.model == "model" else "new_"
    names = {"rows": f"{new}clean_rows", "splits": f"{new}splits", "model": judgement.model}
    return {name: judgement.fingerprint(artifact) for name, artifact in names.items()}


def _flattened(options: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if place == "data" and name == "columns" and len(value) > MOST_COLUMNS:
            digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
            yield "data.columns", f"{len(value):,} columns, digest {digest[:12]}"
        elif isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{place}.{name}")
        else:
            yield f"{place}.{name}", value


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
