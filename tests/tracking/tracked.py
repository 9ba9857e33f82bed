"""A use case whose runs are recorded, as those of Kedro's session are."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd

from tests.lineage.projects import Project
from torchlane.tracking.hooks import RecordHooks


class Tracked(Project):
    """A project whose environment may have an `mlflow.yml`."""

    def __init__(self, folder: Path, rows: pd.DataFrame, mlflow: dict[str, Any] | None = None):
        super().__init__(folder, rows)
        self.config = {} if mlflow is None else {"mlflow": mlflow}
        self.history = folder / "out/08_reporting/toy/runs.jsonl"

    def hooks(self) -> tuple[Any, ...]:
        record = RecordHooks()
        record.after_context_created(SimpleNamespace(config_loader=self.config))
        return *super().hooks(), record

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.history.read_text().splitlines()] if self.history.exists() else []
