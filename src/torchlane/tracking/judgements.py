"""Models that a run has judged, and which artifacts belong to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedro.io import DatasetError
from kedro.pipeline import Pipeline

from torchlane.core.options import SECTIONS, Options
from torchlane.lineage import Lineage
from torchlane.stages import use_case_of

METRICS = {"metrics": "model", "fine_tuned_metrics": "fine_tuned_model"}  # and the model that they are of


@dataclass(frozen=True)
class Judgement:
    """The metrics of a use case's model, or of its fine-tuned model, in the catalog of a run."""

    use_case: str
    metrics: str  # a key of METRICS
    catalog: Any
    outputs: frozenset[str]  # what the run makes, of whatever use case

    @property
    def model(self) -> str:
        """The artifact that was judged."""
        return METRICS[self.metrics]

    @property
    def name(self) -> str:
        """The pipeline that judged it."""
        return self.use_case if self.metrics == "metrics" else f"{self.use_case}.fine_tune"

    def path_of(self, artifact: str) -> Path | None:
        """Return the file of an artifact; None if there is none on this machine."""
        path = Lineage(self.use_case, self.catalog).path_of(artifact) if self._has(artifact) else None
        return path if path is not None and path.exists() else None

    def fingerprint(self, artifact: str) -> str | None:
        """Return the SHA-256 of an artifact."""
        return Lineage(self.use_case, self.catalog).fingerprint(artifact) if self._has(artifact) else None

    def belongs(self, artifact: str) -> bool:
        """Say whether an artifact exists and was made from these metrics, or from the same model."""
        if self.path_of(artifact) is None:
            return False
        lineage = Lineage(self.use_case, self.catalog)
        record = lineage.record(artifact)
        made_from = {} if record is None else record.made_from
        if artifact.endswith("history"):  # made with the model
            model = lineage.record(self.model)
            return record is not None and model is not None and record.made_from == model.made_from
        shared = [name for name in (self.metrics, self.model) if name in made_from]
        return bool(shared) and all(made_from[name] == lineage.fingerprint(name) for name in shared)

    def load(self, artifact: str) -> Any:
        """Load an artifact; None if it cannot be read."""
        try:
            return self.catalog.load(f"{self.use_case}.{artifact}")
        except DatasetError:
            return None

    def options(self, section: str) -> Options | None:
        """Return the options of a section; None if the run has none."""
        try:
            found = self.catalog.load(f"params:{self.use_case}.{section}")
        except DatasetError:
            return None
        return found if isinstance(found, Options) else SECTIONS[section].model_validate(found)

    def codes(self) -> list[str] | None:
        """Return the codes of the warnings about the model; None if nothing looked for any."""
        found = self.load("warnings") if self.belongs("warnings") else None
        return None if not isinstance(found, Mapping) else [str(each["code"]) for each in found.get("warnings", [])]

    def figures(self) -> list[str]:
        """Name the figures that the run has drawn of it."""
        names = (name.removeprefix(f"{self.use_case}.") for name in self.outputs if name.endswith("_figure"))
        return sorted(name for name in names if self.belongs(name))

    def _has(self, artifact: str) -> bool:
        return f"{self.use_case}.{artifact}" in self.catalog


def judgements_of(pipeline: Pipeline, catalog: Any, *, made: bool) -> list[Judgement]:
    """List the models that a pipeline judges, or, unless `made` is asked for, reports on, by use case."""
    touched = pipeline.all_outputs() if made else pipeline.all_outputs() | pipeline.inputs()
    working = {use_case_of(node) for node in pipeline.nodes if made or {"evaluate", "report"} & node.tags}
    return [
        Judgement(use_case, metrics, catalog, frozenset(pipeline.all_outputs()))
        for use_case in sorted(working)
        for metrics in METRICS
        if f"{use_case}.{metrics}" in touched
    ]
