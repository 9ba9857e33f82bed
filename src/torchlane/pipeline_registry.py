"""One pipeline a use case, all of them from the same modular one."""

from pathlib import Path

from kedro.framework.project import settings
from kedro.pipeline import Pipeline
from kedro.utils import find_kedro_project

from torchlane.config import UseCaseConfigLoader
from torchlane.pipelines import supervised


def register_pipelines() -> dict[str, Pipeline]:
    """Name every pipeline: `<use_case>`, and `__default__` for all of them."""
    pipelines = {use_case: supervised.create_pipeline(use_case) for use_case in _config_loader().use_cases()}
    return {**pipelines, "__default__": Pipeline(list(pipelines.values()))}


def _config_loader() -> UseCaseConfigLoader:
    """The loader of this run, or one like it where nothing was run yet."""
    if UseCaseConfigLoader.latest is not None:
        return UseCaseConfigLoader.latest
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    return UseCaseConfigLoader(str(project / settings.CONF_SOURCE), **settings.CONFIG_LOADER_ARGS)
