"""The pipelines of each use case, all from the same modular ones."""

from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import import_module
from pathlib import Path

import click
from kedro.framework.project import settings
from kedro.pipeline import Pipeline
from kedro.utils import find_kedro_project

from torchlane.config import UseCaseConfigLoader
from torchlane.viz import arrange_boxes

KINDS = {
    "": "supervised",
    ".fine_tune": "fine_tuning",
    ".predict": "prediction",
}  # what follows the use case, and the package


def register_pipelines() -> Mapping[str, Pipeline]:
    """Name every pipeline: `<use_case>`, `<use_case>.predict`, and `__default__` that trains all use cases."""
    arrange_boxes()  # Kedro-Viz asks for pipelines once it is imported, and for settings sometimes before
    return Pipelines(_config_loader)


class CannotRunError(click.ClickException, ValueError):
    """A use case cannot run; every command of Kedro prints the reason in one line, without a traceback."""


def compose(use_case: str, kind: str) -> Pipeline:
    """Compose a pipeline of a use case; `kind` is one of `KINDS`."""
    composed: Pipeline = import_module(f"torchlane.pipelines.{KINDS[kind]}").create_pipeline(use_case)
    return composed


def pipelines_with(names: Collection[str]) -> list[str]:
    """Name the pipelines that have these nodes, or write or read these datasets; none if some stand in no pipeline.

    For a dataset it is the pipeline that writes it; otherwise, and for a node, the first in the order of `KINDS`.
    """
    found: list[str] = []
    for name in names:
        use_case = name.partition(".")[0]
        if not use_case.isidentifier():
            return []
        composed = {f"{use_case}{kind}": compose(use_case, kind) for kind in KINDS}
        makers = [each for each in composed if name in composed[each].all_outputs()]
        others = [each for each, made in composed.items() if name in {*made.inputs(), *(n.name for n in made.nodes)}]
        if not (makers or others):
            return []
        found.append((makers or others)[0])
    return list(dict.fromkeys(found))


class Pipelines(Mapping[str, Pipeline]):
    """Pipelines that are composed, and their imports done, when they are asked for.

    Those of a use case that cannot run, for what its parameters say, are not listed, nor is `__default__` then.

    Raises:
        CannotRunError: one of them is asked for, with what is wrong.
    """

    def __init__(self, use_cases: list[str] | Callable[[], UseCaseConfigLoader]):
        self._given = use_cases

    @property
    def _use_cases(self) -> list[str]:
        """Those of the loader now: a process may make its registry before the loader of its project."""
        return self._given().use_cases() if callable(self._given) else self._given

    @property
    def _parts(self) -> dict[str, tuple[str, str]]:
        return {f"{use_case}{kind}": (use_case, kind) for use_case in self._use_cases for kind in KINDS}

    def __getitem__(self, name: str) -> Pipeline:
        broken = self._broken()
        if name == "__default__":
            if broken:
                way_out = "; or run the others by name with --pipelines=…"
                raise CannotRunError(f"not all use cases can run: {'; '.join(dict.fromkeys(broken.values()))}{way_out}")
            return Pipeline([self[use_case] for use_case in self._use_cases])
        use_case, kind = self._parts[name]
        if use_case in broken:
            raise CannotRunError(f"{use_case} cannot run: {broken[use_case]}")
        self._warn()
        return compose(use_case, kind)

    def __iter__(self) -> Iterator[str]:
        broken = self._broken()
        self._warn()
        names = [name for name, (use_case, _) in self._parts.items() if use_case not in broken]
        return iter(names if broken else [*names, "__default__"])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _broken(self) -> dict[str, str]:
        """Return what is wrong now; the fault may have been mended since the registry was made."""
        return self._given().broken_use_cases() if callable(self._given) else {}

    def _warn(self) -> None:
        if callable(self._given):
            self._given().warn()


def _config_loader() -> UseCaseConfigLoader:
    """The loader of this run, or one like it where nothing was run yet."""
    if UseCaseConfigLoader.latest is not None:
        return UseCaseConfigLoader.latest
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    return UseCaseConfigLoader(str(project / settings.CONF_SOURCE), **settings.CONFIG_LOADER_ARGS)
