"""The pipelines of each use case, all from the same modular ones."""

from collections.abc import Callable, Iterator, Mapping
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
    return Pipelines(_config_loader().use_cases(), _config_loader)


class Pipelines(Mapping[str, Pipeline]):
    """Pipelines that are composed, and their imports done, when they are asked for.

    Those of a use case that cannot run, for what its parameters say, are not listed, nor is `__default__` then.

    Raises:
        ValueError: one of them is asked for, with what is wrong.
    """

    def __init__(self, use_cases: list[str], config_loader: Callable[[], UseCaseConfigLoader] | None = None):
        self._use_cases = use_cases
        self._config_loader = config_loader
        self._parts = {f"{use_case}{kind}": (use_case, kind) for use_case in use_cases for kind in KINDS}

    def __getitem__(self, name: str) -> Pipeline:
        broken = self._broken()
        if name == "__default__":
            if broken:
                way_out = "; or run the others by name with --pipelines=…"
                raise ValueError(f"not all use cases can run: {'; '.join(dict.fromkeys(broken.values()))}{way_out}")
            return Pipeline([self[use_case] for use_case in self._use_cases])
        use_case, kind = self._parts[name]
        if use_case in broken:
            raise ValueError(f"{use_case} cannot run: {broken[use_case]}")
        self._warn()
        composed: Pipeline = import_module(f"torchlane.pipelines.{KINDS[kind]}").create_pipeline(use_case)
        return composed

    def __iter__(self) -> Iterator[str]:
        broken = self._broken()
        self._warn()
        names = [name for name, (use_case, _) in self._parts.items() if use_case not in broken]
        return iter(names if broken else [*names, "__default__"])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _broken(self) -> dict[str, str]:
        """Return what is wrong now; the fault may have been mended since the registry was made."""
        return self._config_loader().broken_use_cases() if self._config_loader else {}

    def _warn(self) -> None:
        if self._config_loader:
            self._config_loader().warn()


def _config_loader() -> UseCaseConfigLoader:
    """The loader of this run, or one like it where nothing was run yet."""
    if UseCaseConfigLoader.latest is not None:
        return UseCaseConfigLoader.latest
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    return UseCaseConfigLoader(str(project / settings.CONF_SOURCE), **settings.CONFIG_LOADER_ARGS)
