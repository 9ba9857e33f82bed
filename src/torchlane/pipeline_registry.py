"""The pipelines of each use case, all from the same modular ones."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from kedro.framework.project import settings
from kedro.pipeline import Pipeline
from kedro.utils import find_kedro_project

from torchlane.config import UseCaseConfigLoader

KINDS = {
    "": "supervised",
    ".fine_tune": "fine_tuning",
    ".predict": "prediction",
}  # what follows the use case, and the package


def register_pipelines() -> Mapping[str, Pipeline]:
    """Name every pipeline: `<use_case>`, `<use_case>.predict`, and `__default__` that trains all use cases."""
    return Pipelines(_config_loader().use_cases())


class Pipelines(Mapping[str, Pipeline]):
    """Pipelines that are composed, and their imports done, when they are asked for."""

    def __init__(self, use_cases: list[str]):
        self._use_cases = use_cases
        self._parts = {f"{use_case}{kind}": (use_case, kind) for use_case in use_cases for kind in KINDS}

    def __getitem__(self, name: str) -> Pipeline:
        if name == "__default__":
            return Pipeline([self[use_case] for use_case in self._use_cases])
        use_case, kind = self._parts[name]
        composed: Pipeline = import_module(f"torchlane.pipelines.{KINDS[kind]}").create_pipeline(use_case)
        return composed

    def __iter__(self) -> Iterator[str]:
        return iter([*self._parts, "__default__"])

    def __len__(self) -> int:
        return len(self._parts) + 1


def _config_loader() -> UseCaseConfigLoader:
    """The loader of this run, or one like it where nothing was run yet."""
    if UseCaseConfigLoader.latest is not None:
        return UseCaseConfigLoader.latest
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    return UseCaseConfigLoader(str(project / settings.CONF_SOURCE), **settings.CONFIG_LOADER_ARGS)
